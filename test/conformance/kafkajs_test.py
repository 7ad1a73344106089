"""kafkajs: producing, admin and consumer groups. It cannot consume without one, so what it produced is read on the wire.

Its protocol versions are those of 2019 to 2022: the oldest we meet in the field.
"""

import json

from harness import expect, expect_equal, fresh_topic, need, run, test
from javascript import javascript
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0"]


def client(node, action, topic):
    return json.loads(run([need("node"), javascript("kafkajs", "client.js"), node.bootstrap, action, topic]))


def produce_test(action, sentence, codec):
    @test(f"kafkajs: {sentence}")
    def one(node):
        topic = fresh_topic("kafkajs")
        with wire.Connection(node.port) as connection:
            expect_equal(connection.create_topic(topic), 0, "error of CreateTopics")
            expect_equal(client(node, action, topic), [[0, base] for base in range(0, 100, 10)], "error and base offset")
            expect_equal(connection.list_offset(topic, -1)["offset"], 100, "log end")
            stored = connection.fetch(topic, 0)["records"]
            expect_equal(wire.codecs_of(stored), {codec}, "codecs")
            if codec == 0:
                expect_equal(connection.read_all(topic), [(n, f"k{n}".encode(), f"v{n}".encode()) for n in range(100)],
                             "records")
        expect_equal(client(node, "times", topic), [[0, 50]], "offset by time")
    return one


plain = produce_test("plain", "records are stored in order at the offsets it is told", 0)
gzip = produce_test("gzip", "gzip batches are stored as they are", 1)
idempotent = produce_test("idempotent", "an idempotent producer's records are stored once", 0)


@test("kafkajs: admin creates, grows, describes and deletes a topic")
def admin(node):
    seen = client(node, "admin", fresh_topic("kafkajs-admin"))
    expect(node.bootstrap in seen.pop("brokers"), "the broker's address")
    expect_equal(seen, {"create": True, "again": False, "bad": "INVALID_TOPIC_EXCEPTION",
                        "partitions": [[0, 1, 1], [1, 1, 1], [2, 1, 1]], "listed": True, "retention": "3600000",
                        "offsets": [[0, "0", "0"], [1, "0", "0"], [2, "0", "0"]], "controller": True, "gone": True},
                 "outcome")


@test("kafkajs: two consumers of a group share a topic, one leaves; offsets are reset, and the group deleted, by its admin")
def group(node):
    topic = fresh_topic("kafkajs-group")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, 4), 0, "error of CreateTopics")
    seen = client(node, "group", topic)
    expect_equal(seen.pop("values"), list(range(120)), "records, each once")
    expect_equal(seen, {"state": "Stable", "members": 1, "protocol": "consumer", "busy": "NON_EMPTY_GROUP", "committed": [30] * 4,
                        # It commits the special offset itself: -2, the earliest.
                        "reset": [-2] * 4, "set": [-2, 7, -2, -2], "listed": True, "gone": True}, "outcome")

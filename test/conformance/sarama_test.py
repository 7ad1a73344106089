"""sarama: idempotent produce, direct consume, admin, consumer groups."""

import json

from go_program import go_program
from harness import expect_equal, fresh_topic, run, test
from members import SaramaMember
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0"]
TOPIC_ALREADY_EXISTS, GROUP_ID_NOT_FOUND = "36", "69"


def client(node, action, topic):
    return json.loads(run([go_program("sarama"), node.bootstrap, action, topic]))


def made_topic(node, partitions=1):
    topic = fresh_topic("sarama")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, partitions), 0, "error of CreateTopics")
    return topic


@test("sarama: keys, values, headers and offsets come back for each codec, from an idempotent producer")
def round_trip(node):
    expect_equal(client(node, "round-trip", made_topic(node)), {codec: [] for codec in ("gzip", "lz4", "none", "snappy", "zstd")},
                 "what did not come back as it was sent")


@test("sarama: the admin creates, grows, configures, describes and deletes a topic, and knows which groups there are")
def admin(node):
    expect_equal(client(node, "admin", fresh_topic("sarama-admin")),
                 {"create": "", "again": TOPIC_ALREADY_EXISTS, "grow": "", "partitions": 3, "retention": "3600000", "alter": "",
                  "broker": node.bootstrap, "group": False, "no such group": GROUP_ID_NOT_FOUND, "delete": ""}, "outcome")


@test("sarama: members share a topic, one leaves, and the one that stays goes on where the other committed: each record once")
def group(node):
    topic, group = made_topic(node, 4), fresh_topic("group")
    with wire.Connection(node.port) as connection:
        def produce(values):
            for value in values:
                expect_equal(connection.produce(topic, wire.batch([b"%d" % value]), value % 4)["error"], 0, "error of Produce")
        produce(range(40))
        with SaramaMember(node.bootstrap, group, topic) as first, SaramaMember(node.bootstrap, group, topic) as second:
            def read():
                return sorted(int(value) for one in (first, second) for value in one.values())
            first.await_(lambda: len(first.owned()) == 2 and len(second.owned()) == 2, "two members share four partitions")
            first.await_(lambda: len(read()) >= 40, "forty records are read")
            second.close()
            first.until_owns(4)
            produce(range(40, 80))
            first.await_(lambda: len(read()) >= 80, "eighty records are read")
            first.close()
            expect_equal(read(), list(range(80)), "records, each once")

"""franz-go: idempotent produce in many batches, direct consume, admin, consumer groups."""

import json

from go_program import go_program
from harness import expect, expect_equal, fresh_topic, run, test
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0"]


def client(node, action, topic):
    return json.loads(run([go_program("franz_go"), node.bootstrap, action, topic]))


@test("franz-go: keys, values, nil headers and offsets come back for each codec")
def round_trip(node):
    topic = fresh_topic("franz")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic), 0, "error of CreateTopics")
    expect_equal(client(node, "round-trip", topic), {codec: [] for codec in ("gzip", "lz4", "none", "snappy", "zstd")},
                 "what did not come back as it was sent")


@test("franz-go: admin creates, grows, describes and deletes a topic")
def admin(node):
    seen = client(node, "admin", fresh_topic("franz-admin"))
    expect(node.bootstrap in seen.pop("brokers"), "the broker's address")
    expect_equal(seen, {"create": "", "again": "TOPIC_ALREADY_EXISTS", "grow": "", "partitions": 3, "id": True,
                        "retention": "3600000", "offsets": [0] * 6, "delete": ""}, "outcome")


@test("franz-go: members of a group share a topic cooperatively, a static one restarts, the admin removes it; each record once")
def group(node):
    topic = fresh_topic("franz-group")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, 4), 0, "error of CreateTopics")
    seen = client(node, "group", topic)
    expect_equal(seen.pop("values"), list(range(120)), "records, each once")
    expect_equal(seen, {"kept": 2, "state": "Stable", "members": 2, "lag": 0, "busy": "NON_EMPTY_GROUP", "removed": "",
                        "offsets": [30] * 4, "lost": 0, "delete": ""}, "outcome")

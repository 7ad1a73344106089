"""franz-go: idempotent produce in many batches, direct consume, admin, consumer groups."""

import functools
import json
import re
import shutil

from harness import ROOT, Skip, build_folder, expect, expect_equal, fresh_topic, need, run, test
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0"]
HERE = ROOT / "test/conformance/franz_go"


@functools.cache
def program():
    go = need("go")
    wanted = re.search(r"^go (\d+)\.(\d+)", (HERE / "go.mod").read_text(), re.M)
    installed = re.search(r"go(\d+)\.(\d+)", run([go, "version"]))
    if [int(part) for part in installed.groups()] < [int(part) for part in wanted.groups()]:
        raise Skip(f"franz-go needs Go {wanted.group(1)}.{wanted.group(2)}, here is {installed.group(1)}.{installed.group(2)}")
    folder = build_folder("franz_go")
    for source in HERE.iterdir():
        shutil.copy(source, folder)
    binary = folder / "franz_go"
    run([go, "build", "-mod=readonly", "-o", binary, "."], cwd=folder, seconds=300, env={"GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"})
    return binary


def client(node, action, topic):
    return json.loads(run([program(), node.bootstrap, action, topic]))


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

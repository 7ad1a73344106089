"""Python's confluent-kafka (librdkafka), partitions assigned by hand; its groups are in groups_test.py."""

import functools
import hashlib
import json
import sys

from harness import ROOT, build_folder, expect, expect_equal, fresh_topic, run, test
import wire

HERE = ROOT / "test/conformance/confluent"


@functools.cache
def python():
    """The interpreter of a virtual environment with exactly the locked packages."""
    lock = HERE / "requirements.txt"
    folder = build_folder("confluent-" + hashlib.sha256(lock.read_bytes()).hexdigest()[:12])
    interpreter = folder / "bin/python"
    done = folder / "installed"
    if not done.exists():
        run([sys.executable, "-m", "venv", folder], seconds=60)
        run([interpreter, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock],
            seconds=180)
        done.touch()
    return interpreter


def client(node, action, topic, *arguments):
    return json.loads(run([python(), HERE / "client.py", node.bootstrap, action, topic, *arguments]))


def topic_of(node, partitions=1, **configs):
    name = fresh_topic("confluent")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions, configs=configs), 0, "error of CreateTopics")
    return name


@test("confluent-kafka: key, value, headers and time of each record come back at the reported offset")
def round_trip(node):
    topic = topic_of(node, partitions=3)
    reports = client(node, "produce_keyed", topic)
    rows = {(row["partition"], row["offset"]): row for row in client(node, "consume", topic, 3)}
    expect_equal(len(rows), 100, "records")
    for number, report in enumerate(reports):
        row = rows[tuple(report)]
        expect_equal((row["key"], row["value"]), (f"k{number % 5}", f"v{number}"), f"record {number}")
        expect_equal(row["headers"], [["n", str(number)], ["empty", None]], f"headers of {number}")
        expect_equal(row["timestamp"], [1, 1700000000000 + number], f"time of {number}")


def codec_test(codec):
    @test(f"confluent-kafka: {codec} batches are stored and come back")
    def one(node):
        topic = topic_of(node)
        client(node, "produce_codec", topic, codec)
        values = [row["value"] for row in client(node, "consume", topic, 1)]
        expect_equal(values, [f"{codec} {number} " + "y" * 200 for number in range(300)], "values")
    return one


for _codec in ("gzip", "snappy", "lz4", "zstd"):
    globals()[f"codec_{_codec}"] = codec_test(_codec)


@test("confluent-kafka: an idempotent producer's reports are the offsets 0, 1, 2 … and its records arrive once")
def idempotent(node):
    topic = topic_of(node)
    expect_equal(client(node, "produce_idempotent", topic, 3000), [[0, offset] for offset in range(3000)], "reports")
    expect_equal([row["value"] for row in client(node, "consume", topic, 1)], [str(n) for n in range(3000)], "values")


@test("confluent-kafka: a consumer assigned at an offset starts there")
def from_offset(node):
    topic = topic_of(node)
    client(node, "produce_idempotent", topic, 100)
    expect_equal([row["offset"] for row in client(node, "consume_from", topic, 95)], [95, 96, 97, 98, 99], "offsets")


@test("confluent-kafka: an offset out of range resets to the start, to the end, or is an error, as asked")
def out_of_range(node):
    topic = topic_of(node)
    client(node, "produce_idempotent", topic, 10)
    expect_equal(client(node, "out_of_range", topic, "earliest"), 0, "earliest")
    expect_equal(client(node, "out_of_range", topic, "latest"), "end", "latest")
    expect_equal(client(node, "out_of_range", topic, "error"), "_AUTO_OFFSET_RESET", "error")


@test("confluent-kafka: watermarks and offsets for times")
def offsets(node):
    topic = topic_of(node)
    with wire.Connection(node.port) as connection:
        for stamp in (1700000000000, 1700000001000, 1700000002000):
            expect_equal(connection.produce(topic, wire.batch([b"x"], timestamp=stamp))["error"], 0, "error of Produce")
    expect_equal(client(node, "offsets", topic, 1700000000500), {"low": 0, "high": 3, "at": 1}, "offsets")


@test("confluent-kafka: admin creates, grows, describes and deletes a topic, and hears why not")
def admin(node):
    seen = client(node, "admin", fresh_topic("admin"))
    nodes = seen.pop("nodes")
    expect(node.bootstrap in nodes, f"{node.bootstrap} is not among {nodes}")
    expect_equal(seen, {"create": None, "again": "TOPIC_ALREADY_EXISTS", "grow": None, "shrink": "INVALID_PARTITIONS",
                        "retention": "3600000", "partitions": 4, "latest": 0, "delete": None,
                        "delete again": "UNKNOWN_TOPIC_OR_PART"}, "outcome")


@test("confluent-kafka: delete_records answers the new start, and consumers begin there")
def delete_records(node):
    topic = topic_of(node)
    client(node, "produce_idempotent", topic, "50")
    expect_equal(client(node, "delete_records", topic, "20"), 20, "low watermark")
    expect_equal(client(node, "offsets", topic, "0")["low"], 20, "low end")
    expect_equal([row["offset"] for row in client(node, "consume", topic, "1")], list(range(20, 50)), "offsets")
    expect_equal(client(node, "delete_records", topic, "51"), "OFFSET_OUT_OF_RANGE", "beyond the end")

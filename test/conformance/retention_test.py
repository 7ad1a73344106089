"""What ends a record's life: retention by time and size, DeleteRecords; on a bare socket and with kcat."""

import time

from harness import expect, expect_equal, fresh_topic, need, run, test, until
import wire

# Kafka's cleaner, and not its retention, looks after topics with compact,delete.
SETTINGS = ["log.retention.check.interval.ms=300", "log.initial.task.delay.ms=300", "log.cleaner.backoff.ms=300"]
HOUR_MS = 3600 * 1000
OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION = 1, 3, 44


def topic_of(connection, **configs):
    name = fresh_topic("life")
    expect_equal(connection.create_topic(name, configs=configs), 0, "error of CreateTopics")
    return name


def append(connection, topic, values, age_ms=0):
    part = connection.produce(topic, wire.batch(values, timestamp=int(time.time() * 1000) - age_ms))
    expect_equal(part["error"], 0, "error of Produce")
    return part["base_offset"]


def ends(connection, topic):
    return connection.list_offset(topic, -2)["offset"], connection.list_offset(topic, -1)["offset"]


@test("retention.ms: segments whose newest record is too old are removed, newer ones stay")
def by_time(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"retention.ms": 600000, "segment.ms": 60000})
        for number in range(5):
            append(connection, name, [b"old %d" % number], age_ms=HOUR_MS - number * 100000)
        append(connection, name, [b"new"])
        until(lambda: ends(connection, name) == (5, 6), "five old records are gone")
        expect_equal([(offset, value) for offset, _, value in connection.read_all(name)], [(5, b"new")], "records")
        expect_equal(connection.fetch(name, 4)["error"], OFFSET_OUT_OF_RANGE, "error of Fetch below the start")
    seen = run([need("kcat"), "-b", node.bootstrap, "-m", "10", "-C", "-q", "-t", name, "-e", "-o", "beginning", "-f", "%o %s\\n"])
    expect_equal(seen, "5 new\n", "what kcat reads from the beginning")


@test("retention.ms: the active segment goes too when all of it is too old, and offsets go on")
def active(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"retention.ms": 600000})
        append(connection, name, [b"1", b"2", b"3"], age_ms=HOUR_MS)
        until(lambda: ends(connection, name) == (3, 3), "the log is empty")
        expect_equal(append(connection, name, [b"4"]), 3, "base offset")
        expect_equal([offset for offset, _, _ in connection.read_all(name)], [3], "offsets")


@test("retention.bytes: the oldest segments go, and no more of them than that; files follow")
def by_size(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"retention.bytes": 1 << 20, "retention.ms": -1, "segment.bytes": 1 << 20,
                                       "file.delete.delay.ms": 500})
        for _ in range(40):
            append(connection, name, [b"x" * 100000])
        until(lambda: ends(connection, name)[0] >= 20, "half of 4 MB is gone")
        start, end = ends(connection, name)
        expect_equal(end, 40, "end")
        expect(end - start >= 10, f"records [{start}, {end}) are less than retention.bytes")
        expect_equal(len(connection.read_all(name)), end - start, "records")
    folder = node.log_dir / f"{name}-0"
    until(lambda: min(folder.glob("*.log")).stem == f"{start:020}" and not list(folder.glob("*.deleted")), "files are gone")


@test("retention: a hard link to a segment that goes keeps all of it")
def linked(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"file.delete.delay.ms": 0})
        for _ in range(100):
            append(connection, name, [b"x" * 200000])
        segment = node.log_dir / f"{name}-0" / f"{0:020}.log"
        until(lambda: segment.stat().st_size > 20e6, "the segment is in its file")
        size, backup = segment.stat().st_size, node.log_dir.parent / f"{name}.backup"
        backup.hardlink_to(segment)
        deleted = connection.ask("delete_topics", names=[name], timeout_ms=10000)["topics"][0]
        expect_equal(deleted["error"], 0, "error of DeleteTopics")
        until(lambda: backup.stat().st_nlink == 1, "the segment is gone")
        expect_equal(backup.stat().st_size, size, "bytes of the backup")


@test("cleanup.policy=compact: nothing goes by age; compact,delete goes like delete")
def compacted(node):
    with wire.Connection(node.port) as connection:
        config = {"retention.ms": 600000, "segment.ms": 60000}
        kept = topic_of(connection, **config, **{"cleanup.policy": "compact"})
        both = topic_of(connection, **config, **{"cleanup.policy": "compact,delete"})
        for name in (kept, both):
            append(connection, name, [(b"a", b"1"), (b"b", b"2")], age_ms=HOUR_MS)
            append(connection, name, [(b"c", b"3")])
        until(lambda: ends(connection, both) == (2, 3), "old records of compact,delete are gone")
        expect_equal(ends(connection, kept), (0, 3), "ends of the compacted topic")


@test("DeleteRecords: the start moves to any offset, never back, and reads below it are refused")
def delete(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        append(connection, name, [b"%d" % n for n in range(10)])
        expect_equal(connection.delete_records(name, 3), (0, 3), "error and low watermark")
        expect_equal(ends(connection, name), (3, 10), "ends")
        expect_equal(connection.fetch(name, 2)["error"], OFFSET_OUT_OF_RANGE, "error of Fetch below the start")
        expect_equal(connection.fetch(name, 3)["log_start"], 3, "log start in Fetch")
        expect_equal([value for _, _, value in connection.read_all(name)], [b"%d" % n for n in range(3, 10)], "records")
        expect_equal(connection.delete_records(name, 2), (0, 3), "a lower offset")
        expect_equal(connection.delete_records(name, 5, api="delete_records_v0"), (0, 5), "version 0")
        expect_equal(connection.delete_records(name, -1), (0, 10), "-1, the high watermark")
        expect_equal(append(connection, name, [b"next"]), 10, "base offset")


@test("DeleteRecords: what it refuses, and with which error")
def refused(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        append(connection, name, [b"1", b"2"])
        expect_equal(connection.delete_records(name, 3), (OFFSET_OUT_OF_RANGE, -1), "beyond the high watermark")
        expect_equal(connection.delete_records(name, -2), (OFFSET_OUT_OF_RANGE, -1), "below -1")
        expect_equal(connection.delete_records("no-such-topic", 0), (UNKNOWN_TOPIC_OR_PARTITION, -1), "unknown topic")
        expect_equal(connection.delete_records(name, 0, partition=7), (UNKNOWN_TOPIC_OR_PARTITION, -1), "unknown partition")
        compacted_only = topic_of(connection, **{"cleanup.policy": "compact"})
        expect_equal(connection.delete_records(compacted_only, 0), (POLICY_VIOLATION, -1), "a compacted topic")
        both = topic_of(connection, **{"cleanup.policy": "compact,delete"})
        expect_equal(connection.delete_records(both, 0), (0, 0), "compact,delete")
        expect_equal(ends(connection, name), (0, 2), "ends")


@test("DeleteRecords: the start that was answered survives kill -9", own_node=True,
      ours_only="Kafka writes log starts once a minute")
def killed(node):
    node.start()
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        append(connection, name, [b"%d" % n for n in range(10)])
        expect_equal(connection.delete_records(name, 7), (0, 7), "error and low watermark")
    node.kill()
    node.start()
    with wire.Connection(node.port) as connection:
        until(lambda: connection.list_offset(name, -2)["error"] == 0, "the partition leads")
        expect_equal(ends(connection, name), (7, 10), "ends")
        expect_equal([value for _, _, value in connection.read_all(name)], [b"7", b"8", b"9"], "records")

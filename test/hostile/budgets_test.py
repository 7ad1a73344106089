"""Few connections that would keep from all others the memory that requests and answers share."""

import contextlib
import struct
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, test
from hostile import disconnects, topic_of, unharmed
import wire

MEMORY = 64 << 20
REQUESTS = MEMORY // 16 * 5
FETCH = MEMORY // 4
# The largest frame that still shares its memory with all others, nearly.
ORDINARY = REQUESTS // 8 * 7 // 8 - 100_000
SETTINGS = [f"millrace.memory.bytes={MEMORY}", "millrace.shards=1"]
OURS = "Kafka has other budgets"
SOON = 5


def mentions(topic, count, wait_ms):
    """A Fetch v4 that names partition 0 of `topic` so many times, as a frame."""
    name = topic.encode()
    return wire.frame(wire.header(1, 4, 1, False) + struct.pack(">iiiibi", -1, wait_ms, 1, 1 << 20, 0, 1)
                      + struct.pack(">h", len(name)) + name + struct.pack(">i", count)
                      + struct.pack(">iqi", 0, 0, 1 << 20) * count)


def padded_fetch(topic, size, wait_ms, correlation=1):
    """A Fetch v12 of one partition; an unknown tag makes it so large."""
    body = wire.body("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=wait_ms))
    return wire.with_body("fetch", body[:-1] + b"\1" + wire.uvarint(100) + wire.uvarint(size) + b"t" * size, correlation)


def served(node, topic, size, seconds=SOON):
    """Somebody else produces a value of `size` in time."""
    with wire.Connection(node.port, timeout=seconds) as other:
        expect(other.metadata([])["brokers"], "another client's Metadata")
        expect_equal(other.produce(topic, wire.batch([b"v" * size]))["error"], 0, "error of another client's Produce")


@test("hostile budget: a Fetch that names one partition a million times is refused, forty thousand times costs as once",
      ours_only="Kafka keeps the last mention of each, however many there are")
def repeated(node):
    topic = topic_of(node)
    with unharmed(node, growth_kib_max=64 * 1024) as neighbour:
        disconnects(node, mentions(topic, 900_000, 0), 30)
        parked = [wire.Connection(node.port, timeout=20) for _ in range(10)]
        for connection in parked:
            connection.send(mentions(topic, 40_000, 15_000))
        for connection in parked:
            expect(not connection.closed_within(0.1), "a long poll ended")
        expect_equal(neighbour.produce(topic, wire.batch([b"news"]))["error"], 0, "error of Produce")
        for connection in parked:
            answer = connection.read_frame()
            expect(len(answer) < 1000, f"an answer of {len(answer)} bytes for one partition")
            connection.close()


@test("hostile budget: ListOffsets of a million partitions is refused", ours_only="Kafka answers each")
def many_offsets(node):
    topic = topic_of(node).encode()
    count = 900_000
    with unharmed(node, growth_kib_max=96 * 1024):
        disconnects(node, wire.frame(wire.header(2, 1, 1, False) + struct.pack(">ii", -1, 1) + struct.pack(">h", len(topic))
                                     + topic + struct.pack(">i", count)
                                     + b"".join(struct.pack(">iq", index, -1) for index in range(count))), 30)


@test("hostile budget: long polls that came in large frames, and those behind them, keep nothing of what frames come in with",
      ours_only=OURS)
def large_polls(node):
    topic, written = topic_of(node), topic_of(node)
    size = ORDINARY - 1000
    with unharmed(node), contextlib.ExitStack() as stack:
        for _ in range(10):
            poll = stack.enter_context(wire.Connection(node.port))
            poll.send(padded_fetch(topic, size, 60_000))
        served(node, written, 900_000)
        for _ in range(10):
            behind = stack.enter_context(wire.Connection(node.port))
            behind.send(wire.encode("fetch", 1, **wire.fetch_values([(topic, 0, 0)], wait_ms=60_000)))
            behind.send(padded_fetch(topic, size, 60_000, 2))
        served(node, written, 900_000)


@test("hostile budget: frames that stall keep small requests from nobody, and others for seconds only", ours_only=OURS)
def stalled(node):
    topic = topic_of(node)
    with unharmed(node), contextlib.ExitStack() as stack:
        for _ in range(20):
            greedy = stack.enter_context(wire.Connection(node.port))
            greedy.send(struct.pack(">i", ORDINARY) + b"\0" * 20_000)
        time.sleep(0.2)  # They are being received.
        for _ in range(20):
            served(node, topic, 10_000)
        # The first ones lose their connection, those who waited for their memory next, and so on.
        served(node, topic, 500_000, seconds=30)


@test("hostile budget: large batches that are fetched with max_bytes=1 and not read take no more than one beyond the budget",
      ours_only=OURS)
def tiny_limits(node):
    size = 7_500_000  # No more than a socket holds is with the kernel.
    topic = topic_of(node, partitions=10, **{"max.message.bytes": 9 << 20})
    small = topic_of(node)
    with wire.Connection(node.port, timeout=30) as writer:
        expect_equal(writer.produce(small, wire.batch([b"small"]))["error"], 0, "error of Produce")
        for partition in range(10):
            expect_equal(writer.produce(topic, wire.batch([b"v" * size]), partition=partition)["error"], 0, "error of Produce")
    # Of what was produced last something may still be in memory, and costs nothing more.
    with unharmed(node, growth_kib_max=(FETCH + 2 * size >> 10) + 48 * 1024) as neighbour, contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(wire.Connection(node.port, receive_buffer=4096)) for _ in range(60)]
        for number, connection in enumerate(deaf):
            connection.send(wire.encode("fetch", **wire.fetch_values([(topic, number % 5, 0)], max_bytes=1, wait_ms=0)))
        time.sleep(2)  # As many as can have been read.
        began = time.monotonic()
        expect_equal(neighbour.read_all(small), [(0, None, b"small")], "what an ordinary consumer reads meanwhile")
        expect(time.monotonic() - began < SOON, "an ordinary consumer waits for those who do not read")
        for connection in deaf:
            connection.close()
        part = neighbour.fetch(topic, 0, partition=9, max_bytes=1)
        expect(len(part["records"]) > size, "a first batch comes whole, whatever the limit")

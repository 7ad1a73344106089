"""Connections that hold on, crowd or never listen (52-54)."""

import contextlib
import struct
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, test, until
from hostile import topic_of, unharmed
import wire

IDLE_MS = 2000
PER_ADDRESS_MAX = 60
OPERATORS_MAX = 4  # From the machine itself, over max.connections.
SETTINGS = [f"connections.max.idle.ms={IDLE_MS}", f"max.connections.per.ip={PER_ADDRESS_MAX}"]


@test("hostile connection: one that sends a byte and then nothing is closed after connections.max.idle.ms")
def slowloris(node):
    starts = [b"", b"\0", b"\0\0\0\x40", struct.pack(">i", 1000) + b"\0\3\0\x0c", struct.pack(">i", 1 << 20) + b"x" * 70000]
    with unharmed(node) as neighbour:
        connections = []
        for start in starts:
            connections.append(wire.Connection(node.port))
            connections[-1].send(start)
        for start, connection in zip(starts, connections):
            # The neighbour talks meanwhile: that is what keeps its connection.
            until(lambda: neighbour.metadata([]) and connection.closed_within(0.2),
                  f"the connection closes after {start[:10]!r} and a long silence", 3 * IDLE_MS / 1000 + 3)
            connection.close()


def works(connection):
    with contextlib.suppress(wire.Disconnected, ConnectionError):
        return bool(connection.metadata([])["brokers"])
    return False


@test("hostile connection: more than max.connections are closed, but for a few from the machine itself, which can raise it",
      ours_only="Kafka leaves whoever comes in the backlog, until somebody goes")
def total(node):
    def alter(connection, operation, value):
        answer = connection.ask("incremental_alter_configs", validate_only=False, resources=[
            {"type": 4, "name": "", "configs": [{"name": "max.connections", "op": operation, "value": value}]}])
        expect_equal([one["error"] for one in answer["responses"]], [0], "errors")
    seen = []

    def served():
        """How many of a dozen are, beside the first."""
        with contextlib.ExitStack() as others:
            seen.append(sum(works(others.enter_context(wire.Connection(node.port, timeout=5))) for _ in range(12)))
        return seen[-1]
    with wire.Connection(node.port) as first:
        alter(first, 0, "3")
        # Those of before may be going yet.
        until(lambda: served() == 2 + OPERATORS_MAX, "as many are served as may be, and those of the machine itself")
        expect(max(seen) == 2 + OPERATORS_MAX, f"served beside the first: {seen}")
        alter(first, 1, None)
        until(lambda: served() == 12, "all are served when there is no limit")


@test("hostile connection: more from one address than max.connections.per.ip are closed, the earlier ones stay")
def flood(node):
    with wire.Connection(node.port) as first:
        expect(first.metadata([])["brokers"], "the first connection works")
        others = [wire.Connection(node.port, timeout=5) for _ in range(PER_ADDRESS_MAX + 40)]
        working = sum(map(works, others))
        expect(PER_ADDRESS_MAX - 10 <= working <= PER_ADDRESS_MAX - 1, f"{working} of {len(others)} more were served")
        expect(works(first), "the first connection was closed")
        for connection in others:
            connection.close()

        def served_again():
            with contextlib.suppress(wire.Disconnected, ConnectionError), wire.Connection(node.port) as connection:
                return works(connection)
            return False

        until(served_again, "a new connection is served when the others are gone")


@test("hostile connection: fetches sent ahead take no memory that the one before them waits for")
def fetches_ahead(node):
    topic = topic_of(node, partitions=2)
    with unharmed(node, growth_kib_max=192 * 1024) as neighbour, wire.Connection(node.port, timeout=30) as ahead:
        for _ in range(30):
            expect_equal(neighbour.produce(topic, wire.batch([b"v" * 900000]), partition=1)["error"], 0, "error of Produce")
        parked = wire.fetch_values([(topic, 0, 0)], max_bytes=2**31 - 1, wait_ms=25000)
        ready = wire.fetch_values([(topic, 1, 0)], max_bytes=2**31 - 1, wait_ms=100)
        # The first has nothing to read yet; those behind it have more than all memory for answers together.
        ahead.send(wire.encode("fetch", 1, **parked) + b"".join(wire.encode("fetch", 2 + i, **ready) for i in range(30)))
        expect_equal(neighbour.fetch(topic, 0, partition=1)["error"], 0, "error of the neighbour's Fetch")
        expect_equal(neighbour.produce(topic, wire.batch([b"now"]))["error"], 0, "error of Produce")
        part = ahead.answer("fetch", 1)["topics"][0]["partitions"][0]
        expect_equal([value for _, _, value in wire.parse_records(part["records"])], [b"now"], "what the first one read")
        expect(neighbour.fetch(topic, 0, partition=1)["records"], "the neighbour reads on")


@test("hostile connection: one that asks on and on and never reads is muted; its answers do not pile up")
def never_reads(node):
    topic = topic_of(node)
    with unharmed(node, growth_kib_max=64 * 1024) as neighbour:
        expect_equal(neighbour.produce(topic, wire.batch([b"v" * 900000]))["error"], 0, "error of Produce")
        fetches = wire.encode("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=0)) * 100
        deaf = [wire.Connection(node.port, timeout=0.5, receive_buffer=4096) for _ in range(8)]

        def muted(connection):
            try:
                for _ in range(5000):  # 450 GB of answers, were they all made.
                    connection.send(fetches)
            except (TimeoutError, ConnectionError):
                return True  # No longer read; and, being idle, closed after a while.
            return False

        expect(all(map(muted, deaf)), "a connection that reads nothing could go on asking")
        for _ in range(20):
            expect(neighbour.metadata([])["brokers"], "the neighbour is served meanwhile")
        for connection in deaf:
            connection.close()

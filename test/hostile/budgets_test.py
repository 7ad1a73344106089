"""Few connections that would keep from all others the memory that requests and answers share."""

import contextlib
import select
import struct
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, test, until
from hostile import disconnects, metric, topic_of, unharmed
import wire

MEMORY = 64 << 20
REQUESTS = MEMORY // 16 * 5
FETCH = MEMORY // 4
# The largest frame that still shares its memory with all others, nearly.
ORDINARY = REQUESTS // 8 * 7 // 8 - 100_000
SETTINGS = [f"millrace.memory.bytes={MEMORY}", "millrace.shards=1"]
OURS = "Kafka has other budgets"
SOON = 5


def taken(node, budget):
    return metric(node, f'millrace_memory_bytes{{budget="{budget}"}}')


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


def long_name(key, version, before, after, element, count=6000, unit=b""):
    """A request of an old version that says one topic's name of 32,767 bytes, and so many partitions of it."""
    name = b"n" * 32767
    return wire.frame(wire.header(key, version, 1, False) + before + struct.pack(">i", 1) + struct.pack(">h", len(name)) + name
                      + struct.pack(">i", count) + b"".join(element(index) for index in range(count)) + after)


@test("hostile budget: a topic's name of 32 KiB is not copied for each of its partitions")
def long_names(node):
    fetch = lambda index: struct.pack(">iqi", index, 0, 1 << 20)
    requests = [long_name(1, 4, struct.pack(">iiiib", -1, 0, 1, 1 << 20, 0), b"", fetch),
                # With a session: a name that no topic can have is in none.
                long_name(1, 7, struct.pack(">iiiibii", -1, 0, 1, 1 << 20, 0, 0, 0), struct.pack(">i", 0),
                          lambda index: struct.pack(">iqqi", index, 0, 0, 1 << 20)),
                long_name(2, 1, struct.pack(">i", -1), b"", lambda index: struct.pack(">iq", index, -1)),
                long_name(21, 0, b"", struct.pack(">i", 1000), lambda index: struct.pack(">iq", index, 0)),
                long_name(43, 0, b"", struct.pack(">i", 1000), lambda index: struct.pack(">i", index))]
    for request in requests:
        with unharmed(node, growth_kib_max=32 * 1024), wire.Connection(node.port, timeout=30) as connection:
            connection.send(request)
            answer = connection.read_frame()
            expect(32767 < len(answer) < 1 << 20, f"an answer of {len(answer)} bytes to API {request[5]}")


@test("hostile budget: DeleteRecords of a million partitions is refused, of one that is named often it is done once",
      ours_only="Kafka answers each")
def many_deletions(node):
    topic = topic_of(node)
    name = struct.pack(">h", len(topic)) + topic.encode()
    def request(count, partition):
        return wire.frame(wire.header(21, 0, 1, False) + struct.pack(">i", 1) + name + struct.pack(">i", count)
                          + b"".join(struct.pack(">iq", partition(index), 0) for index in range(count)) + struct.pack(">i", 1000))
    with unharmed(node, growth_kib_max=96 * 1024):
        disconnects(node, request(900_000, lambda index: index), 30)
        with wire.Connection(node.port, timeout=30) as connection:
            connection.send(request(40_000, lambda index: 0))
            expect(len(connection.read_frame()) < 1000, "one answer for one partition")


@test("hostile budget: answers without records that nobody reads are bounded, too", ours_only=OURS)
def unread_answers(node):
    topic = topic_of(node)
    # Topics that are not there, whose names the answer repeats: some 2 MB.
    topics = b"".join(struct.pack(">h", 32767) + b"%06d" % index + b"n" * 32761 + struct.pack(">iiqi", 1, 0, 0, 1)
                      for index in range(60))
    request = wire.frame(wire.header(1, 4, 1, False) + struct.pack(">iiiibi", -1, 0, 1, 1 << 20, 0, 60) + topics)
    with unharmed(node, growth_kib_max=96 * 1024) as neighbour, contextlib.ExitStack() as stack:
        for _ in range(100):
            deaf = stack.enter_context(wire.Connection(node.port, receive_buffer=4096, timeout=SOON))
            deaf.socket.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                deaf.send(request)
        began = time.monotonic()
        expect_equal(neighbour.fetch(topic, 0, wait_ms=200)["error"], 0, "error of another client's Fetch")
        expect(time.monotonic() - began < SOON, "an ordinary consumer waits for those who do not read")


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
        # An eighth is for small ones.
        until(lambda: taken(node, "requests") + ORDINARY > REQUESTS // 8 * 7, "they are being received, and no other fits in")
        for _ in range(20):
            served(node, topic, 10_000)
        # The first ones lose their connection, those who waited for their memory next, and so on.
        served(node, topic, 500_000, seconds=30)


@test("hostile budget: a slow producer gets through while others wait for the memory, and frames that trickle do not stop them",
      ours_only=OURS)
def slow_producer(node):
    topic = topic_of(node)
    frame = wire.encode("produce", 7, **wire.produce_values(topic, wire.batch([b"v" * 700_000])))
    quiet = topic_of(node)
    with unharmed(node) as neighbour, contextlib.ExitStack() as stack:
        slow = stack.enter_context(wire.Connection(node.port, timeout=30))
        slow.send(frame[:30_000])
        until(lambda: taken(node, "requests") >= 700_000, "it has its memory")
        def attack(count):
            for _ in range(count):
                trickling.append(stack.enter_context(wire.Connection(node.port)))
                trickling[-1].send(struct.pack(">i", ORDINARY) + b"\0" * 20_000)
        trickling = []
        attack(10)
        waiting = stack.enter_context(wire.Connection(node.port, timeout=40))
        waiting.send(wire.encode("produce", 8, **wire.produce_values(topic, wire.batch([b"w" * 900_000]))))
        for at in range(30_000, len(frame), 30_000):
            slow.send(frame[at:at + 30_000])
            attack(3)
            for connection in trickling:
                with contextlib.suppress(OSError):
                    connection.send(b"\0" * 100)
            # 30 KB a second: the node's own clock says when it is over.
            expect_equal(neighbour.fetch(quiet, 0, wait_ms=1000)["error"], 0, "error of another client's poll")
        expect_equal(slow.answer("produce", 7)["topics"][0]["partitions"][0]["error"], 0, "error of the slow producer")
        expect_equal(waiting.answer("produce", 8)["topics"][0]["partitions"][0]["error"], 0, "error of who waited")


def taken_to_wait(node, stack, topic):
    """Long polls that take what long polls may take: by client ids, which are kept as well."""
    body = wire.body("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=2**31 - 1))
    client = "c" * 32_000
    poll = wire.frame(wire.header(1, 12, 1, True, client) + body)
    polls = []
    for _ in range(FETCH // 15_000):
        polls.append(stack.enter_context(wire.Connection(node.port)))
        polls[-1].send(poll)
    return polls


@test("hostile budget: where there is no memory for long polls nobody spins, and whoever asks gets what there is", ours_only=OURS)
def no_room_to_wait(node):
    parked, read = topic_of(node), topic_of(node)
    body = wire.body("fetch", **wire.fetch_values([(read, 0, 0)], wait_ms=500))
    poll = wire.frame(wire.header(1, 12, 1, True, "h" * 32_000) + body)
    with unharmed(node) as neighbour, contextlib.ExitStack() as stack:
        taken_to_wait(node, stack, parked)
        with wire.Connection(node.port) as connection:
            asked, until = 0, time.monotonic() + 3
            while time.monotonic() < until:
                connection.send(poll)
                connection.answer("fetch", 1)
                asked += 1
            expect(asked <= 15, f"{asked} polls of 500 ms were answered in 3 s")
            expect_equal(neighbour.produce(read, wire.batch([b"news"]))["error"], 0, "error of Produce")
            connection.send(poll)
            answer = connection.answer("fetch", 1)
            expect(answer["topics"][0]["partitions"][0]["records"], "no records in the answer")


@test("hostile budget: a poll of many partitions is answered in time while others read nothing of what they got", ours_only=OURS)
def many_and_nothing_to_read(node):
    big = topic_of(node, **{"max.message.bytes": 4 << 20})
    quiet = topic_of(node, partitions=100)
    with wire.Connection(node.port, timeout=30) as writer:
        for _ in range(8):
            expect_equal(writer.produce(big, wire.batch([b"v" * 1_900_000]))["error"], 0, "error of Produce")
    with unharmed(node), contextlib.ExitStack() as stack:
        for _ in range(30):
            deaf = stack.enter_context(wire.Connection(node.port, receive_buffer=4096))
            deaf.send(wire.encode("fetch", **wire.fetch_values([(big, 0, 0)], max_bytes=2 << 20, wait_ms=0)))
        until(lambda: taken(node, "fetch") + 1_900_000 > FETCH, "as many as can have been read, and the others wait")
        with wire.Connection(node.port, timeout=5) as poll:
            values = wire.fetch_values([(quiet, index, 0) for index in range(100)], wait_ms=500)
            began = time.monotonic()
            answer = poll.ask("fetch", **values)
            took = time.monotonic() - began
            expect_equal(sum(len(topic["partitions"]) for topic in answer["topics"]), 100, "partitions in the answer")
            expect(0.4 < took < 2, f"a poll of 500 ms took {took:.1f} s")


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
        # Batches that are larger than an answer's share have one turn, which who does not read keeps for a while.
        until(lambda: select.select([connection.socket for connection in deaf], [], [], 0)[0], "one of them is answered")
        began = time.monotonic()
        expect_equal(neighbour.read_all(small), [(0, None, b"small")], "what an ordinary consumer reads meanwhile")
        expect(time.monotonic() - began < SOON, "an ordinary consumer waits for those who do not read")
        for connection in deaf:
            connection.close()
        part = neighbour.fetch(topic, 0, partition=9, max_bytes=1)
        expect(len(part["records"]) > size, "a first batch comes whole, whatever the limit")

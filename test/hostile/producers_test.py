"""A flood of producer ids (50): what partitions remember of producers is bounded over all of them, and nobody else notices."""

import struct
import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, test
from hostile import metric, topic_of, unharmed
import wire

PRODUCERS_BYTES = 4 << 20
# All of the flood would take three times as much.
GROWTH_KIB_MAX = 12 * 1024
FLOOD, PARTITIONS, AT_ONCE = 160_000, 20, 50
SETTINGS = [f"millrace.producer.state.bytes={PRODUCERS_BYTES}", "millrace.shards=1", f"millrace.memory.bytes={64 << 20}"]
OURS = "Kafka keeps each for a day"


def first_batch(producer, template=wire.batch([b"v"], producer=(0, 0, 0))):
    """The first batch of a producer of that id."""
    checked = template[21:43] + struct.pack(">q", producer) + template[51:]
    return template[:17] + struct.pack(">I", wire.crc32c(checked)) + checked


def flood(node, topic, ids):
    """A batch for each id, over all partitions; every one of them must be taken."""
    with wire.Connection(node.port, timeout=30) as connection:
        frames = []
        for start in range(0, len(ids), PARTITIONS):
            parts = [{"index": index, "records": first_batch(producer)}
                     for index, producer in enumerate(ids[start:start + PARTITIONS])]
            frames.append(wire.encode("produce", len(frames), transactional_id=None, acks=1, timeout_ms=10000,
                                      topics=[{"name": topic, "partitions": parts}]))
        for start in range(0, len(frames), AT_ONCE):
            connection.send(b"".join(frames[start:start + AT_ONCE]))
            for _ in frames[start:start + AT_ONCE]:
                answer = connection.answer("produce")
                errors = {part["error"] for part in answer["topics"][0]["partitions"]}
                expect_equal(errors, {0}, "errors of the flood's batches")


@test("hostile producers: a flood of 160,000 producer ids over 20 partitions takes what the budget has, and a neighbour's goes on",
      ours_only=OURS)
def producer_ids(node):
    topic, quiet = topic_of(node, PARTITIONS), topic_of(node)
    # As many batches of one producer id each partition: caches, journal and queues have what they take.
    for _ in range(8):
        with wire.Connection(node.port, timeout=30) as warm:
            plain = {"transactional_id": None, "acks": 1, "timeout_ms": 10000, "topics": [{"name": topic, "partitions": [
                {"index": index, "records": wire.batch([b"v"])} for index in range(PARTITIONS)]}]}
            for _ in range(1000 // AT_ONCE):
                warm.send(b"".join(wire.encode("produce", number, **plain) for number in range(AT_ONCE)))
                for _ in range(AT_ONCE):
                    warm.answer("produce")
    with unharmed(node, growth_kib_max=GROWTH_KIB_MAX) as neighbour:
        own = neighbour.init_producer()
        base = own + 10_000_000  # Ids that nobody was given: a node cannot tell.
        sequence, stop, refused = 0, threading.Event(), []
        attack = threading.Thread(target=lambda: (flood_all(node, topic, base, refused), stop.set()), daemon=True)
        attack.start()
        while not stop.wait(0.02):
            part = neighbour.produce(quiet, wire.batch([b"n%d" % sequence], producer=(own, 0, sequence)))
            expect_equal((part["error"], part["base_offset"]), (0, sequence), "error and offset of the neighbour's batch")
            sequence += 1
        attack.join()
        expect_equal(refused, [], "what the flood was refused")
        expect(sequence > 10, f"only {sequence} batches of the neighbour during the flood")
        remembered = metric(node, "millrace_log_producers")
        taken = metric(node, 'millrace_memory_bytes{budget="producers"}')
        expect(PRODUCERS_BYTES // 2 < taken <= PRODUCERS_BYTES, f"{remembered:.0f} producers take {taken:.0f} bytes")
        evicted = metric(node, "millrace_log_producers_evicted_total")
        expect_equal(remembered + evicted, FLOOD + 1, "producers that are remembered, and those that were forgotten")
        # The neighbour never was silent for long: what it sends again is known again.
        part = neighbour.produce(quiet, wire.batch([b"again"], producer=(own, 0, sequence - 1)))
        expect_equal((part["error"], part["base_offset"]), (0, sequence - 1), "the place of a batch that is sent again")
        # Who was forgotten is taken for new, wherever it goes on (rule 1.36); who is remembered is not.
        part = neighbour.produce(topic, wire.batch([b"v"], producer=(base, 0, 7)))
        expect_equal(part["error"], 0, "error of a forgotten producer's batch")
        part = neighbour.produce(topic, wire.batch([b"v"], producer=(base, 0, 9)))
        expect_equal(part["error"], 45, "error of a gap in its sequence then")


def flood_all(node, topic, base, refused):
    try:
        flood(node, topic, range(base, base + FLOOD))
    except Exception as failure:  # Told by the thread that asserts.
        refused.append(repr(failure))


@test("hostile producers: what was forgotten in a flood stays bounded over a kill -9 and a start, and the node serves", own_node=True,
      ours_only=OURS)
def restart(node):
    node.start()
    topic, quiet = topic_of(node, PARTITIONS), topic_of(node)
    flood(node, topic, range(50_000_000, 50_000_000 + 40_000))
    with wire.Connection(node.port) as neighbour:
        part = neighbour.produce(quiet, wire.batch([b"first"], producer=(7, 0, 0)))
        expect_equal(part["error"], 0, "error of Produce")
    node.kill()
    node.start()
    with wire.Connection(node.port) as neighbour:
        expect(neighbour.metadata([quiet])["topics"], "the node serves")
        taken = metric(node, 'millrace_memory_bytes{budget="producers"}')
        expect(PRODUCERS_BYTES // 2 < taken <= PRODUCERS_BYTES, f"producers take {taken:.0f} bytes")
        part = neighbour.produce(quiet, wire.batch([b"second"], producer=(7, 0, 1)))
        expect_equal((part["error"], part["base_offset"]), (0, 1), "error and offset of the neighbour's next batch")

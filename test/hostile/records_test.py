"""Record batches that are not what they say (22-39): refused with the right error, and nothing is appended."""

import gzip
import random
import struct
import sys
import time
import zlib

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, expect_in, test
from hostile import topic_of, unharmed
import wire

CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, INVALID_REQUIRED_ACKS, INVALID_TIMESTAMP = 2, 10, 21, 32
OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH, UNSUPPORTED_COMPRESSION, INVALID_RECORD = 45, 47, 76, 87
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def refused(node, records, *errors, topic=None, **configs):
    """Produces `records`; fails unless the answer is one of `errors` and the log stays as it was.

    Kafka also answers -1 (UNKNOWN_SERVER_ERROR) to much of this; we never may: idempotent clients double records on it.
    """
    topic = topic or topic_of(node, **configs)
    if not node.ours:
        errors = (*errors, -1)
    with wire.Connection(node.port) as connection:
        before = connection.list_offset(topic, -1)["offset"]
        part = connection.produce(topic, records)
        expect_in(part["error"], errors, f"error for {records[:80]!r}")
        expect_equal(part["base_offset"], -1, "base offset of a refused batch")
        expect_equal(connection.list_offset(topic, -1)["offset"], before, "log end")


def patch(data, at, new):
    return data[:at] + new + data[at + len(new):]


@test("hostile records: a wrong CRC gets 2")
def crc(node):
    with unharmed(node):
        refused(node, wire.batch([b"x"], crc=1), CORRUPT_MESSAGE)
        refused(node, patch(wire.batch([b"hello"]), 70, b"J"), CORRUPT_MESSAGE)


@test("hostile records: magic 0, 1 and 9 get 87")
def magic(node):
    with unharmed(node):
        for value in (0, 1, 9, -1):
            refused(node, wire.batch([b"x"], magic=value), INVALID_RECORD, CORRUPT_MESSAGE)


@test("hostile records: a batch length that is short, long or negative gets 2")
def batch_length(node):
    with unharmed(node):
        good = len(wire.batch([b"x"])) - 12
        for length in (good - 1, good + 1, 0, 10, 48, -1, -(2**31), 2**31 - 1):
            refused(node, wire.batch([b"x"], length=length), CORRUPT_MESSAGE, INVALID_RECORD)


@test("hostile records: a batch cut anywhere is refused")
def cut(node):
    with unharmed(node):
        whole = wire.batch([b"value"] * 3)
        for end in (0, 1, 11, 12, 16, 17, 60, 61, 62, len(whole) - 1):
            refused(node, whole[:end], CORRUPT_MESSAGE, INVALID_RECORD)


@test("hostile records: a record count that lies gets 87")
def count(node):
    with unharmed(node):
        refused(node, wire.batch([b"x", b"y"], count=1, last_delta=0), INVALID_RECORD)
        refused(node, wire.batch([b"x", b"y"], count=3, last_delta=2), INVALID_RECORD)
        for value in (0, -1, 2**31 - 1):
            refused(node, wire.batch([b"x", b"y"], count=value, last_delta=max(value - 1, 0)), INVALID_RECORD)


@test("hostile records: a last offset delta that does not fit the count gets 87")
def last_delta(node):
    with unharmed(node):
        for value in (0, 2, -1, 2**31 - 1):
            refused(node, wire.batch([b"x", b"y"], last_delta=value), INVALID_RECORD)


@test("hostile records: negative lengths inside a record get 87")
def negative_lengths(node):
    varint = wire.varint
    with unharmed(node):
        for inner in (
            varint(-5) + b"\0" * 10,
            varint(7) + b"\0" + varint(0) + varint(0) + varint(-2) + varint(0) + varint(0) + b"x",
            varint(7) + b"\0" + varint(0) + varint(0) + varint(-1) + varint(-9) + varint(0) + b"x",
            varint(7) + b"\0" + varint(0) + varint(0) + varint(-1) + varint(0) + varint(-1) + b"x",
            varint(9) + b"\0" + varint(0) + varint(0) + varint(-1) + varint(0) + varint(1) + varint(-1) + varint(0) + b"x",
        ):
            refused(node, wire.batch([b""], body=inner), INVALID_RECORD, CORRUPT_MESSAGE)


@test("hostile records: lengths and header counts beyond the record get 87, without the memory for them")
def bombs(node):
    varint = wire.varint
    head = b"\0" + varint(0) + varint(0)
    with unharmed(node):
        for inside in (head + varint(2**31 - 1), head + varint(-1) + varint(2**31 - 1),
                       head + varint(-1) + varint(0) + varint(2**31 - 1), head + varint(-1) + varint(0) + varint(1000000) + b"\0\0"):
            refused(node, wire.batch([b""], body=varint(len(inside)) + inside), INVALID_RECORD, CORRUPT_MESSAGE)
        refused(node, wire.batch([b""], body=varint(2**31 - 1) + b"\0" * 10), INVALID_RECORD, CORRUPT_MESSAGE)


@test("hostile records: two batches for one partition, or none, get 87")
def batches(node):
    with unharmed(node):
        refused(node, wire.batch([b"x"]) + wire.batch([b"y"]), INVALID_RECORD)
        refused(node, b"", INVALID_RECORD)


@test("hostile records: a client's control batch gets 87")
def control(node):
    with unharmed(node):
        body = wire.record(0, struct.pack(">hh", 0, 1), struct.pack(">hi", 0, 0))
        refused(node, wire.batch([b""], body=body, attributes=0x20), INVALID_RECORD)
        # 48 and 53: that it belongs to no transaction may be seen first.
        refused(node, wire.batch([b""], body=body, attributes=0x30, producer=(1, 0, 0)), INVALID_RECORD, 48, 53)


@test("hostile records: a codec number nobody has is refused")
def codec(node):
    with unharmed(node):
        for number in (5, 6, 7):
            refused(node, wire.batch([b"x"], codec=number), UNSUPPORTED_COMPRESSION, INVALID_RECORD, CORRUPT_MESSAGE)


@test("hostile records: zstd in an old Produce gets 76")
def zstd_version(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        part = connection.produce(topic, wire.batch([b"x"], codec=ZSTD, body=b"\x28\xb5\x2f\xfd"), api="produce_v3")
        expect_equal(part["error"], UNSUPPORTED_COMPRESSION, "error")


@test("hostile records: 1 GB that packs into 1 MB is not unpacked into memory")
def decompression_bomb(node):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(900)) + packer.flush()
    expect(len(packed) < 1000000, f"the bomb is {len(packed)} bytes")
    with unharmed(node):
        refused(node, wire.batch([b""], codec=GZIP, body=packed), MESSAGE_TOO_LARGE, INVALID_RECORD, CORRUPT_MESSAGE)


@test("hostile records: one record of 900 MB packed into 1 MB is not unpacked into memory",
      ours_only="Kafka unpacks it: what fits its heap is taken")
def large_record_bomb(node):
    size = 900 << 20
    inside = b"\0" + wire.varint(0) + wire.varint(0) + wire.varint(-1) + wire.varint(size)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(wire.varint(len(inside) + size + 1) + inside)
    packed += b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(900)) + packer.compress(b"\0") + packer.flush()
    with unharmed(node):
        refused(node, wire.batch([b""], codec=GZIP, body=packed), MESSAGE_TOO_LARGE, INVALID_RECORD)


@test("hostile records: batches that take long to unpack or rewrite keep nobody waiting, and their connection's order",
      ours_only="Kafka has a thread for each")
def long_batches(node):
    topic = topic_of(node, **{"compression.type": "lz4", "max.message.bytes": "4000000"})
    dice = random.Random(1)
    words = [b"%x" % dice.getrandbits(40) for _ in range(500)]
    value = b" ".join(dice.choices(words, k=320_000))[:3_500_000]
    batches, small = 4, wire.batch([b"x"])
    with unharmed(node), wire.Connection(node.port, timeout=60) as connection, wire.Connection(node.port) as other:
        started = time.monotonic()
        large = wire.batch([value])
        for i in range(batches):  # All at once, none waits for an answer.
            for records in (large, small):
                connection.send(wire.encode("produce", correlation=2 * i, **wire.produce_values(topic, records, acks=1)))
        slowest = 0
        for _ in range(20):
            asked = time.monotonic()
            other.ask("metadata", topics=[], auto_create=False, topic_operations=False)
            slowest = max(slowest, time.monotonic() - asked)
        offsets = []
        for _ in range(2 * batches):
            part = connection.answer("produce")["topics"][0]["partitions"][0]
            expect_equal(part["error"], 0, "error")
            offsets.append(part["base_offset"])
        took = time.monotonic() - started
        expect_equal(offsets, list(range(2 * batches)), "offsets, in the order in which the batches were sent")
        # On the shard each would take a quarter of the time at a stretch.
        expect(slowest < took / 8, f"a neighbour waited {slowest:.3f} s of the {took:.3f} s that the batches took")


@test("hostile records: compressed bytes that are none, are cut, or lack their end are refused")
def corrupt_compressed(node):
    good = gzip.compress(wire.record(0, None, b"x" * 1000))
    with unharmed(node):
        for number in (GZIP, SNAPPY, LZ4, ZSTD):
            refused(node, wire.batch([b""], codec=number, body=b"\xde\xad\xbe\xef" * 20), CORRUPT_MESSAGE, INVALID_RECORD)
        for body in (good[:-9], patch(good, 15, b"\xff\xff"), b""):
            refused(node, wire.batch([b""], codec=GZIP, body=body), CORRUPT_MESSAGE, INVALID_RECORD)


@test("hostile records: snappy and zstd headers that ask for gigabytes get no memory")
def hostile_windows(node):
    with unharmed(node):
        xerial = b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, 20) + wire.uvarint(2**31 - 1) + b"\xff" * 15
        refused(node, wire.batch([b""], codec=SNAPPY, body=xerial), CORRUPT_MESSAGE, INVALID_RECORD)
        refused(node, wire.batch([b""], codec=SNAPPY, body=wire.uvarint(2**31 - 1) + b"\xff" * 15), CORRUPT_MESSAGE, INVALID_RECORD)
        # A frame header whose window descriptor says 2 GB, then one raw block that is cut.
        zstd = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\xa8" + b"\x01\x00\x10" + b"x" * 20
        refused(node, wire.batch([b""], codec=ZSTD, body=zstd), CORRUPT_MESSAGE, INVALID_RECORD)


@test("hostile records: batches that the topic's compression.type makes a hundred times larger are stored, in order")
def grown(node):
    value = b"\0" * 300_000
    packed = gzip.compress(wire.record(0, None, value))
    topic = topic_of(node, partitions=4, **{"compression.type": "uncompressed"})
    with unharmed(node, growth_kib_max=160 * 1024), wire.Connection(node.port, timeout=60) as connection:
        small = wire.batch([b"x"], codec=GZIP, body=packed)
        # Far more at once than may wait for the disk, from requests of a few hundred bytes each.
        parts = [{"index": index % 4, "records": small} for index in range(40)]
        values = {**wire.produce_values(topic, None), "topics": [{"name": topic, "partitions": parts}]}
        for correlation in range(1, 7):
            connection.send(wire.encode("produce", correlation, **values))
        for correlation in range(1, 7):
            answered = connection.answer("produce", correlation)["topics"][0]["partitions"]
            expect_equal({part["error"] for part in answered}, {0}, "errors")
            first = 10 * (correlation - 1)
            expect_equal([part["base_offset"] for part in answered], [first + index // 4 for index in range(40)], "offsets")


@test("hostile records: a batch above max.message.bytes gets 10")
def too_large(node):
    with unharmed(node):
        refused(node, wire.batch([b"x" * 1100000]), MESSAGE_TOO_LARGE)
        refused(node, wire.batch([b"x" * 2000]), MESSAGE_TOO_LARGE, **{"max.message.bytes": 1000})


@test("hostile records: a time far in the past or future gets 32 where the topic bounds it; extremes overflow nothing")
def timestamps(node):
    now = int(time.time() * 1000)
    with unharmed(node):
        bounded = {"message.timestamp.before.max.ms": 3600000, "message.timestamp.after.max.ms": 3600000}
        for stamp in (now - 7200000, now + 7200000, 2**63 - 1, -(2**63), 0):
            refused(node, wire.batch([b"x"], timestamp=stamp), INVALID_TIMESTAMP, **bounded)
        refused(node, wire.batch([b"x"], timestamp=now + 90000000), INVALID_TIMESTAMP)


@test("hostile records: one bad record refuses its batch and names the record; another partition is not touched")
def one_of_many(node):
    topic = topic_of(node, partitions=2, **{"cleanup.policy": "compact"})
    with unharmed(node), wire.Connection(node.port) as connection:
        good = wire.batch([(b"k", b"v")])
        bad = wire.batch([(b"k", b"v"), (None, b"v")])
        values = wire.produce_values(topic, bad)
        values["topics"][0]["partitions"].append({"index": 1, "records": good})
        parts = {part["index"]: part for part in connection.ask("produce", **values)["topics"][0]["partitions"]}
        expect_equal((parts[0]["error"], [one["index"] for one in parts[0]["record_errors"]]), (INVALID_RECORD, [1]), "partition 0")
        expect_equal((parts[1]["error"], parts[1]["base_offset"]), (0, 0), "partition 1")
        expect_equal(connection.list_offset(topic, -1, 0)["offset"], 0, "log end of partition 0")


@test("hostile records: a sequence gap gets 45, an old epoch 47, a repeated batch its first offset again")
def sequences(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        producer = connection.init_producer()

        def send(epoch, sequence):
            part = connection.produce(topic, wire.batch([b"x", b"y"], producer=(producer, epoch, sequence)))
            return part["error"], part["base_offset"]

        expect_equal([send(1, 0), send(1, 2), send(1, 4)], [(0, 0), (0, 2), (0, 4)], "in order")
        expect_equal(send(1, 2), (0, 2), "a repeated batch")
        expect_equal(send(1, 8), (OUT_OF_ORDER_SEQUENCE, -1), "a gap")
        expect_equal(send(0, 6), (INVALID_PRODUCER_EPOCH, -1), "an old epoch")
        expect_equal(send(2, 6), (OUT_OF_ORDER_SEQUENCE, -1), "a new epoch that does not begin at 0")
        expect_equal(send(1, 6), (0, 6), "the next one")
        expect_equal(connection.list_offset(topic, -1)["offset"], 8, "log end")
    refused(node, wire.batch([b"x"], producer=(producer, 0, -1)), INVALID_RECORD)


@test("hostile records: a transactional batch without a transaction is refused")
def transactional(node):
    with unharmed(node):
        topic = topic_of(node)
        with wire.Connection(node.port) as connection:
            part = connection.produce(topic, wire.batch([b"x"], attributes=0x10, producer=(4711, 0, 0)), transactional_id="nobody")
            expect(part["error"] != 0, "it was taken")
            expect_equal(connection.list_offset(topic, -1)["offset"], 0, "log end")


@test("hostile records: acks=7 gets 21 and nothing is appended")
def acks(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        for value in (7, -2, 2):
            expect_equal(connection.produce(topic, wire.batch([b"x"]), acks=value)["error"], INVALID_REQUIRED_ACKS, f"acks={value}")
        expect_equal(connection.list_offset(topic, -1)["offset"], 0, "log end")


@test("hostile records: a refused batch with acks=0 closes the connection, the only answer there can be")
def acks_zero(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        connection.send(wire.encode("produce", **wire.produce_values(topic, wire.batch([b"x"], crc=1), acks=0)))
        expect(connection.closed_within(5), "still open, or answered")

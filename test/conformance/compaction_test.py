"""Compaction: what clients find of a compacted topic; on a bare socket, with kcat and with Kafka's own tools."""

import re

from harness import expect, expect_equal, expect_in, fresh_topic, java_environment, need, oracle, run, test, until
import wire

SETTINGS = ["log.cleaner.backoff.ms=200", "log.initial.task.delay.ms=200", "log.segment.delete.delay.ms=0"]
INVALID_RECORD = 87
CONFIGS = {"cleanup.policy": "compact", "segment.bytes": 1048576, "min.cleanable.dirty.ratio": 0.01}


def topic_of(connection, **configs):
    name = fresh_topic("compacted")
    expect_equal(connection.create_topic(name, configs={**CONFIGS, **configs}), 0, "error of CreateTopics")
    return name


def append(connection, topic, values):
    part = connection.produce(topic, wire.batch(values))
    expect_equal(part["error"], 0, "error of Produce")
    return part["base_offset"]


def read(connection, topic):
    """[(offset, key, value)], over holes and batches without records."""
    found = []
    offset = connection.list_offset(topic, -2)["offset"]
    end = connection.list_offset(topic, -1)["offset"]
    while offset < end:
        data = connection.fetch(topic, offset, max_bytes=4 << 20)["records"] or b""
        expect(data, f"nothing at {offset} although the log ends at {end}")
        found += [record for record in wire.parse_records(data) if record[0] >= offset]
        at = 0
        while at + 61 <= len(data):
            base = int.from_bytes(data[at:at + 8], "big")
            offset = base + int.from_bytes(data[at + 23:at + 27], "big") + 1
            at += 12 + int.from_bytes(data[at + 8:at + 12], "big")
    return found


def fill(connection, topic, keys=20, rounds=200):
    """Enough for three segments; returns what is latest."""
    latest = {}
    for number in range(rounds):
        values = [(b"k%d" % (one % keys), b"%06d" % (number * 20 + one) + b"z" * 800) for one in range(20)]
        base = append(connection, topic, values)
        latest.update({key: (base + one, value) for one, (key, value) in enumerate(values)})
    return latest


def compacted(connection, topic, written):
    until(lambda: len(read(connection, topic)) < written / 2, "less than half of the records are left", 40)


def has_horizon(connection, topic, offset):
    """Whether the batch at `offset` was compacted with a tombstone in it, which gives it a delete horizon."""
    data = connection.fetch(topic, offset)["records"]
    return bool(int.from_bytes(data[21:23], "big") & 0x40)


@test("compaction: the latest value of every key stays, at its offset")
def latest_values(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        latest = fill(connection, name)
        compacted(connection, name, 4000)
        expect_equal(connection.list_offset(name, -2)["offset"], 0, "the start")
        expect_equal(connection.list_offset(name, -1)["offset"], 4000, "the end")
        found = {key: (offset, value) for offset, key, value in read(connection, name)}
        expect_equal(found, latest, "latest values")
        # An offset in a hole leads to what follows it.
        first = read(connection, name)[0][0]
        part = connection.fetch(name, 1)
        expect_equal((part["error"], bool(part["records"])), (0, True), "a fetch at a hole")
        expect(first > 1, f"nothing was compacted at the front: {first}")
    seen = run([need("kcat"), "-b", node.bootstrap, "-m", "10", "-C", "-q", "-t", name, "-e", "-o", "beginning", "-f", "%k %o\\n"])
    kcat = {}
    for line in seen.splitlines():
        key, offset = line.split()
        kcat[key.encode()] = int(offset)
    expect_equal(kcat, {key: offset for key, (offset, _) in latest.items()}, "latest offsets by kcat")


@test("compaction: a tombstone goes after delete.retention.ms, and the key stays deleted")
def tombstones(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"delete.retention.ms": 0})
        append(connection, name, [(b"gone", b"1"), (b"kept", b"1")])
        append(connection, name, [(b"gone", None)])

        def keys():
            fill(connection, name, rounds=60)
            return {key for _, key, _ in read(connection, name)}
        until(lambda: b"gone" not in keys(), "the deleted key is gone", 60)
        expect_in(b"kept", {key for _, key, _ in read(connection, name)})


@test("compaction: a record without a key is refused")
def no_key(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        expect_equal(connection.produce(name, wire.batch([b"value"]))["error"], INVALID_RECORD, "error of Produce")


@test("compaction: kafka-dump-log reads compacted segments and their indexes, and finds no mismatch", own_node=True,
      ours_only="it reads the node's own directory, after a clean stop")
def dump_log(node):
    node.start()
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        latest = fill(connection, name)
        deleted = append(connection, name, [(b"deleted", None)])
        latest |= fill(connection, name, rounds=100)
        compacted(connection, name, 6000)
        # What is left may be so little by a round that ended in front of the tombstone.
        until(lambda: has_horizon(connection, name, deleted), "the tombstone has its horizon", 40)
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    folder = node.log_dir / f"{name}-0"
    expect_equal([path.name for path in folder.iterdir() if path.suffix in (".cleaned", ".swap")], [], "files of compaction")
    tool = [oracle(), "dump-log"]
    env = java_environment()
    segments = sorted(folder.glob("*.log"))
    text = run([*tool, "--deep-iteration", "--print-data-log", "--files", ",".join(map(str, segments))], env=env)
    expect("isvalid: false" not in text, "a CRC is wrong")
    seen = re.findall(r"^\| offset: (\d+) .*key: (\w+)", text, re.M)
    expect(len(seen) < 3000, f"{len(seen)} records")
    dumped = {key.encode(): int(offset) for offset, key in seen if key != "deleted"}
    expect_equal(dumped, {key: offset for key, (offset, _) in latest.items()}, "latest offsets in the dump")
    expect_in("deleteHorizonMs: OptionalLong[", text)
    for kind in ("index", "timeindex"):
        text = run([*tool, "--verify-index-only" if kind == "index" else "--deep-iteration", "--files",
                    ",".join(map(str, sorted(folder.glob(f"*.{kind}"))))], env=env)
        for complaint in ("Mismatches in", "Index timestamp", "Found ", "Exception", "Indexed offset"):
            expect(complaint not in text, f"{kind}: {text[:2000]}")
    node.start()
    with wire.Connection(node.port) as connection:
        found = {key: offset for offset, key, _ in read(connection, name) if key != b"deleted"}
        expect_equal(found, dumped, "latest offsets after a restart")

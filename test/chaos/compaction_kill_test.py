"""kill -9 while a log is compacted all the time (RELIABILITY 36): every key has its latest value, and who was deleted stays away.

A node dies when files of the cleaner are there: a segment half written anew, or one that is just put in the place of the old ones.
"""

import contextlib
import os
import random
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from compaction_test import read
from harness import expect, expect_equal, fresh_topic, test
import wire

SETTINGS = ["log.cleaner.backoff.ms=1", "log.initial.task.delay.ms=0", "log.segment.delete.delay.ms=0"]
CONFIGS = {"cleanup.policy": "compact", "segment.bytes": 1048576, "min.cleanable.dirty.ratio": 0.01, "delete.retention.ms": 0}
KILLS = int(os.environ.get("MILLRACE_COMPACTION_KILLS", "10"))
SEED = int(os.environ.get("MILLRACE_SEED", "1"))
KEYS, BYTES = 60, 1000
BATCHES, RECORDS = 120, 40  # Three segments and more.
RECORDS_BESIDE = 5  # At a time, while the cleaner works.


class Keys:
    """What each key may be now: {key: {(offset, value), ...}}; a value of None is a tombstone."""

    def __init__(self, dice):
        self.dice = dice
        self.made = 0
        self.acknowledged = 0
        self.known = {}
        self.doubtful = {}  # Of the batch that nobody answered; it is there as a whole, or not at all.

    def batch(self, count):
        records = []
        for _ in range(count):
            self.made += 1
            value = None if self.dice.random() < 0.2 else b"%09d" % self.made + b"z" * BYTES
            records.append((b"key-%02d" % self.dice.randrange(KEYS), value))
        self.doubtful = dict(records)
        return records

    def promised(self, base, records):
        self.known |= {key: (base + place, value) for place, (key, value) in enumerate(records)}
        self.acknowledged += len(records)
        self.doubtful = {}

    def check(self, records):
        """`records`: all that is in the log."""
        offsets = [offset for offset, _, _ in records]
        expect(offsets == sorted(set(offsets)), "offsets do not rise")
        found = {key: (offset, value) for offset, key, value in records}
        written = {key: value for key, value in self.doubtful.items() if value is not None}
        arrived = {key for key, value in written.items() if found.get(key, (0, None))[1] == value}
        if arrived:
            expect_equal(arrived, set(written), "what is there of the batch that nobody answered")
            self.known |= {key: found[key] if key in written else (None, None) for key in self.doubtful}
        self.doubtful = {}
        for key, (offset, value) in self.known.items():
            if value is None:
                at, seen = found.get(key, (offset, None))
                expect(seen is None, f"{key}: deleted at {offset}, and {seen and seen[:9]} at {at} is back")
            else:
                at, seen = found.get(key, (None, None))
                expect((at, seen) == (offset, value), f"{key}: {value[:9]} was acknowledged at {offset}, and {seen and seen[:9]} at {at} is there")
        strange = set(found) - set(self.known)
        expect(not strange, f"nobody wrote {strange}")


def strike(node, folder, suffix, struck):
    """kill -9 as soon as there is such a file of the cleaner."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(name.endswith(suffix) for name in os.listdir(folder)):
            struck.append(suffix)
            break
    node.process.kill()


def write(connection, topic, keys, count):
    records = keys.batch(count)
    answer = connection.produce(topic, wire.batch(records))
    expect_equal(answer["error"], 0, "error of Produce")
    keys.promised(answer["base_offset"], records)


@test(f"compaction: kill -9 in the middle of it, {KILLS} times: the latest value of every key is there, and no deleted one comes back",
      own_node=True, ours_only="it looks at files of the cleaner")
def killed(node):
    node.start()
    name = fresh_topic("compacted")
    keys = Keys(random.Random(SEED))
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, configs=CONFIGS), 0, "error of CreateTopics")
    left = 0
    struck = []
    for number in range(KILLS):
        with wire.Connection(node.port) as connection:
            for _ in range(BATCHES):
                write(connection, name, keys, RECORDS)
        # What was just written is compacted when a checkpoint covers it: after a start at once, else ten seconds later.
        node.kill()
        node.start()
        striker = threading.Thread(target=strike, args=(node, node.log_dir / f"{name}-0", (".cleaned", ".swap")[number % 2], struck))
        striker.start()
        with contextlib.suppress(wire.Disconnected, OSError), wire.Connection(node.port) as connection:
            while True:
                write(connection, name, keys, RECORDS_BESIDE)
        striker.join()
        node.process.wait()
        node.await_closed()
        node.start()
        with wire.Connection(node.port) as connection:
            records = read(connection, name)
        keys.check(records)
        left = len(records)
    expect_equal(len(struck), KILLS, "kills that hit files of the cleaner")
    expect(left < keys.acknowledged / 4, f"{left} of {keys.acknowledged} records are left: this tests nothing")
    deleted = sum(value is None for _, value in keys.known.values())
    print(f"      {keys.acknowledged} records, {left} left; {deleted} of {len(keys.known)} keys deleted", flush=True)

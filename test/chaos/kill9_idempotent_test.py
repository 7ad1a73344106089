"""kill -9 at random during idempotent produce: nothing acknowledged is lost or doubled.

kill -9 leaves the page cache, so this is about our own recovery: journal, torn tails, producer state. Power loss is the
simulator's (test/sim). The dice are seeded; what the machine's scheduler adds is not, so a failure keeps the data.
"""

import os
import random
import shutil
import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import ROOT, Failure, expect, expect_equal, fresh_topic, test
from idempotent import Ledger, Producer
import wire

ROUNDS = int(os.environ.get("MILLRACE_KILL_ROUNDS", "100"))
SHARD_ROUNDS = max(ROUNDS // 4, 5)
PARTITIONS = 3
SEED = int(os.environ.get("MILLRACE_SEED", "1"))


def verify(node, producer):
    """Reads everything back; returns the number of records."""
    total = 0
    with wire.Connection(node.port) as connection:
        for partition in range(PARTITIONS):
            records = connection.read_all(producer.topic, partition)
            producer.ledger.check(partition, records)
            total += len(records)
    return total


def keep_data(node, name):
    kept = ROOT / "build/test-logs" / name
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(node.folder, kept)
    return kept.relative_to(ROOT)


def begin(node):
    topic = fresh_topic("chaos")
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, PARTITIONS), 0, "error of CreateTopics")
    return Producer(node, topic, PARTITIONS)


def produce_until(producer, dice, seconds, end):
    """Produces with requests in flight all the time, calls `end` after `seconds`, and returns when it has taken effect."""
    ending = threading.Event()

    def strike():
        ending.set()
        end()

    timer = threading.Timer(seconds, strike)
    timer.start()
    try:
        producer.run(dice, ending)
    finally:
        timer.join()


@test(f"chaos: kill -9 at random during idempotent produce, {ROUNDS} times: nothing acknowledged is lost or doubled", own_node=True)
def kill9(node):
    kill_many(node, ROUNDS if node.ours else 3)


@test(f"chaos: the same {SHARD_ROUNDS} times on 3 shards, on 1 to 3 of them after each kill", own_node=True,
      ours_only="Kafka has no shards")
def kill9_shards(node):
    kill_many(node, SHARD_ROUNDS, shards=(3, 1, 2))


def kill_many(node, rounds, shards=()):
    dice = random.Random(SEED)
    settings = list(node.settings)

    def restart(number):
        if shards:
            node.settings = [*settings, f"millrace.shards={shards[number % len(shards)]}"]

    restart(0)
    producer = begin(node)
    try:
        for number in range(rounds):
            produce_until(producer, dice, dice.uniform(0.005, 0.25), node.kill)
            restart(number + 1)
            if node.ours and dice.random() < 0.2:
                node.spawn()  # And once more, in the middle of its recovery.
                threading.Event().wait(dice.uniform(0, 0.05))
                node.kill()
            node.start()
            producer.settle()
            if number % 10 == 9 or number + 1 == rounds:
                total = verify(node, producer)
                print(f"      {number + 1} kills, {total} records", flush=True)
        expect(total >= rounds * 10, f"only {total} records in {rounds} rounds: the test tests nothing")
    except Failure as problem:
        raise Failure(f"seed {SEED}, round {number}: {problem}; data: {keep_data(node, 'kill9')}") from problem


@test("chaos: SIGTERM during produce answers what is in flight, exits with 0 and loses nothing", own_node=True,
      ours_only="the exit status is ours")
def graceful(node):
    dice = random.Random(SEED)
    producer = begin(node)
    statuses = []
    for _ in range(5):
        produce_until(producer, dice, dice.uniform(0.02, 0.2), lambda: statuses.append(node.stop()))
        node.start()
        producer.settle()
        verify(node, producer)
    expect_equal(statuses, [0] * 5, "exit statuses")


@test("chaos: the ledger sees a lost, a doubled, a moved and a foreign record")
def ledger(node):
    def with_log(records):
        book = Ledger()
        book.sent[0] = [b"a", b"b", b"c"]
        book.acknowledged[0] = {0: b"a", 1: b"b"}
        book.check(0, [(offset, None, value) for offset, value in records])

    with_log([(0, b"a"), (1, b"b")])
    with_log([(0, b"a"), (1, b"b"), (2, b"c")])  # Not acknowledged, and there: allowed.
    for wrong in ([(0, b"a")], [(0, b"a"), (1, b"b"), (2, b"b")], [(0, b"b"), (1, b"a")], [(0, b"a"), (1, b"b"), (2, b"z")],
                  [(1, b"a"), (2, b"b")], []):
        try:
            with_log(wrong)
        except Failure:
            continue
        raise Failure(f"the ledger found nothing wrong with {wrong}")

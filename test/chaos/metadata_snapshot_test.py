"""Metadata is snapshotted all the time, and nodes are away, or killed, while snapshots are written and taken (RELIABILITY 42)."""

import os
import random
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from harness import answers, expect_equal, test, until
from heavy_metadata import HeavyMetadata
from metadata_ledger import MetadataLedger

NODE = cluster_of(4, roles=["broker,controller", "broker,controller", "broker,controller", "broker"])
SETTINGS = ["metadata.log.max.record.bytes.between.snapshots=200"]  # Two or three changes.
BROKER_ONLY = 4
KILLS = int(os.environ.get("MILLRACE_SNAPSHOT_KILLS", "4"))
TAKES = "takes the snapshot of"
SEED = int(os.environ.get("MILLRACE_SEED", "1"))


def snapshot_of(node):
    """The index of the last snapshot that it took."""
    said = [line for line in node.said().splitlines() if " took a snapshot of " in line]
    return int(said[-1].split(" took a snapshot of ")[1].split(":")[0]) if said else 0


def times_taken_from_others(node):
    return node.said().count(TAKES)


@test("snapshot: a controller and a broker that were away while the log was cut behind them come back by a snapshot, and know all")
def away(cluster):
    heavy = HeavyMetadata(cluster)
    active = cluster.controller()
    absent = [next(one for one in cluster if one is not active and one.id != BROKER_ONLY), cluster.member(BROKER_ONLY)]
    with MetadataLedger(cluster) as ledger:
        ledger.more(20)
        knew = max(one.status()["metadata_index"] for one in absent)
        for one in absent:
            one.kill()
        before = times_taken_from_others(absent[0])
        ledger.more(20)
        heavy.outgrow_the_log()
        until(lambda: snapshot_of(active) > knew, "the log is cut behind who is away", 20)
        for one in absent:
            one.start()
        until(lambda: times_taken_from_others(absent[0]) > before, "the controller that was away takes a snapshot")
        ledger.more(20)
    ledger.check()
    print(f"      knew {knew}, a snapshot of {snapshot_of(active)}; {ledger.acknowledged} changes acknowledged", flush=True)


@test(f"snapshot: kill -9 of a controller that takes a snapshot, then {KILLS} times of one that writes them: nothing acknowledged is lost",
      own_node=True)
def killed(cluster):
    cluster.start()  # Of its own: a ledger knows all topics with its names.
    dice = random.Random(SEED)
    heavy = HeavyMetadata(cluster)
    active = cluster.controller()
    victim = next(one for one in cluster if one is not active and one.id != BROKER_ONLY)
    with MetadataLedger(cluster, seed=2) as ledger:
        ledger.more(20)
        victim.kill()
        for moment in (lambda: answers(victim.controller_port), lambda: times_taken_from_others(victim) > 0):
            heavy.outgrow_the_log()  # Each time: it may have taken the snapshot before it was killed, and not said so yet.
            victim.spawn()
            until(moment, "it listens, or takes a snapshot", 20)
            victim.kill()
        victim.start()
        for number in range(KILLS):
            ledger.more(dice.randint(1, 20))
            victim = cluster.controller() if number % 2 else cluster.member(dice.randint(1, 3))
            written = snapshot_of(victim)
            until(lambda: snapshot_of(victim) > written, "it writes snapshots", 20)
            victim.kill()
            ledger.more(20)
            victim.start()
    ledger.check()
    expect_equal([node.metric("millrace_metadata_stores_set_aside") for node in cluster], [0] * 4, "stores set aside")
    print(f"      {ledger.acknowledged} changes acknowledged, {ledger.lost_answers} answers lost", flush=True)

"""Three controllers, and one after the other goes: no change of the metadata that was acknowledged is lost (P29 to P34).

MILLRACE_METADATA_KILLS: how many kills; 300 take about ten minutes.
"""

import os
import random
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from harness import test
from metadata_ledger import MetadataLedger

NODE = cluster_of(3)
KILLS = int(os.environ.get("MILLRACE_METADATA_KILLS", "8"))


@test(f"metadata: {KILLS} times kill -9 of a controller, mostly the active one: what was acknowledged is there on every node")
def kill_controllers(cluster):
    dice = random.Random(7)
    with MetadataLedger(cluster) as ledger:
        for _ in range(KILLS):
            ledger.more(dice.randint(1, 40))
            victim = cluster.controller() if dice.random() < 0.7 else cluster.member(dice.randint(1, 3))
            victim.kill()
            ledger.more(dice.randint(1, 40))
            victim.start()
    ledger.check()
    print(f"      {ledger.acknowledged} changes acknowledged, {ledger.lost_answers} answers lost", flush=True)


@test("metadata: all controllers die at once, and what was acknowledged is there when they are back", own_node=True)
def kill_all(cluster):
    cluster.start()
    with MetadataLedger(cluster, seed=2) as ledger:
        for _ in range(2):
            ledger.more(100)
            cluster.kill()
            cluster.start()
        ledger.more(20)
    ledger.check()

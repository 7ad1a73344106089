"""The power of all three machines goes at once, the active controller's too, under load (RELIABILITY 14).

Each node's data and metadata lie on an image of its own. All nodes stand still while the images are copied, and go on from the
copies: what was not synced is gone, on all of them.
"""

import os
import random
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import Cluster
from harness import expect, fresh_topic, test
from image import Image, cut_power
from metadata_ledger import MetadataLedger

CUTS = int(os.environ.get("MILLRACE_CLUSTER_POWER_CUTS", "3"))
SEED = int(os.environ.get("MILLRACE_SEED", "1"))
PARTITIONS = 3
MEGABYTES = 256


class OnImages(Cluster):
    def __init__(self, options, settings=()):
        super().__init__(options, settings)
        self.images = []
        for one in self.members:
            self.images.append(Image(one.folder, MEGABYTES))
            one.extra.append(f"log.dirs={self.images[-1].data}")

    def wipe(self):
        for image in self.images:
            image.unmount()
        super().wipe()


NODE = OnImages


@test(f"power cut: of all three nodes at once, {CUTS} times under load, loses and doubles nothing that was acknowledged")
def all_at_once(cluster):
    dice = random.Random(SEED)
    topic = fresh_topic("power")
    cluster.create_topic(topic, PARTITIONS)
    cluster.until_in_sync(topic, PARTITIONS)
    with Load(cluster.bootstrap, topic, PARTITIONS, rate=1000) as load, MetadataLedger(cluster) as ledger:
        for _ in range(CUTS):
            load.more(dice.randint(200, 800))
            ledger.more(dice.randint(1, 30))
            cut_power(cluster.members, cluster.images)
            cluster.start()
            load.more(200)
            ledger.more(5)
        cluster.until_in_sync(topic, PARTITIONS)
    total = load.check()
    ledger.check()
    expect(total > CUTS * 400, f"only {total} records in {CUTS} rounds: the test tests nothing")
    print(f"      {CUTS} cuts, {total} records, {ledger.acknowledged} changes of metadata, {ledger.lost_answers} answers lost", flush=True)

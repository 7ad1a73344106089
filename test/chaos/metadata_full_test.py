"""The disk of a controller's metadata is full (RELIABILITY 21): the controller stops and says why, and comes back when there is room."""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import Cluster
from disk_image_test import fill
from harness import expect, expect_equal, expect_in, fresh_topic, test, until
from heavy_metadata import HeavyMetadata
from image import Image
from metadata_ledger import MetadataLedger
import wire

BROKERS = 3
MEGABYTES = 64
NO_ROOM = "No space left on device"


class LastOnSmallDisk(Cluster):
    """The metadata of the last member is on a disk of its own."""

    def __init__(self, options, settings=(), nodes=BROKERS, roles="broker,controller"):
        super().__init__(options, settings, nodes, roles)
        self.small = self.members[-1]
        self.image = Image(self.small.folder, MEGABYTES)
        self.small.extra.append(f"metadata.log.dir={self.image.data}")

    def wipe(self):
        self.image.unmount()
        super().wipe()


class ControllerOnSmallDisk(LastOnSmallDisk):
    def __init__(self, options, settings=()):
        super().__init__(options, settings, BROKERS + 1, [*["broker"] * BROKERS, "controller"])


NODE = LastOnSmallDisk


def ended_for_want_of_room(node, since):
    expect_equal(node.process.returncode, 1, "exit status")
    said = node.said()[since:]
    expect_in(NO_ROOM, said)
    expect_in(str(node.cluster.image.data), said)
    # It does not hold on to what others lead, which it cannot hear of any more.
    expect("producers are sent to look for another leader" not in said, "it stayed until its clients despaired of it")
    return len(node.said())


def filled(cluster, go_on):
    """Fills the disk; `go_on` says what works without that controller; makes room, and all that was acknowledged is there."""
    small, filler = cluster.small, cluster.image.place / "filler"
    topic = fresh_topic("full")
    cluster.create_topic(topic, BROKERS)
    cluster.until_in_sync(topic, BROKERS)
    heavy = HeavyMetadata(cluster)
    with Load(cluster.bootstrap, topic, BROKERS) as load, MetadataLedger(cluster) as ledger:
        load.more()
        ledger.more(20)
        fill(filler)
        said = len(small.said())

        def ended():
            # What the store had taken of the disk before is filled up first.
            with contextlib.suppress(OSError, wire.Disconnected):
                heavy.change(seconds=2)
            return small.process.poll() is not None
        until(ended, "the controller ends on a full disk", 40)
        said = ended_for_want_of_room(small, said)
        load.more()
        go_on(ledger)
        # It does not come back by being started again, and nothing is made worse by that.
        small.spawn()
        until(lambda: small.process.poll() is not None, "a start on a full disk ends", 30)
        ended_for_want_of_room(small, said)
        filler.unlink()
        small.start()
        ledger.more(20)
        cluster.until_in_sync(topic, BROKERS)
        load.more()
    load.check()
    ledger.check()
    expect_equal(small.metric("millrace_metadata_stores_set_aside"), 0, "stores set aside")
    print(f"      {ledger.acknowledged} changes acknowledged, {ledger.lost_answers} answers lost; longest gap {load.gap_ms}", flush=True)


@test("metadata disk full: of one controller of three; it stops and says why, the others go on, and with room it is back")
def one_of_three(cluster):
    filled(cluster, lambda ledger: ledger.more(20))


@test("metadata disk full: of the only controller; it stops and says why, brokers serve on, and with room all is there", own_node=True)
def the_only_one(one):
    cluster = ControllerOnSmallDisk(one.options)
    with cluster:
        filled(cluster, lambda ledger: None)

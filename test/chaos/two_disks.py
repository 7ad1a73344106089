"""Three nodes of which the first has a log directory on a disk of its own, which fails or fills up while the cluster is written to."""

from cluster import Cluster
from harness import expect, fresh_topic
from image import Image

PARTITIONS = 12


class FirstOnTwoDisks(Cluster):
    """The first member has two log directories, the second of them on a disk of its own."""

    def __init__(self, options, settings=()):
        super().__init__(options, settings)
        first = self.members[0]
        self.image = Image(first.folder, 256)
        first.extra.append(f"log.dirs={first.log_dir},{self.image.data}")

    def wipe(self):
        self.image.unmount()
        super().wipe()


def led_by(cluster, topic, member):
    return {one for one in range(PARTITIONS) if cluster.partition(topic, one)["leader"] == member.id}


class Spread:
    """A topic, and which of its partitions the first member leads, has on that disk, and has elsewhere."""

    def __init__(self, cluster, name):
        self.topic = fresh_topic(name)
        cluster.create_topic(self.topic, PARTITIONS)
        cluster.until_in_sync(self.topic, PARTITIONS)
        self.there = {one for one in range(PARTITIONS) if (cluster.image.data / f"{self.topic}-{one}").is_dir()}
        self.elsewhere = set(range(PARTITIONS)) - self.there
        self.led = led_by(cluster, self.topic, cluster.member(1))
        expect(self.led & self.there and self.there - self.led and self.led & self.elsewhere,
               f"the first node leads {self.led}, of which {self.led & self.there} lie on that disk: this tests nothing")

    def expect_elsewhere_untouched(self, cluster):
        expect(self.led & self.elsewhere <= led_by(cluster, self.topic, cluster.member(1)),
               "the first node lost leaderships of its other directory too")
        for one in self.elsewhere:
            expect(len(cluster.partition(self.topic, one)["isr"]) == 3, f"{self.topic}-{one} lost a replica that was not touched")

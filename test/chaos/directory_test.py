"""One of a broker's log directories fails while it runs (RELIABILITY 32)."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import Cluster
from harness import expect, fresh_topic, test, until
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


NODE = FirstOnTwoDisks


def led_by(cluster, topic, member):
    return {one for one in range(PARTITIONS) if cluster.partition(topic, one)["leader"] == member.id}


@test("fault: a log directory that fails gives its leaderships away, and the broker serves on from the others")
def failing_directory(cluster):
    topic = fresh_topic("directory")
    victim = cluster.member(1)
    cluster.create_topic(topic, PARTITIONS)
    cluster.until_in_sync(topic, PARTITIONS)
    lost = {one for one in range(PARTITIONS) if (cluster.image.data / f"{topic}-{one}").is_dir()}
    kept = set(range(PARTITIONS)) - lost
    led = led_by(cluster, topic, victim)
    expect(led & lost and led & kept, f"the first node leads {led}, of which {lost} lie on the disk that fails: this tests nothing")
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        cluster.image.fail()
        until(lambda: not led_by(cluster, topic, victim) & lost, "others lead what was in the directory that failed", 30)
        until(lambda: all(victim.id not in cluster.partition(topic, one)["isr"] for one in lost),
              "no replica of that directory is in an ISR", 30)
        load.more()
        expect(led & kept <= led_by(cluster, topic, victim), "the first node lost leaderships of its other directory too")
        for one in kept:
            expect(len(cluster.partition(topic, one)["isr"]) == 3, f"{topic}-{one} lost a replica that was not touched")
    load.check()
    expect(victim.alive(), "the first node ended with one of its directories")
    gaps = load.gap_ms
    # The leaders of its other replicas do not wait until these lag (replica.lag.time.max.ms).
    expect(max(gaps.values()) < 30_000, f"the longest silences by partition: {gaps}")
    print(f"      longest gap {max(gaps[one] for one in lost):.0f} ms there, {max(gaps[one] for one in kept):.0f} ms elsewhere", flush=True)

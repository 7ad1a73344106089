"""One of a broker's log directories has no room any more while the cluster is written to (RELIABILITY 19, 20)."""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from harness import expect, test, until
from two_disks import PARTITIONS, FirstOnTwoDisks, Spread, led_by

LAG_MS = 30_000  # replica.lag.time.max.ms: for so long a follower that does not advance would hold acks=all up.

NODE = FirstOnTwoDisks


def fill(path):
    """Takes all the room there is."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


@test("fault: a log directory without room gives its leaderships away, nobody waits for it, and it is back when there is room")
def full_directory(cluster):
    spread = Spread(cluster, "full")
    topic, there, elsewhere, led = spread.topic, spread.there, spread.elsewhere, spread.led
    victim = cluster.member(1)
    filler = cluster.image.place / "filler"
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        fill(filler)
        until(lambda: not led_by(cluster, topic, victim) & there, "others lead what is in the directory without room", 30)
        until(lambda: all(victim.id not in cluster.partition(topic, one)["isr"] for one in there),
              "no replica of that directory is in an ISR", 30)
        load.more(1000)
        expect(victim.metric("millrace_log_directory_full") == 1, "no metric says that a directory is full")
        spread.expect_elsewhere_untouched(cluster)
        filler.unlink()
        cluster.until_in_sync(topic, PARTITIONS, seconds=120)
        load.more()
    load.check()
    expect(all(one.alive() for one in cluster), "a node ended because a disk was full")
    gaps = load.gap_ms
    expect(max(gaps.values()) < LAG_MS, f"the longest silences by partition: {gaps}")
    print(f"      longest gap {max(gaps[one] for one in led & there):.0f} ms where it led, "
          f"{max(gaps[one] for one in there - led):.0f} ms where it followed, "
          f"{max(gaps[one] for one in elsewhere):.0f} ms elsewhere", flush=True)

"""One of a broker's log directories fails while it runs (RELIABILITY 32)."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from harness import expect, test, until
from two_disks import PARTITIONS, FirstOnTwoDisks, Spread, led_by

NODE = FirstOnTwoDisks


@test("fault: a log directory that fails gives its leaderships away, and the broker serves on from the others")
def failing_directory(cluster):
    spread = Spread(cluster, "directory")
    topic, lost, kept = spread.topic, spread.there, spread.elsewhere
    victim = cluster.member(1)
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        cluster.image.fail()
        until(lambda: not led_by(cluster, topic, victim) & lost, "others lead what was in the directory that failed", 30)
        until(lambda: all(victim.id not in cluster.partition(topic, one)["isr"] for one in lost),
              "no replica of that directory is in an ISR", 30)
        load.more()
        spread.expect_elsewhere_untouched(cluster)
    load.check()
    expect(victim.alive(), "the first node ended with one of its directories")
    gaps = load.gap_ms
    # The leaders of its other replicas do not wait until these lag (replica.lag.time.max.ms).
    expect(max(gaps.values()) < 30_000, f"the longest silences by partition: {gaps}")
    print(f"      longest gap {max(gaps[one] for one in lost):.0f} ms there, {max(gaps[one] for one in kept):.0f} ms elsewhere", flush=True)

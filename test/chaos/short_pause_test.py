"""A leader stands still for less than a session (RELIABILITY 4): that costs time and nothing else."""

import select
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from harness import expect, expect_equal, fresh_topic, test
import wire

NODE = cluster_of(3)
# Far more than the pause, so that a busy machine does not make it a long one.
SETTINGS = ["broker.session.timeout.ms=20000"]
PAUSE_SECONDS = 2.5  # More than a follower of the quorum waits for its leader.
LOADED = 3      # Partitions that the load writes to; each node leads one of them,
PARTITIONS = 6  # and one of the others.


def leaderships(cluster, topic):
    return [(one["leader"], one["leader_epoch"]) for one in (cluster.partition(topic, number) for number in range(PARTITIONS))]


def paused_shortly(cluster, is_controller):
    topic = fresh_topic("pause")
    cluster.create_topic(topic, PARTITIONS)
    cluster.until_in_sync(topic, PARTITIONS)
    controller = cluster.controller()
    before = leaderships(cluster, topic)
    number = next(one for one in range(LOADED) if (before[one][0] == controller.id) == is_controller)
    victim = cluster.leader(topic, number)
    other = next(one for one in range(LOADED, PARTITIONS) if before[one][0] == victim.id)
    heard = {one.id: len(one.said()) for one in cluster}
    with Load(cluster.bootstrap, topic, LOADED) as load:
        load.more()
        with wire.Connection(victim.port, timeout=30) as connection:
            victim.pause()
            try:
                connection.send(wire.encode("produce", 1, **wire.produce_values(topic, wire.batch([b"asked"]), other)))
                expect(not select.select([connection.socket], [], [], PAUSE_SECONDS)[0], "a node that stands still has answered")
            finally:
                victim.resume()
            answer = connection.answer("produce")["topics"][0]["partitions"][0]
            expect_equal(answer["error"], 0, "error of what was asked meanwhile")
        load.more()
    expect_equal(leaderships(cluster, topic), before, "leaders and their epochs")
    expect(all(len(cluster.partition(topic, one)["isr"]) == 3 for one in range(PARTITIONS)), "somebody left an ISR")
    said = "".join(one.said()[heard[one.id]:] for one in cluster)
    expect("fencing broker" not in said, "somebody was fenced")
    load.check()
    gap = load.gap_ms[number]
    expect(gap >= PAUSE_SECONDS * 900, f"the longest silence was {gap} ms: this tests nothing")
    print(f"      {PAUSE_SECONDS} s of silence: longest gap {gap:.0f} ms, elsewhere "
          f"{max(load.gap_ms[one] for one in range(LOADED) if one != number):.0f} ms", flush=True)


@test("short pause: a leader that stands still for less than a session costs time only: nobody is fenced, no leadership moves")
def leader(cluster):
    paused_shortly(cluster, is_controller=False)


@test("short pause: the same of a leader that is the active controller too: another one takes over and fences nobody")
def controller(cluster):
    paused_shortly(cluster, is_controller=True)

"""Links between three nodes vanish: who is cut off comes back, and nobody lies (RELIABILITY 12; 8 of one follower)."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from harness import expect, fresh_topic, test, until
from network import separate_hosts

NODE = separate_hosts(3)
SETTINGS = ["replica.lag.time.max.ms=5000"]
RATE = 500  # Records a second.


def begin(cluster):
    topic = fresh_topic("cut")
    cluster.create_topic(topic)
    cluster.until_in_sync(topic)
    return topic


def rejoined(cluster, topic):
    cluster.await_ready()
    cluster.until_in_sync(topic)


@test("cut: a leader that hears one follower no more goes on without it only when the controller says so")
def followers_unheard(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        leader = cluster.leader(topic)
        controller = cluster.controller()
        with cluster.healed():
            cluster.cut(leader.id, next(one.id for one in cluster.followers(topic) if one is not controller))
            load.more(200)
        rejoined(cluster, topic)
    load.check()
    print(f"      a follower cut off: longest gap {load.gap_ms[0]:.0f} ms", flush=True)


@test("cut: clients that do not reach the leader get their records through when they do again")
def clients_cut(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        with cluster.healed():
            cluster.cut_clients(cluster.leader(topic).id)
            load.await_waiting(1500)  # Three seconds of them.
        load.more()
    load.check()
    rejoined(cluster, topic)


@test("cut: a node that nobody heard for a quarter of a minute is in sync again soon after, not when old connections think of it")
def healed_soon(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic, rate=RATE) as load:
        load.more()
        controller = cluster.controller()
        victim = next(one for one in cluster.followers(topic) if one is not controller)
        with cluster.healed():
            cluster.isolate(victim.id)
            # A quarter of a minute: the kernel tries old connections again after 13 s of silence, and then after 25.
            load.more(14 * RATE)
        until(lambda: victim.status()["metadata_index"] >= controller.status()["metadata_index"], "it knows what the others know", 9)
        cluster.until_in_sync(topic, seconds=15)
        load.more(200)
    load.check()


@test("cut: a cut that is over when connections have begun to repeat what was lost fences nobody")
def blip(cluster):
    topic = begin(cluster)
    before = {one.id: one.status()["brokers"] for one in cluster}
    with Load(cluster.bootstrap, topic) as load:
        load.more(100)
        leader = cluster.leader(topic)
        with cluster.healed():
            cluster.isolate(leader.id)
            # A fifth of a second after it was lost the kernel sends the first packet again.
            until(lambda: cluster.dropped(leader.id) >= 10, "packets were lost")
        load.more(200)
        expect(cluster.leader(topic) is leader, "the leadership moved")
    load.check()
    expect(all(not peer["fenced"] for one in before.values() for peer in one), "somebody was fenced before")

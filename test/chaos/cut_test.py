"""Links between three nodes vanish: who is cut off comes back, and nobody lies (RELIABILITY 8, 12)."""

import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from harness import expect, fresh_topic, test, until
from network import separate_hosts

NODE = separate_hosts(3)


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
            time.sleep(3)
        load.more()
    load.check()
    rejoined(cluster, topic)


@test("cut: a node that nobody heard for a quarter of a minute is in sync again soon after, not when old connections think of it")
def healed_soon(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        controller = cluster.controller()
        victim = next(one for one in cluster.followers(topic) if one is not controller)
        with cluster.healed():
            cluster.isolate(victim.id)
            time.sleep(14)  # The kernel tries old connections again after 13 s of silence, and then after 25.
            load.more(200)
        until(lambda: victim.status()["metadata_index"] >= controller.status()["metadata_index"], "it knows what the others know", 9)
        cluster.until_in_sync(topic, seconds=15)
        load.more(200)
    load.check()


@test("cut: a cut of a fifth of a second fences nobody")
def blip(cluster):
    topic = begin(cluster)
    before = {one.id: one.status()["brokers"] for one in cluster}
    with Load(cluster.bootstrap, topic) as load:
        load.more(100)
        leader = cluster.leader(topic)
        with cluster.healed():
            cluster.isolate(leader.id)
            time.sleep(0.2)
        load.more(200)
        expect(cluster.leader(topic) is leader, "the leadership moved")
    load.check()
    expect(all(not peer["fenced"] for one in before.values() for peer in one), "somebody was fenced before")

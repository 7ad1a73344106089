"""Links between three nodes vanish, in one direction or both: who leads goes on or steps aside, and nobody lies (RELIABILITY 7-12)."""

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


@test("cut: a leader that no other node hears is replaced, and what it still takes counts for nothing")
def isolated_leader(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        victim = cluster.leader(topic)
        with cluster.healed():
            cluster.isolate(victim.id)
            others = [one for one in cluster if one is not victim]
            until(lambda: any(status["brokers"] and any(peer["id"] == victim.id and peer["fenced"] for peer in status["brokers"])
                              for one in others if (status := one.status())), "the others see it fenced", 40)
            load.more()
        rejoined(cluster, topic)
        load.more()
    load.check()
    print(f"      leader isolated: longest gap {load.gap_ms[0]:.0f} ms", flush=True)


@test("cut: a leader that hears its followers no more goes on without them only when the controller says so")
def followers_unheard(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        leader = cluster.leader(topic)
        controller = cluster.controller()
        with cluster.healed():
            for one in cluster.followers(topic):
                if one is not controller:
                    cluster.cut(leader.id, one.id)
            load.more(200)
        rejoined(cluster, topic)
    load.check()
    print(f"      a follower cut off: longest gap {load.gap_ms[0]:.0f} ms", flush=True)


@test("cut: a link that works in one direction only loses and doubles nothing")
def one_way(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        for direction in (lambda a, b: (a, b), lambda a, b: (b, a)):
            leader = cluster.leader(topic)
            other = cluster.followers(topic)[0]
            load.more(200)
            with cluster.healed():
                cluster.cut_one_way(*direction(leader.id, other.id))
                load.more(200)
            rejoined(cluster, topic)
    load.check()


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

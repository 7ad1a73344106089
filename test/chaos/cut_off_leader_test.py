"""A leader that no longer hears the others, or only in one direction (RELIABILITY 9, 10). Controllers only, followers only:
cut_one_side_test.py."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cut_test import begin, rejoined
from harness import test, until
from network import separate_hosts

NODE = separate_hosts(3)


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

"""A leader that hears only the controller, or only its followers (RELIABILITY 7, 8). The controller has a host of its own."""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cut_test import begin, rejoined
from harness import expect, expect_equal, test, until
from network import separate_hosts
import wire

NODE = separate_hosts(4, roles=["broker", "broker", "broker", "controller"])
SETTINGS = ["replica.lag.time.max.ms=3000"]
CONTROLLER = 4
NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS = 6, 19


def seen_by(node, topic):
    """The partition as this node tells it."""
    with contextlib.suppress(OSError, wire.Disconnected), wire.Connection(node.port, host=node.host) as connection:
        (one,) = connection.metadata([topic])["topics"][0]["partitions"]
        return one
    return {"leader": -1, "isr": []}


def fenced(cluster, asked, victim):
    return any(peer["id"] == victim.id and peer["fenced"] for peer in asked.status()["brokers"])


@test("cut: a leader that no follower hears has its ISR shrunk by the controller, acknowledges nothing meanwhile, and stays leader")
def followers_cut(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        leader, followers = cluster.leader(topic), cluster.followers(topic)
        with cluster.healed():
            for one in followers:
                cluster.cut(leader.id, one.id)
            # The followers have it from the controller: only that could tell them.
            until(lambda: all(seen_by(one, topic)["isr"] == [leader.id] for one in followers), "the controller has shrunk the ISR", 30)
            acknowledged = load.acknowledged()
            with wire.Connection(leader.port, host=leader.host) as connection:
                until(lambda: connection.produce(topic, wire.batch([b"refused"]))["error"] == NOT_ENOUGH_REPLICAS,
                      "acks=all is refused", 20)
                expect_equal(connection.fetch(topic, 0)["error"], 0, "error of Fetch")
            expect_equal(load.acknowledged(), acknowledged, "acknowledgements of a leader alone")
            expect(not any(fenced(cluster, leader, one) for one in cluster if one.id != CONTROLLER), "somebody was fenced")
            expect_equal([seen_by(one, topic)["leader"] for one in followers], [leader.id] * 2, "the leader")
        rejoined(cluster, topic)
        load.more()
    load.check()
    print(f"      all followers cut off: longest gap {load.gap_ms[0]:.0f} ms", flush=True)


@test("cut: a leader that only the controller does not hear is replaced, says so, and cannot make its ISR smaller")
def controller_cut(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        victim, others = cluster.leader(topic), cluster.followers(topic)
        with cluster.healed():
            cluster.cut(victim.id, CONTROLLER)
            until(lambda: all(seen_by(one, topic)["leader"] in {other.id for other in others} for one in others), "another one leads", 30)
            expect(fenced(cluster, others[0], victim), "it was replaced and not fenced")
            with wire.Connection(victim.port, host=victim.host, timeout=30) as connection:
                # What it takes it cannot commit: its followers have left it, and whom it would leave behind only the controller decides.
                answer = connection.produce(topic, wire.batch([b"refused"]))
                expect_equal(answer["error"], NOT_LEADER_OR_FOLLOWER, "error of acks=all to the leader that was replaced")
            expect_equal(len(seen_by(victim, topic)["isr"]), 3, "replicas in sync, as the leader that was replaced knows")
            load.more()
        rejoined(cluster, topic)
        load.more()
    load.check()
    print(f"      only the controller cut off: longest gap {load.gap_ms[0]:.0f} ms", flush=True)

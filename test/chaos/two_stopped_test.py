"""Two of three brokers stand still (RELIABILITY 6): acks=all is refused, not lost, and all goes on when they come back."""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from harness import expect, expect_equal, fresh_topic, test, until
import wire

# The controller stays, so that who is in sync can change.
NODE = cluster_of(4, roles=["broker", "broker", "broker", "controller"])
NOT_ENOUGH_REPLICAS = 19


@contextlib.contextmanager
def paused(members):
    """They are awake again after the block, however it ends."""
    for one in members:
        one.pause()
    try:
        yield
    finally:
        for one in members:
            one.resume()


def refused_until_back(cluster, stopped_of):
    """Stops two; the third leads, refuses, and serves what it has; then they come back."""
    topic = fresh_topic("two")
    cluster.create_topic(topic)
    cluster.until_in_sync(topic)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        leader, followers = cluster.leader(topic), cluster.followers(topic)
        stopped = stopped_of(leader, followers)
        (left,) = {leader, *followers} - set(stopped)
        with paused(stopped):
            until(lambda: cluster.partition(topic)["isr"] == [left.id], "only one is in sync", 30)
            expect_equal(cluster.partition(topic)["leader"], left.id, "the leader")
            with wire.Connection(left.port) as connection:
                until(lambda: connection.produce(topic, wire.batch([b"refused"]))["error"] == NOT_ENOUGH_REPLICAS,
                      "acks=all is refused with NOT_ENOUGH_REPLICAS", 20)
                before = connection.fetch(topic, 0)
                expect(before["error"] == 0 and before["records"], "nothing is served while two of three stand still")
                acknowledged = load.acknowledged()
                for _ in range(20):
                    answer = connection.produce(topic, wire.batch([b"refused"]))
                    expect_equal(answer["error"], NOT_ENOUGH_REPLICAS, "error of Produce")
                expect_equal(connection.fetch(topic, 0)["high_watermark"], before["high_watermark"], "what is committed")
                expect_equal(load.acknowledged(), acknowledged, "acknowledgements while two of three stand still")
        cluster.until_in_sync(topic)
        load.more()
    load.check()
    print(f"      two stopped: longest gap {load.gap_ms[0]:.0f} ms", flush=True)


@test("two stopped: both followers; the leader refuses acks=all with NOT_ENOUGH_REPLICAS, serves what it has, and recovers")
def both_followers(cluster):
    refused_until_back(cluster, lambda leader, followers: followers)


@test("two stopped: the leader and a follower; the third leads, refuses acks=all with NOT_ENOUGH_REPLICAS, and all recover")
def leader_and_follower(cluster):
    refused_until_back(cluster, lambda leader, followers: [leader, followers[0]])

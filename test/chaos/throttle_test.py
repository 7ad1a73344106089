"""A partition that moves between three nodes no faster than kafka-reassign-partitions --throttle says (KIP-73)."""

import contextlib
import json
import re
import sys
import tempfile
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from harness import expect, expect_equal, expect_in, fresh_topic, test, tool, until
import wire

NODE = cluster_of(3)
NOT_LEADER_OR_FOLLOWER = 6
BATCH, BATCHES = 80_000, 100
RATE = 1_000_000  # Eight seconds for all; without a throttle it is there before the tool has ended.


def reassign(cluster, *arguments):
    return tool("reassign", "--bootstrap-server", cluster.bootstrap, *arguments)


def throttles(cluster, topic):
    """What is set of throttles for the topic and for node 3, as kafka-configs tells it."""
    entities = [("topics", topic), ("brokers", "3")]
    seen = "".join(tool("configs", "--bootstrap-server", cluster.bootstrap, "--describe", "--entity-type", kind, "--entity-name", name)
                   for kind, name in entities)
    return dict(re.findall(r"^\s*((?:leader|follower)\.replication\.throttled\.\w+)=(\S+)", seen, re.M))


@contextlib.contextmanager
def filled(cluster):
    """A topic on nodes 1 and 2 with some megabytes, and the file of a plan that puts it on 1 and 3."""
    topic = fresh_topic("throttled")
    layout = [{"index": 0, "brokers": [1, 2]}]
    with cluster.connection() as connection:
        asked = {"name": topic, "partitions": -1, "replication_factor": -1, "assignments": layout,
                 "configs": [{"name": "min.insync.replicas", "value": "1"}]}
        answer = connection.ask("create_topics", topics=[asked], timeout_ms=10000, validate_only=False)["topics"][0]
    expect_equal(answer["error"], 0, "error of CreateTopics")
    leader = cluster.leader(topic)
    with wire.Connection(leader.port, host=leader.host) as connection:
        for _ in range(BATCHES):
            expect_equal(connection.produce(topic, wire.batch([b"x" * BATCH]))["error"], 0, "error of Produce")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [1, 3]}]}, plan)
        plan.flush()
        yield topic, plan.name


@test("throttle: a move takes as long as its rate says, acks=all does not wait for it, and --verify takes the throttle away")
def moved(cluster):
    with filled(cluster) as (topic, plan):
        began = time.monotonic()
        expect_in("throttle limit was set to", reassign(cluster, "--execute", "--reassignment-json-file", plan, "--throttle", str(RATE)))
        acknowledged = 0
        leader = cluster.leader(topic)
        with wire.Connection(leader.port, host=leader.host) as connection:
            while 3 not in cluster.partition(topic)["isr"]:
                expect(time.monotonic() - began < 60, "node 3 is not in sync after a minute")
                error = connection.produce(topic, wire.batch([b"live"]))["error"]
                # A leader epoch ends with the move.
                expect_in(error, (0, NOT_LEADER_OR_FOLLOWER), "errors of Produce")
                acknowledged += error == 0
        took = time.monotonic() - began
        least = BATCH * BATCHES / RATE
        expect(least * 0.8 < took < least * 4, f"moved in {took:.1f} s; at the rate it takes {least:.1f} s")
        expect(acknowledged > 20, f"{acknowledged} records were acknowledged meanwhile")
        until(lambda: cluster.partition(topic)["replicas"] == [1, 3], "the move is complete")
        set_ = throttles(cluster, topic)
        expect_equal(set_.get("leader.replication.throttled.rate"), str(RATE), "the leaders' rate")
        expect_in("0:3", set_.get("follower.replication.throttled.replicas", ""))
        expect_in("is completed", reassign(cluster, "--verify", "--reassignment-json-file", plan))
        expect_equal(throttles(cluster, topic), {}, "throttles after --verify")


@test("throttle: one that is raised during a move holds at once")
def raised(cluster):
    with filled(cluster) as (topic, plan):
        reassign(cluster, "--execute", "--reassignment-json-file", plan, "--throttle", "1")
        # By the time the tools have told this it would be there.
        expect_equal(throttles(cluster, topic).get("follower.replication.throttled.rate"), "1", "the followers' rate")
        expect(3 not in cluster.partition(topic)["isr"], "moved at one byte a second")
        reassign(cluster, "--execute", "--additional", "--reassignment-json-file", plan, "--throttle", "100000000")
        until(lambda: cluster.partition(topic)["replicas"] == [1, 3], "the move is complete", 20)
        expect_in("is completed", reassign(cluster, "--verify", "--reassignment-json-file", plan))

"""Lag of groups in the metrics of three nodes: the coordinator tells it of partitions that others lead, too."""

import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from group_wire import commit, coordinator
from harness import expect, expect_equal, fresh_topic, test, until
import wire

NODE = cluster_of(3)
SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=3", "offsets.topic.replication.factor=3"]
PARTITIONS = 6
RECORDS, COMMITTED = 5, 2


def samples(member, name, topic):
    """{partition: value} of a topic that no other test has."""
    status, text = member.page("/metrics", timeout=10)
    expect_equal(status, 200, f"/metrics of node {member.id}: {text}")
    return {int(partition): float(value) for partition, value in
            re.findall(rf'^{name}{{[^}}]*topic="{topic}",partition="(\d+)"}} (\S+)$', text, re.M)}


def with_positions(cluster, replication_factor):
    """A topic with records in every partition, and a group that has read some of each; the group's coordinator."""
    topic, group = fresh_topic("lag"), fresh_topic("group")
    cluster.create_topic(topic, PARTITIONS, replication_factor)
    cluster.until_in_sync(topic, PARTITIONS, replication_factor)
    for partition in range(PARTITIONS):
        leader = cluster.leader(topic, partition)
        with wire.Connection(leader.port, host=leader.host) as connection:
            for _ in range(RECORDS):
                expect_equal(connection.produce(topic, wire.batch([b"x"]), partition=partition)["error"], 0, "error of Produce")
    with cluster.connection() as connection:
        host, port = coordinator(connection, group)
    with wire.Connection(port, host=host) as connection:
        errors = commit(connection, group, topic, dict.fromkeys(range(PARTITIONS), COMMITTED))
        expect_equal(errors, [0] * PARTITIONS, "errors of OffsetCommit")
    return topic, next(one for one in cluster if one.port == port)


@test("lag: the coordinator alone tells lag, also of partitions that others lead")
def of_replicas(cluster):
    topic, at = with_positions(cluster, 3)
    led = {partition for partition in range(PARTITIONS) if cluster.leader(topic, partition).id == at.id}
    expect(len(led) < PARTITIONS, "the coordinator leads every partition")
    lag = dict.fromkeys(range(PARTITIONS), RECORDS - COMMITTED)
    # Followers hear of what is committed a moment later.
    until(lambda: samples(at, "millrace_group_lag", topic) == lag, f"node {at.id} tells a lag of {lag}", 10)
    seconds = samples(at, "millrace_group_lag_seconds", topic)
    expect_equal(sorted(seconds), list(range(PARTITIONS)), "partitions with an age")
    for member in cluster:
        if member.id != at.id:
            expect_equal(samples(member, "millrace_group_lag", topic), {}, f"lag that node {member.id} tells")


@test("lag: of a partition that the coordinator has no replica of it tells the offset, and the leader the end")
def of_others(cluster):
    topic, at = with_positions(cluster, 1)
    here = {partition for partition in range(PARTITIONS) if cluster.leader(topic, partition).id == at.id}
    expect_equal(samples(at, "millrace_group_offset", topic), dict.fromkeys(range(PARTITIONS), COMMITTED), "offsets")
    expect_equal(samples(at, "millrace_group_lag", topic), dict.fromkeys(here, RECORDS - COMMITTED), "lag of what is here")
    ends = {}
    for member in cluster:
        ends |= samples(member, "millrace_partition_high_watermark", topic)
    expect_equal(ends, dict.fromkeys(range(PARTITIONS), RECORDS), "high watermarks of all leaders")

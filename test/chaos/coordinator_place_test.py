"""Three nodes, and who may be asked about a group: its coordinator alone, which needs nobody else for it."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from group_coordinator_test import coordinator_of
from group_wire import VERSIONS, ask, commit, committed
from harness import expect_equal, fresh_topic, test, until
import wire

NODE = cluster_of(3)
SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=3", "offsets.topic.replication.factor=3"]
NOT_COORDINATOR = 16


@test("coordinator: every other node answers 16, at each version of each API that asks about a group, and does nothing (6.7)")
def elsewhere(cluster):
    group, topic = fresh_topic("group"), fresh_topic("topic")
    cluster.create_topic(topic)
    coordinator = coordinator_of(cluster, group)
    part = [{"name": topic, "partitions": [{"index": 0, "offset": 1}]}]
    for member in cluster:
        if member is coordinator:
            continue
        with wire.Connection(member.port) as connection:
            found = until(lambda: (one := ask(connection, "find_coordinator", 4, keys=[group])["coordinators"][0])["error"] == 0 and one,
                          "it knows the coordinator", 20)
            expect_equal(found["node"], coordinator.id, "the coordinator, as another node names it")
            here = {"group": group, "member": "m", "generation": 1}
            for api in ("join_group", "sync_group", "heartbeat", "leave_group"):
                for version in VERSIONS[api]:
                    named = {"type": "consumer", "protocol": "range"} if api == "sync_group" and version > 4 else {}
                    expect_equal(ask(connection, api, version, **here, **named)["error"], NOT_COORDINATOR, f"{api} v{version}")
            beat = ask(connection, "consumer_beat", 1, group=group, member="m", epoch=0, names=[topic], owned=[])
            expect_equal(beat["error"], NOT_COORDINATOR, "ConsumerGroupHeartbeat")
            for version in VERSIONS["offset_commit"]:
                if version < 10:  # Then by the topic's id.
                    seen = ask(connection, "offset_commit", version, group=group, topics=part)
                    expect_equal(seen["topics"][0]["partitions"][0]["error"], NOT_COORDINATOR, f"OffsetCommit v{version}")
            fetched = ask(connection, "offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": [0]}])
            expect_equal(fetched["error"], NOT_COORDINATOR, "OffsetFetch")
            described = ask(connection, "describe_groups", 5, groups=[group])["groups"][0]
            expect_equal(described["error"], NOT_COORDINATOR, "DescribeGroups")
            deleted = ask(connection, "delete_groups", 2, groups=[group])["results"][0]
            expect_equal(deleted["error"], NOT_COORDINATOR, "DeleteGroups")
            expect_equal(ask(connection, "offset_delete", 0, group=group, topics=part)["error"], NOT_COORDINATOR, "OffsetDelete")
            expect_equal(ask(connection, "list_groups", 4)["groups"], [], "groups that it lists")
    with wire.Connection(coordinator.port) as connection:
        expect_equal(committed(connection, group, topic), [-1], "what was committed elsewhere")


@test("coordinator: offsets are committed and fetched while nobody leads the partition that they are of (9.10)")
def without_leader(cluster):
    group, topic = fresh_topic("group"), fresh_topic("topic")
    coordinator = coordinator_of(cluster, group)
    cluster.until_in_sync("__consumer_offsets", 3)
    others = [member for member in cluster if member is not coordinator]
    # One replica for each partition, so that each goes with its node.
    cluster.create_topic(topic, 3, replication_factor=1, configs={"min.insync.replicas": 1})
    leaders = {partition: cluster.leader(topic, partition) for partition in range(3)}
    partition, victim = next((number, leader) for number, leader in leaders.items() if leader in others)
    victim.kill()
    try:
        until(lambda: cluster.partition(topic, partition)["leader"] < 0, "nobody leads the partition", 30)
        serving = coordinator_of(cluster, group)
        with wire.Connection(serving.port) as connection:
            until(lambda: commit(connection, group, topic, {partition: 5}) == [0], "the commit is taken", 20)
            expect_equal(committed(connection, group, topic, 3)[partition], 5, "the offset")
    finally:
        victim.start()

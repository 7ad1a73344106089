"""A partition moves, and a node dies in the middle of it, or the move is cancelled (RELIABILITY 38).

The move is held up by a throttle of one byte a second until the fault has happened.
"""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from harness import expect, expect_equal, expect_in, fresh_topic, test, until
import wire

NODE = cluster_of(3)
STAYS, LEAVES, COMES = 1, 2, 3
BATCH, BATCHES = 100_000, 30  # More than a throttled replica is sent at once, whatever its rate.
UNKNOWN_TOPIC, NOT_LEADER_OR_FOLLOWER = 3, 6
TOPIC, BROKER = 2, 4  # Types of resources.


def ask(cluster, name, **values):
    with cluster.connection() as connection:
        return connection.ask(name, **values)


def configure(cluster, kind, names, configs):
    changes = [{"name": key, "op": 0, "value": value} for key, value in configs.items()]
    answer = ask(cluster, "incremental_alter_configs", validate_only=False,
                 resources=[{"type": kind, "name": str(name), "configs": changes} for name in names])
    expect_equal([one["error"] for one in answer["responses"]], [0] * len(names), "errors of IncrementalAlterConfigs")


def hold_up(cluster, rate):
    configure(cluster, BROKER, (STAYS, LEAVES, COMES),
              {"leader.replication.throttled.rate": str(rate), "follower.replication.throttled.rate": str(rate)})


def reassign(cluster, topic, replicas):
    answer = ask(cluster, "alter_partition_reassignments", timeout_ms=10000, may_change_factor=True,
                 topics=[{"name": topic, "partitions": [{"index": 0, "replicas": replicas}]}])
    return answer["error"] or answer["topics"][0]["partitions"][0]["error"]


def under_way(cluster, topic):
    """[(adding, removing)] of what moves; nothing when nobody knows."""
    answer = ask(cluster, "list_partition_reassignments", timeout_ms=10000, topics=[{"name": topic, "partitions": [0]}])
    expect_equal(answer["error"], 0, "error of ListPartitionReassignments")
    return [(part["adding"], part["removing"]) for one in answer["topics"] for part in one["partitions"]]


@contextlib.contextmanager
def moving(cluster):
    """A topic that moves from node 2 to node 3 under load and gets no further, and its load."""
    topic = fresh_topic("moved")
    asked = {"name": topic, "partitions": -1, "replication_factor": -1, "assignments": [{"index": 0, "brokers": [STAYS, LEAVES]}],
             "configs": [{"name": "min.insync.replicas", "value": "1"},
                         {"name": "leader.replication.throttled.replicas", "value": "*"},
                         {"name": "follower.replication.throttled.replicas", "value": f"0:{COMES}"}]}
    answer = ask(cluster, "create_topics", topics=[asked], timeout_ms=10000, validate_only=False)["topics"][0]
    expect_equal(answer["error"], 0, "error of CreateTopics")
    cluster.until_in_sync(topic, count=2)
    leader = cluster.leader(topic)
    with wire.Connection(leader.port) as connection:
        for number in range(BATCHES):
            # In front of what the load sends, also by name.
            value = b"bulk-%03d-" % number + b"x" * BATCH
            expect_equal(connection.produce(topic, wire.batch([value]))["error"], 0, "error of Produce")
    hold_up(cluster, 1)
    with Load(cluster.bootstrap, topic) as load:
        load.more(200)
        expect_equal(reassign(cluster, topic, [STAYS, COMES]), 0, "error of AlterPartitionReassignments")
        until(lambda: folder(cluster.member(COMES), topic).is_dir(), "the new replica has begun")
        expect_equal(under_way(cluster, topic), [([COMES], [LEAVES])], "what is under way")
        still_moves(cluster, topic)
        yield topic, load
        load.more(200)
    total = load.check()
    # What was asked for above, of the load; the bulk is not counted.
    expect(total >= 400, f"only {total} records: the test tests nothing")


def folder(node, topic):
    return node.log_dir / f"{topic}-0"


def not_served(node, topic):
    with contextlib.suppress(OSError, wire.Disconnected), wire.Connection(node.port) as connection:
        return connection.fetch(topic, 0, wait_ms=0)["error"] in (UNKNOWN_TOPIC, NOT_LEADER_OR_FOLLOWER)
    return False


def strays(cluster, topic):
    """Who set its log of it aside, at a start that found the partition moved elsewhere."""
    return [one.id for one in cluster if any(one.log_dir.glob(f"{topic}-0.*-stray"))]


def only_on(cluster, topic, replicas, set_aside=()):
    """The move has ended there: nothing is under way, and who has no replica neither keeps nor serves one."""
    until(lambda: cluster.partition(topic)["replicas"] == replicas, f"the replicas are {replicas}", 40)
    until(lambda: sorted(cluster.partition(topic)["isr"]) == replicas, "they are in sync", 40)
    until(lambda: not under_way(cluster, topic), "nothing moves any more", 20)
    for one in cluster:
        if one.id not in replicas:
            until(lambda one=one: not_served(one, topic), f"node {one.id} serves nothing of it", 20)
            until(lambda one=one: not folder(one, topic).exists(), f"node {one.id} has nothing of it", 20)
    expect_equal(strays(cluster, topic), list(set_aside), "nodes with a stray of it")
    for number in replicas:
        expect(folder(cluster.member(number), topic).is_dir(), f"node {number} has no folder")


def still_moves(cluster, topic):
    expect_in(COMES, cluster.partition(topic)["replicas"], "replicas while it moves")
    expect(COMES not in cluster.partition(topic)["isr"], "moved at one byte a second")


def killed_while_moving(cluster, victim):
    with moving(cluster) as (topic, load):
        victim = cluster.member(victim)
        victim.kill()
        load.more(200)
        still_moves(cluster, topic)
        victim.start()
        cluster.await_ready()
        expect_equal(under_way(cluster, topic), [([COMES], [LEAVES])], "what is under way")
        still_moves(cluster, topic)
        hold_up(cluster, 100_000_000)
        only_on(cluster, topic, [STAYS, COMES])


@test("reassign: kill -9 of who gets the partition, in the middle; it goes on when that is back, and nothing is lost")
def target(cluster):
    killed_while_moving(cluster, COMES)


@test("reassign: kill -9 of the leader, in the middle; another replica leads, the move goes on, and nothing is lost")
def source(cluster):
    killed_while_moving(cluster, STAYS)


@test("reassign: kill -9 of who is to give the partition away, in the middle; it is given away all the same, and nothing is lost")
def leaving(cluster):
    with moving(cluster) as (topic, load):
        victim = cluster.member(LEAVES)
        victim.kill()
        load.more(200)
        still_moves(cluster, topic)
        hold_up(cluster, 100_000_000)
        until(lambda: cluster.partition(topic)["replicas"] == [STAYS, COMES], "the move is complete without it", 40)
        victim.start()
        cluster.await_ready()
        only_on(cluster, topic, [STAYS, COMES], set_aside=[LEAVES])


@test("reassign: cancelled in the middle it is as it was, and who was to get the partition has and serves nothing of it")
def cancelled(cluster):
    with moving(cluster) as (topic, load):
        expect_equal(reassign(cluster, topic, None), 0, "error of the cancellation")
        only_on(cluster, topic, [STAYS, LEAVES])
        load.more(200)


@test("reassign: cancelled while who was to get the partition is dead; it comes back, and has and serves nothing of it")
def cancelled_dead(cluster):
    with moving(cluster) as (topic, load):
        victim = cluster.member(COMES)
        victim.kill()
        load.more(200)
        expect_equal(reassign(cluster, topic, None), 0, "error of the cancellation")
        until(lambda: cluster.partition(topic)["replicas"] == [STAYS, LEAVES], "it is as it was")
        expect(folder(victim, topic).is_dir(), "it left nothing behind: this tests nothing")
        victim.start()
        only_on(cluster, topic, [STAYS, LEAVES], set_aside=[COMES])

"""A new coordinator has read what the old one wrote and never committed: nobody may hear of it before it is committed.

The controller is a node of its own, so that brokers can be cut off and killed at will.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from group_coordinator_test import coordinator_of
from group_wire import answer, commit, committed, send
from harness import expect, expect_equal, fresh_topic, test, until
from network import separate_hosts
import wire

NODE = separate_hosts(4, roles=["broker", "broker", "broker", "controller"])
SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=1", "offsets.topic.replication.factor=3",
            "broker.session.timeout.ms=18000", "offsets.commit.timeout.ms=2000"]
OFFSETS = "__consumer_offsets"


def unanswered(connection, seconds):
    """True when nothing comes for so long."""
    connection.socket.settimeout(seconds)
    try:
        connection.socket.recv(1, 2)  # MSG_PEEK
        return False
    except TimeoutError:
        return True


@test("kill the coordinator: an offset that only it and its successor have is not told by the successor, lest the next one takes it back")
def uncommitted(cluster):
    topic, group = fresh_topic("chaos"), fresh_topic("group")
    cluster.create_topic(topic, 1)
    first = coordinator_of(cluster, group)
    cluster.until_in_sync(OFFSETS, 1)
    second, third = [cluster.member(one) for one in cluster.partition(OFFSETS)["replicas"] if one != first.id]
    with wire.Connection(first.port, host=first.host) as connection:
        expect_equal(commit(connection, group, topic, {0: 1}), [0], "error of OffsetCommit")
        for one in (first, second):  # It is in sync for everybody, and does not hear them.
            cluster.cut(one.id, third.id)
        send(connection, "offset_commit", 8, group=group, topics=[{"name": topic, "partitions": [{"index": 0, "offset": 2}]}])
        expect(unanswered(connection, 0.5), "acknowledged while a replica that is in sync does not have it")
    first.kill()
    cluster.until_led(OFFSETS, 0, other_than=first)
    expect_equal(cluster.partition(OFFSETS)["leader"], second.id, "the leader after the first")
    told = 1
    with wire.Connection(second.port, host=second.host, timeout=5) as connection:
        def asked():
            send(connection, "offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": [0]}])
            return answer(connection, "offset_fetch", 7)
        # 14: it loads. 15: what it has is not committed.
        seen = until(lambda: (got := asked())["error"] != 14 and got, "the second has loaded the group", 10)
        if seen["error"] == 0:
            told = seen["topics"][0]["partitions"][0]["offset"]
    second.kill()
    cluster.heal()
    cluster.until_led(OFFSETS, 0, other_than=second)
    first.start()  # Two are needed for anything to be committed; what nobody else has it gives up.
    coordinator_of(cluster, group, other_than=second)
    with wire.Connection(third.port, host=third.host) as connection:
        last = committed(connection, group, topic)[0]
    print(f"      the second told {told if seen['error'] == 0 else 'nothing'}, the third {last}", flush=True)
    expect(last >= told, f"the second coordinator told offset {told}, the third tells {last}")
    second.start()
    cluster.until_in_sync(OFFSETS, 1)

"""Classic groups of a node with limits of its own: group.max.size, the session's bounds, the first delay, the size of offsets' metadata.

The stories are Kafka's (group_wire.py), as those of group_protocol_test.py.
"""

from harness import expect_equal, test, until
from group_protocol_test import PROTOCOLS, begin, join
from group_wire import answer, ask, send, told
import wire

SETTINGS = ["group.max.size=2", "group.min.session.timeout.ms=1000", "group.max.session.timeout.ms=5000",
            "group.initial.rebalance.delay.ms=700", "offset.metadata.max.bytes=10", "offsets.topic.num.partitions=5",
            "offsets.topic.replication.factor=1"]
SESSION = {"session_ms": 5000, "rebalance_ms": 5000}


@test("groups: those who join within the first delay are in the first generation together")
def first_delay(node):
    with begin(node, "delayed") as story, wire.Connection(node.port, timeout=30) as second:
        links = [story.connection, second]
        for link in links:
            send(link, "join_group", 3, group="delayed", protocols=PROTOCOLS, **SESSION)
        seen = [answer(link, "join_group", 3) for link in links]
        expect_equal([(one["error"], one["generation"]) for one in seen], [(0, 1), (0, 1)], "error and generation of both")
        expect_equal(len({one["leader"] for one in seen}), 1, "leaders")
        expect_equal(sorted(len(one["members"]) for one in seen), [0, 2], "members told to the leader, and to the other")


@test("groups: a group of two takes no third member, at each version, and one who leaves makes room")
def full(node):
    with begin(node, "full") as story, wire.Connection(node.port, timeout=30) as second:
        for link in (story.connection, second):
            send(link, "join_group", 3, group="full", protocols=PROTOCOLS, **SESSION)
        members = [answer(link, "join_group", 3) for link in (story.connection, second)]
        for one, link in zip(members, (story.connection, second)):
            send(link, "sync_group", 3, group="full", member=one["member"], generation=one["generation"])
        for link in (story.connection, second):
            expect_equal(answer(link, "sync_group", 3)["error"], 0, "error of SyncGroup")
        for version in (0, 3, 4, 9):
            story.ask("join_group", version, group="full", protocols=PROTOCOLS, **SESSION)
        story.ask("join_group", 9, group="full", protocols=PROTOCOLS, instance="i", **SESSION)
        story.ask("join_group", 9, group="full", protocols=PROTOCOLS, member="ghost", **SESSION)
        story.say("one leaves")
        expect_equal(ask(second, "leave_group", 2, group="full", member=members[1]["member"])["error"], 0, "error of LeaveGroup")
        given = story.ask("join_group", 9, on=second, group="full", protocols=PROTOCOLS, **SESSION)["member"]
        send(second, "join_group", 9, group="full", member=given, protocols=PROTOCOLS, **SESSION)
        joined = ask(story.connection, "join_group", 9, group="full", member=members[0]["member"], protocols=PROTOCOLS, **SESSION)
        expect_equal(joined["error"], 0, "error of the one that stayed")
        expect_equal(answer(second, "join_group", 9)["error"], 0, "error of the one that came")
        told("full", story)


@test("groups: sessions and offsets' metadata have the bounds that the node is configured with")
def bounds(node):
    with begin(node, "bounds") as story:
        topic, _ = story.topic(3)
        for session in (999, 1000, 5000, 5001):
            story.ask("join_group", 9, group="bounds", protocols=PROTOCOLS, session_ms=session)
        parts = [{"index": number, "offset": 1, "metadata": "m" * size} for number, size in enumerate((10, 11, 0))]
        story.ask("offset_commit", 9, group="bounds", topics=[{"name": topic, "partitions": parts}])
        story.ask("offset_fetch", 7, group="bounds", topics=[{"name": topic, "partitions": [0, 1, 2]}])
        told("bounds", story)


@test("groups: a member that is silent for its session is gone, and a group without members is empty")
def silence(node):
    with begin(node, "silent") as story:
        member, generation = join(story, 9, "silent", session_ms=1000, rebalance_ms=5000)
        here = {"group": "silent", "member": member, "generation": generation}
        story.ask("sync_group", 5, **here, type="consumer", protocol="range", assignments=[{"member": member, "assignment": b"all"}])
        for _ in range(3):
            story.ask("heartbeat", 4, **here)
        until(lambda: ask(story.connection, "describe_groups", 6, groups=["silent"])["groups"][0]["state"] == "Empty", "the group is empty")
        story.ask("heartbeat", 4, **here)
        story.ask("describe_groups", 6, groups=["silent"])
        story.say("who comes back is new")
        story.ask("join_group", 9, group="silent", member=member, protocols=PROTOCOLS, **SESSION)
        told("silent", story)

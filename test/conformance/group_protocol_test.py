"""Classic groups on a bare socket: every version of every group API tells the story that Apache Kafka tells (stories/*.txt).

    REWRITE=1 test/conformance/harness.py test/conformance --match group_protocol --against oracle      writes the stories anew
"""

from harness import expect, expect_equal, test, until
from group_wire import VERSIONS, Story, coordinator, told
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1"]
PROTOCOLS = [{"name": "range", "metadata": b"one"}, {"name": "roundrobin", "metadata": b"two"}]


def begin(node, *groups):
    story = Story(node)
    for group in groups or ("any",):
        coordinator(story.connection, group)
    return story


def join(story, version, group, **values):
    """Joins a group that nobody is in, however many requests that takes: (member id, generation)."""
    values = {"protocols": PROTOCOLS, **values}
    answer = story.ask("join_group", version, group=group, **values)
    if answer["error"] == 79:
        answer = story.ask("join_group", version, group=group, member=answer["member"], **values)
    expect_equal(answer["error"], 0, "error of JoinGroup")
    return answer["member"], answer["generation"]


@test("groups: FindCoordinator answers as Kafka does at each version, several keys and unknown kinds of keys too (6.5)")
def find(node):
    with begin(node) as story:
        for version in VERSIONS["find_coordinator"]:
            if version < 4:
                story.ask("find_coordinator", version, key="some-group", type=0)
                story.ask("find_coordinator", version, key="", type=0)
                if version > 0:
                    story.ask("find_coordinator", version, key="x", type=7)
                continue
            for keys in (["a", "b"], ["a", "a"], [""], []):
                story.ask("find_coordinator", version, keys=keys, type=0)
            story.ask("find_coordinator", version, keys=["x", "y"], type=7)
        told("find_coordinator", story)


@test("groups: what nobody may ask is refused as Kafka refuses it, at each version of each API")
def refusals(node):
    with begin(node, "", "nobody", "unheard") as story:
        topic, topic_id = story.topic()
        for version in VERSIONS["join_group"]:
            for values in ({"group": ""}, {"group": "nobody", "member": "ghost"}, {"group": "nobody", "session_ms": 5999},
                           {"group": "nobody", "session_ms": 1800001}, {"group": "nobody", "protocols": []},
                           {"group": "nobody", "type": ""}, {"group": "nobody", "session_ms": -1},
                           *([{"group": "nobody", "instance": "i", "member": "ghost"}] if version > 4 else [])):
                story.ask("join_group", version, **values)
        for version in VERSIONS["heartbeat"]:
            for values in ({"group": ""}, {"group": "nobody", "member": "ghost", "generation": 1}, {"group": "nobody"},
                           *([{"group": "nobody", "member": "ghost", "instance": "i"}] if version > 2 else [])):
                story.ask("heartbeat", version, **values)
        for version in VERSIONS["sync_group"]:
            for values in ({"group": ""}, {"group": "nobody", "member": "ghost", "generation": 1}, {"group": "nobody"},
                           *([{"group": "nobody", "member": "ghost", "type": "consumer", "protocol": "range"}] if version > 4 else [])):
                story.ask("sync_group", version, **values)
        for version in VERSIONS["leave_group"]:
            for values in ({"group": "", "member": "ghost"}, {"group": "nobody", "member": "ghost"}, {"group": "nobody", "member": ""},
                           *([{"group": "nobody", "members": []},
                              {"group": "nobody", "members": [{"member": "", "instance": "i", "reason": "r"},
                                                              {"member": "m", "instance": "i", "reason": None}]}]
                             if version > 2 else [])):
                story.ask("leave_group", version, **values)
        for version in VERSIONS["describe_groups"]:
            story.ask("describe_groups", version, groups=["unheard", ""])
            story.ask("describe_groups", version, groups=[])
        for version in VERSIONS["delete_groups"]:
            story.ask("delete_groups", version, groups=["unheard", ""])
            story.ask("delete_groups", version, groups=[])
        for group in ("", "unheard"):
            story.ask("offset_delete", 0, group=group, topics=[{"name": topic, "partitions": [{"index": 0}]}])
            story.ask("offset_delete", 0, group=group, topics=[])
        for version in VERSIONS["offset_commit"]:
            topics = [{"name": topic, "id": topic_id, "partitions": [{"index": 0, "offset": 3}]}]
            for values in ({"group": "unheard", "member": "ghost", "generation": 1}, {"group": "unheard", "generation": 0},
                           *([{"group": "unheard", "member": "ghost", "instance": "i", "generation": 5}] if version > 6 else [])):
                story.ask("offset_commit", version, topics=topics, **values)
        told("refusals", story)


@test("groups: a member joins, syncs, commits, reads back, is described and leaves, at each version (7.1, 7.24)")
def life(node):
    with begin(node, *(f"life-{version}" for version in VERSIONS["join_group"])) as story:
        topic, topic_id = story.topic()
        newest = {api: versions[-1] for api, versions in VERSIONS.items()}
        for version in VERSIONS["join_group"]:
            group = f"life-{version}"
            at = {api: min(version, last) for api, last in newest.items()}
            story.say(f"JoinGroup v{version}")
            member, generation = join(story, version, group)
            here = {"group": group, "member": member, "generation": generation}
            topics = [{"name": topic, "id": topic_id, "partitions": [{"index": 0, "offset": 5, "metadata": "m"}]}]
            story.ask("offset_commit", max(at["offset_commit"], 2), topics=topics, **here)
            story.ask("heartbeat", at["heartbeat"], **here)
            story.ask("describe_groups", at["describe_groups"], groups=[group])
            story.ask("join_group", version, group=group, member=member, protocols=PROTOCOLS)  # Its answer was lost.
            named = {"type": "consumer", "protocol": "range"} if at["sync_group"] > 4 else {}
            assignments = [{"member": member, "assignment": b"all"}, {"member": "ghost", "assignment": b"none"}]
            if named:
                story.ask("sync_group", at["sync_group"], **{**here, **named, "type": "connect"})
                story.ask("sync_group", at["sync_group"], **{**here, **named, "protocol": "roundrobin"})
            story.ask("sync_group", at["sync_group"], **{**here, "generation": generation + 1})
            story.ask("sync_group", at["sync_group"], **{**here, "generation": generation - 1})
            story.ask("sync_group", at["sync_group"], **here, **named, assignments=assignments)
            story.ask("sync_group", at["sync_group"], **here, **named)  # Again.
            story.ask("describe_groups", at["describe_groups"], groups=[group])
            for wrong in ({"generation": generation + 1}, {"generation": generation - 1}, {"generation": -1}, {"member": "ghost"},
                          {"member": "", "generation": -1}):
                story.ask("heartbeat", at["heartbeat"], **{**here, **wrong})
                story.ask("offset_commit", max(at["offset_commit"], 2), topics=topics, **{**here, **wrong})
            story.ask("offset_commit", max(at["offset_commit"], 2), topics=topics, **here)
            story.ask("join_group", version, group=group, type="connect", protocols=PROTOCOLS)
            story.ask("join_group", version, group=group, protocols=[{"name": "other", "metadata": b""}])
            story.ask("join_group", version, group=group, member="ghost", protocols=PROTOCOLS)
            story.ask("delete_groups", min(version, 2), groups=[group])
            story.ask("offset_delete", 0, group=group, topics=[{"name": topic, "partitions": [{"index": 0}]}])
            if version < 8:
                story.ask("offset_fetch", max(version, 1), group=group, topics=[{"name": topic, "partitions": [0, 1]}])
            else:
                asked = [{"group": group, "member": None, "epoch": -1, "topics": [{"name": topic, "id": topic_id, "partitions": [0, 1]}]}]
                story.ask("offset_fetch", version, groups=asked)
            story.ask("leave_group", at["leave_group"], group=group, member=member)
            story.ask("describe_groups", at["describe_groups"], groups=[group])
            story.ask("heartbeat", at["heartbeat"], **here)
            story.ask("offset_commit", max(at["offset_commit"], 2), topics=topics, **here)
            story.ask("delete_groups", min(version, 2), groups=[group])
            story.ask("describe_groups", at["describe_groups"], groups=[group])
        told("life", story)


@test("groups: offsets of those who keep them by themselves are committed and fetched as Kafka does, at each version (9.4)")
def offsets(node):
    with begin(node, *(f"simple-{version}" for version in VERSIONS["offset_commit"]), "simple-none", "") as story:
        topic, topic_id = story.topic(3)
        other, other_id = story.topic(1)
        for version in VERSIONS["offset_commit"]:
            group = f"simple-{version}"
            story.say(f"OffsetCommit v{version}")
            parts = [{"index": 0, "offset": 7, "epoch": 0, "metadata": "x" * 4096}, {"index": 1, "offset": 7, "metadata": "x" * 4097},
                     {"index": 2, "offset": 9, "epoch": 5, "metadata": None}, {"index": 9, "offset": 1}, {"index": -1, "offset": 1}]
            story.ask("offset_commit", version, group=group, topics=[
                {"name": topic, "id": topic_id, "partitions": parts},
                {"name": "no-such-topic", "id": b"n" * 16, "partitions": [{"index": 0, "offset": 1}]},
                {"name": other, "id": other_id, "partitions": [{"index": 0, "offset": -7}]}])
            story.ask("offset_commit", version, group=group, topics=[])
            story.ask("offset_commit", version, group="", topics=[{"name": topic, "id": topic_id, "partitions": [{"index": 0, "offset": 3}]}])
            # Backwards, and beyond what any log has.
            for offset in (2, 2**63 - 1, 0, 4):
                story.ask("offset_commit", version, group=group,
                          topics=[{"name": topic, "id": topic_id, "partitions": [{"index": 0, "offset": offset, "epoch": 1}]}])
            if version in (2, 3, 4):
                story.ask("offset_commit", version, group=group, retention_ms=3600000,
                          topics=[{"name": topic, "id": topic_id, "partitions": [{"index": 1, "offset": 11}]}])
            story.ask("describe_groups", 6, groups=[group])
        for version in VERSIONS["offset_fetch"]:
            story.say(f"OffsetFetch v{version}")
            asked = [{"name": topic, "id": topic_id, "partitions": [2, 0, 1, 77]},
                     {"name": "no-such-topic", "id": b"n" * 16, "partitions": [0, 1]}]
            if version < 8:
                for group in ("simple-5", "simple-none", ""):
                    story.ask("offset_fetch", version, group=group, topics=asked)
                    story.ask("offset_fetch", version, group=group, topics=[])
                if version > 1:
                    story.ask("offset_fetch", version, group="simple-none", topics=None)
                continue
            story.ask("offset_fetch", version, groups=[{"group": group, "topics": asked, "member": None, "epoch": -1}
                                                       for group in ("simple-5", "simple-none", "", "simple-5")])
            story.ask("offset_fetch", version, groups=[{"group": "simple-none", "topics": None, "member": None, "epoch": -1}])
            story.ask("offset_fetch", version, groups=[{"group": "simple-5", "topics": [], "member": None, "epoch": -1}])
            story.ask("offset_fetch", version, groups=[])
            story.ask("offset_fetch", version, stable=True, groups=[{"group": "simple-5", "topics": asked[:1], "member": None, "epoch": -1}])
            if version > 8:
                for member, epoch in (("ghost", 3), ("", 0), ("ghost", -1), (None, 3)):
                    story.ask("offset_fetch", version, groups=[{"group": group, "topics": asked, "member": member, "epoch": epoch}
                                                               for group in ("simple-5", "simple-none")])
        told("offsets", story)


@test("groups: OffsetFetch without topics answers every offset of the group, at each version that can ask so (9.4, 9.9)")
def all_offsets(node):
    with begin(node, "all") as story:
        topic, topic_id = story.topic(2)
        gone, gone_id = story.topic(1)
        for name, ident in ((topic, topic_id), (gone, gone_id)):
            story.ask("offset_commit", 10, group="all", topics=[{"name": name, "id": ident, "partitions": [{"index": 0, "offset": 4}]}])
        deleted = story.connection.ask("delete_topics", names=[gone], timeout_ms=5000)
        expect_equal(deleted["topics"][0]["error"], 0, "error of DeleteTopics")
        until(lambda: story.connection.metadata([gone])["topics"][0]["error"] == 3, "the topic is gone")
        until(lambda: len(story.connection.ask("offset_fetch_v7", group="all", topics=None, stable=False)["topics"]) == 1,
                      "its offsets are gone")
        for version in VERSIONS["offset_fetch"]:
            if 2 <= version < 8:
                story.ask("offset_fetch", version, group="all", topics=None)
            elif version >= 8:
                story.ask("offset_fetch", version, groups=[{"group": "all", "topics": None, "member": None, "epoch": -1}])
        told("all_offsets", story)


@test("groups: groups and offsets are deleted, or not, as Kafka does; ListGroups filters by state and type (7.24)")
def admin(node):
    with begin(node, "admin-simple", "admin-stable", "admin-empty", "admin-mirror") as story:
        topic, topic_id = story.topic(2)
        other, _ = story.topic(1)
        topics = [{"name": topic, "id": topic_id, "partitions": [{"index": 0, "offset": 4}, {"index": 1, "offset": 4}]}]
        story.ask("offset_commit", 9, group="admin-simple", topics=topics)
        subscribed = b"\0\0" + b"\0\0\0\1" + len(topic).to_bytes(2, "big") + topic.encode() + b"\xff\xff\xff\xff"
        held = {}
        for group, kind, metadata in (("admin-stable", "consumer", subscribed), ("admin-mirror", "mirror", b"opaque"),
                                      ("admin-empty", "consumer", subscribed)):
            story.say(group)
            member, generation = join(story, 9, group, type=kind, protocols=[{"name": "p", "metadata": metadata}])
            held[group] = {"group": group, "member": member, "generation": generation}
            story.ask("sync_group", 5, **held[group], type=kind, protocol="p", assignments=[{"member": member, "assignment": b"a"}])
            story.ask("offset_commit", 9, **held[group], topics=[*topics, {"name": other, "partitions": [{"index": 0, "offset": 1}]}])
        story.ask("leave_group", 5, group="admin-empty", member=held["admin-empty"]["member"])
        story.say("lists")
        for version in VERSIONS["list_groups"]:
            asked = [{}]
            if version > 3:
                asked += [{"states": [state]} for state in ("Stable", "stable", "EMPTY", "Dead", "nonsense", "PreparingRebalance")]
                asked += [{"states": ["Stable", "Empty"]}]
            if version > 4:
                asked += [{"types": [kind]} for kind in ("classic", "Classic", "consumer", "share", "nonsense")]
                asked += [{"types": ["classic"], "states": ["Empty"]}]
            for values in asked:
                # Other tests' groups are none of ours.
                listed = story.connection.ask(f"list_groups_v{version}", **{"states": [], "types": [], **values})
                ours = [one for one in listed["groups"] if one["group"].startswith("admin-")]
                story.asked("list_groups", version, values)
                story.answered({**listed, "groups": sorted(ours, key=lambda one: one["group"])})
        story.say("offsets are deleted")
        for group in held:
            story.ask("offset_delete", 0, group=group, topics=[{"name": topic, "partitions": [{"index": 0}, {"index": 9}]},
                                                               {"name": other, "partitions": [{"index": 0}]},
                                                               {"name": "no-such-topic", "partitions": [{"index": 0}]}])
            story.ask("offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": [0, 1]}, {"name": other, "partitions": [0]}])
        story.say("groups are deleted")
        for version in VERSIONS["delete_groups"]:
            story.ask("offset_commit", 9, group="admin-simple", topics=topics)
            story.ask("delete_groups", version, groups=["admin-stable", "admin-empty", "admin-simple", "no-such-group"])
        story.ask("offset_fetch", 7, group="admin-simple", topics=topics and [{"name": topic, "partitions": [0, 1]}])
        story.ask("describe_groups", 6, groups=["admin-simple", "admin-empty"], operations=True)
        story.ask("describe_groups", 6, groups=["admin-stable"], operations=True)
        story.ask("describe_groups", 3, groups=["admin-stable", "admin-empty"], operations=True)
        told("admin", story)


@test("groups: two members, the second changes the generation of the first, and each hears of its own part")
def two(node):
    with begin(node, "two") as story, wire.Connection(node.port, timeout=30) as second:
        story.say("the first is alone")
        first, generation = join(story, 9, "two")
        here = {"group": "two", "member": first, "generation": generation}
        story.ask("sync_group", 5, **here, type="consumer", protocol="range", assignments=[{"member": first, "assignment": b"all"}])
        story.say("the second joins: the first has to join again")
        known = story.ask("join_group", 9, on=second, group="two", protocols=PROTOCOLS[::-1])["member"]
        story.send(second, "join_group", 9, group="two", member=known, protocols=PROTOCOLS[::-1])
        story.say("until then it may commit, and its heartbeats tell it")
        until(lambda: story.connection.ask("heartbeat_v4", **here, instance=None)["error"] == 27, "the rebalance has begun")
        for version in VERSIONS["heartbeat"]:
            story.ask("heartbeat", version, **here)
        story.ask("sync_group", 5, **here, type="consumer", protocol="range")
        story.ask("describe_groups", 6, groups=["two"])
        topic, topic_id = story.topic()
        story.ask("offset_commit", 9, **here, topics=[{"name": topic, "partitions": [{"index": 0, "offset": 6}]}])
        answered = story.connection.ask("join_group_v9", group="two", session_ms=30000, rebalance_ms=30000, member=first, instance=None,
                                        type="consumer", protocols=PROTOCOLS, reason="asked to")
        expect_equal(sorted(one["member"] for one in answered.pop("members")), sorted((first, known)), "members told to the leader")
        story.asked("join_group", 9, {"member": first})
        story.answered(answered)
        story.answer(second, "join_group", 9)
        new = generation + 1
        story.say("the second syncs before the leader, and waits")
        ours = {"group": "two", "member": known, "generation": new}
        story.send(second, "sync_group", 5, **ours, type="consumer", protocol="range")
        story.ask("heartbeat", 4, **{**here, "generation": new})
        story.ask("offset_commit", 9, **{**here, "generation": new}, topics=[{"name": topic, "partitions": [{"index": 0, "offset": 7}]}])
        story.ask("offset_commit", 9, **here, topics=[{"name": topic, "partitions": [{"index": 0, "offset": 7}]}])
        story.ask("sync_group", 5, **{**here, "generation": new}, type="consumer", protocol="range",
                  assignments=[{"member": first, "assignment": b"left"}, {"member": known, "assignment": b"right"}])
        story.answer(second, "sync_group", 5)
        story.say("a follower that joins again as it was changes nothing; one that knows something else does")
        story.ask("join_group", 9, on=second, group="two", member=known, protocols=PROTOCOLS[::-1])
        story.ask("heartbeat", 4, **{**here, "generation": new})
        story.send(second, "join_group", 9, group="two", member=known, protocols=[{"name": "range", "metadata": b"other"}])
        until(lambda: story.connection.ask("heartbeat_v4", **{**here, "generation": new}, instance=None)["error"] == 27,
                      "the rebalance has begun")
        story.say("the first leaves: the second is alone, and leads")
        story.ask("leave_group", 5, group="two", member=first)
        story.answer(second, "join_group", 9)
        told("two", story)


@test("groups: a static member that restarts keeps its part without a rebalance, and the old one is fenced")
def static(node):
    with begin(node, "static-5", "static-8", "static-9") as story, wire.Connection(node.port, timeout=30) as second:
        topic, _ = story.topic()
        for version in (5, 8, 9):
            group = f"static-{version}"
            story.say(f"JoinGroup v{version}")
            sync = 5 if version > 6 else 3
            named = {"type": "consumer", "protocol": "range"} if sync > 4 else {}
            first, generation = join(story, version, group, instance="a")
            here = {"group": group, "member": first, "generation": generation, "instance": "a"}
            story.ask("sync_group", sync, **here, **named, assignments=[{"member": first, "assignment": b"all"}])
            story.ask("describe_groups", 6, groups=[group])
            story.say("restarted: the same generation, a new member id")
            again = story.ask("join_group", version, group=group, instance="a", protocols=PROTOCOLS)["member"]
            now = {**here, "member": again}
            story.ask("sync_group", sync, **now, **named)
            story.say("the old one is fenced")
            commit = [{"name": topic, "partitions": [{"index": 0, "offset": 7}]}]
            story.ask("heartbeat", 4, **here)
            story.ask("offset_commit", 9, **here, topics=commit)
            story.ask("sync_group", sync, **here, **named)
            story.ask("join_group", version, group=group, member=first, instance="a", protocols=PROTOCOLS)
            story.ask("leave_group", 5, group=group, member=first, instance="a")
            story.ask("heartbeat", 4, **{**here, "instance": "b"})
            story.ask("heartbeat", 4, **{**here, "instance": None})
            story.ask("heartbeat", 4, **now)
            story.ask("offset_commit", 9, **now, topics=commit)
            story.ask("heartbeat", 2, group=group, member=again, generation=generation)
            story.say("an admin removes it by its instance alone")
            story.ask("leave_group", 5, group=group, members=[{"member": "", "instance": "z", "reason": None},
                                                              {"member": "", "instance": "a", "reason": "admin"},
                                                              {"member": "", "instance": "a", "reason": "again"}])
            story.ask("heartbeat", 4, **now)
            story.ask("describe_groups", 6, groups=[group])
        told("static", story)


@test("groups: an id that was given and never joined with is as nobody, and the group is there until it ends")
def pending(node):
    with begin(node, "pending") as story:
        given = story.ask("join_group", 9, group="pending", protocols=PROTOCOLS)["member"]
        expect(given.startswith("test-"), f"a member id begins with the client's id: {given}")
        story.ask("describe_groups", 6, groups=["pending"])
        story.ask("heartbeat", 4, group="pending", member=given, generation=0)
        story.ask("heartbeat", 4, group="pending", member=given, generation=1)
        story.ask("sync_group", 5, group="pending", member=given, generation=0, type="consumer", protocol="range")
        story.ask("leave_group", 5, group="pending", member=given)
        story.ask("join_group", 9, group="pending", member=given, protocols=PROTOCOLS)
        told("pending", story)

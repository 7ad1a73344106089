"""What members of groups may try (47-49): sizes nobody has, ids nobody sends, floods of both."""

import contextlib
import struct
import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, expect_in, test, until
from group_wire import VERSIONS, ask, commit, coordinator, send, whole
from hostile import topic_of, unharmed
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1"]
INVALID_REQUEST, OFFSET_METADATA_TOO_LARGE, GROUP_MAX_SIZE, UNKNOWN_MEMBER, MEMBER_ID_REQUIRED = 42, 12, 81, 25, 79
PROTOCOL = [{"name": "p", "metadata": b"m"}]


@contextlib.contextmanager
def attack(node, *groups, **bounds):
    """Gives (the attacker's connection, the neighbour's)."""
    with wire.Connection(node.port, timeout=60) as link:
        for group in groups:
            coordinator(link, group)
        with unharmed(node, **bounds) as neighbour:
            yield link, neighbour


def join(connection, group, **values):
    """Until the group has this member as its only one: what names it."""
    values = {"protocols": PROTOCOL, **values}
    seen = ask(connection, "join_group", 9, group=group, **values)
    if seen["error"] == MEMBER_ID_REQUIRED:
        seen = ask(connection, "join_group", 9, group=group, member=seen["member"], **values)
    expect_equal(seen["error"], 0, "error of JoinGroup")
    return {"group": group, "member": seen["member"], "generation": seen["generation"]}


def lives(connection, group):
    """A group is of use: a member joins, syncs, commits nothing and leaves."""
    one = join(connection, group)
    seen = ask(connection, "sync_group", 5, **one, type="consumer", protocol="p", assignments=[{"member": one["member"], "assignment": b"x"}])
    expect_equal((seen["error"], seen["assignment"]), (0, b"x"), "error and assignment")
    expect_equal(ask(connection, "leave_group", 5, group=group, member=one["member"])["error"], 0, "error of LeaveGroup")


@test("hostile group: JoinGroup with 10,000 protocols gets 42, and the group is not there",
      ours_only="Kafka takes as many protocols as a request holds")
def protocols(node):
    with attack(node, "many") as (link, _):
        many = [{"name": f"protocol-{number}", "metadata": b""} for number in range(10000)]
        for version in VERSIONS["join_group"]:
            seen = ask(link, "join_group", version, group="many", protocols=many)
            expect_equal(seen["error"], INVALID_REQUEST, f"error at v{version}")
        expect_equal(ask(link, "describe_groups", 6, groups=["many"])["groups"][0]["state"], "Dead", "state")
        lives(link, "many")


@test("hostile group: JoinGroup with 50 MiB of metadata gets 42, ten at once too, and memory stays bounded",
      ours_only="Kafka takes 50 MiB")
def metadata(node):
    # A request may be 100 MiB: the node reads it whole, and only so many at a time.
    with attack(node, "big", growth_kib_max=320 * 1024) as (link, neighbour):
        big = [{"name": "p", "metadata": b"x" * (50 << 20)}]
        expect_equal(ask(link, "join_group", 9, group="big", protocols=big)["error"], INVALID_REQUEST, "error")
        spread = [{"name": f"p{number}", "metadata": b"x" * (1 << 20)} for number in range(50)]
        expect_equal(ask(link, "join_group", 9, group="big", protocols=spread)["error"], INVALID_REQUEST, "error of many protocols")
        links = [wire.Connection(node.port, timeout=60) for _ in range(10)]
        frame = wire.encode("join_group_v9", 1, **whole("join_group", 9, {"group": "big", "protocols": big}))
        senders = [threading.Thread(target=one.send, args=(frame,), daemon=True) for one in links]
        for sender in senders:
            sender.start()
        expect(neighbour.metadata([])["brokers"], "the neighbour is served meanwhile")
        for one in links:
            expect_equal(one.answer("join_group_v9", 1)["error"], INVALID_REQUEST, "error of one of ten")
            one.close()
        lives(link, "big")


@test("hostile group: a flood of 100,000 members that never join with their ids is bounded, and the group goes on",
      ours_only="Kafka keeps every id it gave")
def flood(node):
    with attack(node, "flood") as (link, neighbour):
        errors = {}
        frame = [wire.encode("join_group_v9", number, **whole("join_group", 9, {"group": "flood", "protocols": PROTOCOL}))
                 for number in range(1000)]
        for _ in range(100):
            link.send(b"".join(frame))
            for _ in frame:
                seen = link.answer("join_group_v9")
                errors[seen["error"]] = errors.get(seen["error"], 0) + 1
            expect(neighbour.metadata([])["brokers"], "the neighbour is served meanwhile")
        expect_equal(errors, {MEMBER_ID_REQUIRED: 10000, GROUP_MAX_SIZE: 90000}, "answers")
        expect_equal(ask(link, "describe_groups", 6, groups=["flood"])["groups"][0]["members"], [], "members")
        # Another group of the same coordinator has nothing to do with it.
        lives(link, "flood-not")


@test("hostile group: 20,000 groups with a member that was given an id are gone when the ids are, and none outlives them",
      ours_only="Kafka keeps every group it heard of")
def groups(node):
    with attack(node, "g-0") as (link, neighbour):
        for start in range(0, 20000, 500):
            link.send(b"".join(wire.encode("join_group_v9", number, **whole(
                "join_group", 9, {"group": f"g-{start + number}", "protocols": PROTOCOL, "session_ms": 6000})) for number in range(500)))
            for _ in range(500):
                expect_equal(link.answer("join_group_v9")["error"], MEMBER_ID_REQUIRED, "error")
        until(lambda: not [one for one in ask(link, "list_groups", 5)["groups"] if one["group"].startswith("g-")],
              "the groups are gone after their members' sessions", 30)
        expect(neighbour.metadata([])["brokers"], "the neighbour is served")


@test("hostile group: metadata of an offset beyond offset.metadata.max.bytes gets 12, alone in its request")
def offset_metadata(node):
    topic = topic_of(node, 4)
    with attack(node, "meta") as (link, _):
        for version in VERSIONS["offset_commit"]:
            if version == 10:
                continue  # By topic id.
            sizes = (4096, 4097, 32767, 0)  # No string is longer.
            parts = [{"index": number, "offset": version, "metadata": "m" * size} for number, size in enumerate(sizes)]
            seen = ask(link, "offset_commit", version, group="meta", topics=[{"name": topic, "partitions": parts}])
            errors = {one["index"]: one["error"] for one in seen["topics"][0]["partitions"]}
            expect_equal(errors, {0: 0, 1: OFFSET_METADATA_TOO_LARGE, 2: OFFSET_METADATA_TOO_LARGE, 3: 0}, f"errors at v{version}")
        fetched = ask(link, "offset_fetch", 7, group="meta", topics=[{"name": topic, "partitions": [0, 1, 2, 3]}])
        seen = {one["index"]: (one["offset"], len(one["metadata"])) for one in fetched["topics"][0]["partitions"]}
        expect_equal(seen, {0: (9, 4096), 1: (-1, 0), 2: (-1, 0), 3: (9, 0)}, "offsets and sizes of metadata")


@test("hostile group: a client id of 32,000 bytes and one of any bytes make members that can be used")
def client_ids(node):
    with attack(node, "ids") as (link, _):
        for name in ("c" * 32000, "", "ünï\U0001F600\u202e", "a\tb\nc\0d"):
            raw = wire.body("join_group_v5", **whole("join_group", 5, {"group": "ids", "protocols": PROTOCOL}))
            head = struct.pack(">hhi", 11, 5, 7) + struct.pack(">h", len(name.encode())) + name.encode()
            link.send(wire.frame(head + raw))
            given = link.answer("join_group_v5", 7)
            expect_equal(given["error"], MEMBER_ID_REQUIRED, f"error for a client id of {len(name)}")
            # Ours cuts what it is derived from at 255 bytes.
            expect(given["member"].startswith(name[:255] if node.ours else f"{name}-"), f"the id given: {given['member'][:300]!r}")
            one = {"group": "ids", "member": given["member"]}
            raw = wire.body("join_group_v5", **whole("join_group", 5, {**one, "protocols": PROTOCOL}))
            link.send(wire.frame(head + raw))
            joined = link.answer("join_group_v5", 7)
            expect_equal(joined["error"], 0, "error of the second JoinGroup")
            one["generation"] = joined["generation"]
            assignments = [{"member": one["member"], "assignment": b"all"}]
            seen = ask(link, "sync_group", 3, **one, assignments=assignments)
            expect_equal((seen["error"], seen["assignment"]), (0, b"all"), "SyncGroup")
            described = ask(link, "describe_groups", 6, groups=["ids"])["groups"][0]["members"]
            expect_equal([(member["member"], member["client"]) for member in described], [(one["member"], name)], "described")
            expect_equal(ask(link, "leave_group", 2, **one)["error"], 0, "LeaveGroup")


ODD_IDS = ["ü", "\U0001F600", "\u202eabc", "a\0b", "a\nb", " ", "../../etc", "e\u0301", "\ufeff", "\uffff", "g" * 20000, "group_metadata"]


@test("hostile group: group ids of odd Unicode are each a group of its own, with its own offsets, also after a kill -9", own_node=True)
def group_ids(node):
    node.start()
    topic = topic_of(node)
    with attack(node, *ODD_IDS) as (link, _):
        for number, group in enumerate(ODD_IDS):
            lives(link, group)
            expect_equal(commit(link, group, topic, {0: number + 1}), [0], f"commit of {group[:20]!r}")
    node.kill()
    node.start()
    with wire.Connection(node.port, timeout=60) as link:
        for number, group in enumerate(ODD_IDS):
            coordinator(link, group)
            fetched = ask(link, "offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": [0]}])
            expect_equal(fetched["topics"][0]["partitions"][0]["offset"], number + 1, f"offset of {group[:20]!r}")
            lives(link, group)
        listed = {one["group"] for one in ask(link, "list_groups", 5)["groups"]}
        expect(set(ODD_IDS) <= listed, f"not listed: {set(ODD_IDS) - listed}")


@test("hostile group: an id that is no UTF-8 closes the connection or is refused, and makes no group")
def no_utf8(node):
    with attack(node, "x") as (link, _):
        before = len(ask(link, "list_groups", 5)["groups"])
        for raw in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"ok\x80"):
            body = wire.body("join_group_v5", **whole("join_group", 5, {"group": raw, "protocols": PROTOCOL}))
            with wire.Connection(node.port) as other:
                other.send(wire.frame(wire.header(11, 5, 1, False) + body))
                with contextlib.suppress(wire.Disconnected):
                    if node.ours:
                        seen = other.answer("join_group_v5", 1)
                        expect(seen["error"] not in (0, MEMBER_ID_REQUIRED), f"{raw!r} may join")
        expect_equal(len(ask(link, "list_groups", 5)["groups"]), before, "groups")


@test("hostile group: SyncGroup with 100,000 assignments gives the member its own, and keeps none for those who are not there")
def assignments(node):
    with attack(node, "sync") as (link, _):
        one = join(link, "sync")
        many = [{"member": f"nobody-{number}", "assignment": b"x" * 20} for number in range(100000)]
        many.insert(5000, {"member": one["member"], "assignment": b"mine"})
        seen = ask(link, "sync_group", 5, **one, type="consumer", protocol="p", assignments=many)
        expect_equal((seen["error"], seen["assignment"]), (0, b"mine"), "error and assignment")
        described = ask(link, "describe_groups", 6, groups=["sync"])["groups"][0]
        expect_equal([(member["member"], member["assignment"]) for member in described["members"]], [(one["member"], b"mine")], "members")


@test("hostile group: an assignment of 20 MB is handed out, or refused; the group is of use again either way")
def big_assignment(node):
    with attack(node, "huge", growth_kib_max=256 * 1024) as (link, neighbour):
        one = join(link, "huge")
        seen = ask(link, "sync_group", 5, **one, type="consumer", protocol="p",
                   assignments=[{"member": one["member"], "assignment": b"x" * (20 << 20)}])
        print(f"      an assignment of 20 MB: error {seen['error']}", flush=True)
        # Beyond what a record may be, Kafka says UNKNOWN_SERVER_ERROR.
        expect_in(seen["error"], (-1, INVALID_REQUEST, 15, 10) if not node.ours else (INVALID_REQUEST, 15, 10, 0), "error of SyncGroup")
        expect(neighbour.metadata([])["brokers"], "the neighbour is served")
        with wire.Connection(node.port, timeout=60) as other:
            coordinator(other, "huge-not")
            lives(other, "huge-not")
            ask(other, "leave_group", 5, group="huge", member=one["member"])
            lives(other, "huge")


@test("hostile group: a commit of 100,000 partitions is answered for each; those that are not there get 3, the others are kept")
def many_partitions(node):
    topic = topic_of(node, 2)
    with attack(node, "wide", growth_kib_max=192 * 1024) as (link, _):
        parts = {number: number * 10 for number in range(100000)}
        errors = commit(link, "wide", topic, parts)
        expect_equal(len(errors), 100000, "answers")
        expect_equal(sorted(set(errors)), [0, 3], "errors")
        expect_equal(errors.count(0), 2, "offsets that were taken")
        seen = ask(link, "offset_fetch", 7, group="wide", topics=None)["topics"]
        expect_equal([(one["index"], one["offset"]) for one in seen[0]["partitions"]], [(0, 0), (1, 10)], "offsets")
        # One partition a hundred thousand times: the last one counts.
        again = [{"index": 0, "offset": number} for number in range(100000)]
        answered = ask(link, "offset_commit", 9, group="wide", topics=[{"name": topic, "partitions": again}])
        if not node.ours:
            return  # Kafka writes them all in one batch, which is too large.
        expect_equal({one["error"] for one in answered["topics"][0]["partitions"]}, {0}, "errors of one partition again and again")
        seen = ask(link, "offset_fetch", 7, group="wide", topics=[{"name": topic, "partitions": [0] * 100000}])
        expect_equal({one["offset"] for one in seen["topics"][0]["partitions"]}, {99999}, "offset")


@test("hostile group: members that park 2,000 joins and hang up are forgotten with their connections",
      ours_only="Kafka keeps each for five minutes")
def parked(node):
    with attack(node, "park") as (link, _):
        one = join(link, "park", rebalance_ms=1500, session_ms=6000)
        ask(link, "sync_group", 5, **one, type="consumer", protocol="p")
        for _ in range(20):
            with wire.Connection(node.port) as other:
                for version in (3,) * 100:  # v3 joins at once; the group waits for the first member.
                    send(other, "join_group", version, group="park", protocols=PROTOCOL, session_ms=6000, rebalance_ms=1500)
        until(lambda: ask(link, "heartbeat", 4, **one)["error"] == 27, "the group rebalances")
        count = len(ask(link, "describe_groups", 6, groups=["park"])["groups"][0]["members"])
        expect(count > 100, f"{count} members")
        # The first does not join again, the others do not sync: their time ends.
        until(lambda: ask(link, "describe_groups", 6, groups=["park"])["groups"][0]["state"] in ("Empty", "Dead"),
              "the group is empty", 60)
        lives(link, "park")

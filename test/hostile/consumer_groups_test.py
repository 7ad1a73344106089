"""What members of consumer groups (KIP-848) may try: expressions that explode, names nobody has, ids and epochs that are not
theirs, floods of members. Each gets the error that Kafka gives, and a neighbour's group goes on."""

import contextlib
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, expect_in, fresh_topic, test, until
from group_wire import ask, coordinator, whole
from hostile import metric, topic_of, unharmed
import wire

MEMBERS_MAX = 1000
MEMORY = 64 << 20
SETTINGS = ["offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1", f"group.consumer.max.size={MEMBERS_MAX}",
            "group.consumer.assignment.interval.ms=0"]
# What groups keep is in a budget as large as the memory. Sessions are short: they end in the test.
SMALL = [f"millrace.memory.bytes={MEMORY}", "millrace.shards=1", "group.consumer.min.session.timeout.ms=10000",
         "group.consumer.session.timeout.ms=10000", "group.consumer.min.heartbeat.interval.ms=1000",
         "group.consumer.heartbeat.interval.ms=1000"]
UNKNOWN_MEMBER, INVALID_REQUEST, GROUP_NOT_FOUND, GROUP_MAX_SIZE = 25, 42, 69, 81
FENCED_EPOCH, UNRELEASED_INSTANCE, UNSUPPORTED_ASSIGNOR, INVALID_REGEX = 110, 111, 112, 128


def beat(connection, group, member, epoch, **values):
    """A heartbeat of a member; the first one says what it has to."""
    if epoch == 0:
        values = {"owned": [], **({} if {"names", "regex"} & values.keys() else {"names": ["none"]}), **values}
    return ask(connection, "consumer_beat", 1, **{"group": group, "member": member, "epoch": epoch, "instance": None, **values})


def joined(connection, group, member, **values):
    """Joins and has the epoch of its target: that."""
    seen = beat(connection, group, member, 0, **values)
    expect_equal(seen["error"], 0, f"error of the first heartbeat: {seen['message']}")
    return seen["epoch"]


def left(connection, group, member):
    expect_equal(beat(connection, group, member, -1)["error"], 0, "error of a last heartbeat")


@contextlib.contextmanager
def attack(node, *groups, **bounds):
    """Gives (the attacker's connection, the neighbour's). A neighbour's member is in a group of its own before, and after."""
    with wire.Connection(node.port, timeout=60) as link:
        own = fresh_topic("neighbours")
        for group in (own, *groups):
            coordinator(link, group)
        topic = topic_of(node)
        with unharmed(node, **bounds) as neighbour:
            epoch = joined(neighbour, own, "neighbour", names=[topic])
            neighbour.alive = lambda: expect_equal(beat(neighbour, own, "neighbour", epoch)["error"], 0, "error of a neighbour's member")
            yield link, neighbour
            neighbour.alive()
            left(neighbour, own, "neighbour")


@test("hostile consumer group: wrong ids, epochs and first requests are refused as Kafka refuses them, and change nothing (8.1-8.5)")
def wrong(node):
    with attack(node, "wrong", "nobody") as (link, _):
        epoch = joined(link, "wrong", "one")
        first = {"owned": [], "names": ["t"]}
        for said, wanted in (({"epoch": -3}, INVALID_REQUEST), ({"epoch": -(2**31)}, INVALID_REQUEST),
                             ({"epoch": 0, **first, "member": ""}, INVALID_REQUEST),
                             ({"epoch": 0, **first, "instance": ""}, INVALID_REQUEST),
                             ({"epoch": 0, **first, "rack": ""}, INVALID_REQUEST),
                             ({"epoch": 0, **first, "assignor": "no-such"}, UNSUPPORTED_ASSIGNOR),
                             ({"epoch": 0, "names": ["t"], "owned": None}, INVALID_REQUEST),
                             ({"epoch": 0, "names": ["t"], "owned": [{"id": b"x" * 16, "partitions": [0]}]}, INVALID_REQUEST),
                             ({"epoch": 0, **first, "rebalance_ms": -1}, INVALID_REQUEST),
                             ({"epoch": 0, "owned": [], "names": None}, INVALID_REQUEST),
                             ({"epoch": -2, "member": "one"}, INVALID_REQUEST),
                             ({"epoch": 1, "member": "ghost"}, UNKNOWN_MEMBER), ({"epoch": -1, "member": "ghost"}, UNKNOWN_MEMBER),
                             ({"epoch": 1, "member": "m" * 30000}, UNKNOWN_MEMBER),
                             ({"epoch": epoch + 1, "member": "one"}, FENCED_EPOCH), ({"epoch": 2**31 - 1, "member": "one"}, FENCED_EPOCH),
                             ({"epoch": 1, "member": "ghost", "instance": "i"}, UNKNOWN_MEMBER),
                             ({"epoch": 1, "member": "one", "group": "nobody"}, GROUP_NOT_FOUND)):
            seen = ask(link, "consumer_beat", 1, **{"group": "wrong", "member": "two", "instance": None, **said})
            expect_equal(seen["error"], wanted, f"error of {said}")
        # An epoch that is long gone, of a member that owns what it was given since.
        for number in range(3):
            joined(link, "wrong", f"more-{number}", names=["t"])
            epoch = beat(link, "wrong", "one", epoch)["epoch"]
        expect_equal(beat(link, "wrong", "one", epoch - 2)["error"], FENCED_EPOCH, "error of a stale epoch")
        # An instance that is alive is not taken over.
        joined(link, "wrong", "static", names=["t"], instance="i")
        seen = beat(link, "wrong", "thief", 0, instance="i")
        expect_equal(seen["error"], UNRELEASED_INSTANCE, "error for who takes a living instance's id")
        described = ask(link, "consumer_describe", 1, groups=["wrong"])["groups"][0]["members"]
        expect_equal(sorted(one["member"] for one in described), ["more-0", "more-1", "more-2", "one", "static"], "members")
        expect_equal(beat(link, "wrong", "one", described[0]["epoch"] and
                          next(one["epoch"] for one in described if one["member"] == "one"))["error"], 0, "error of who belongs there")


@test("hostile consumer group: expressions that are none get 128, and who sent them is no member (8.14)")
def invalid(node):
    with attack(node, "regex") as (link, neighbour):
        for regex in ("(", ")", "[", "*", "a**", "(?<=a)b", "(?=a)", r"\1", r"(a)\1", "a{2,1}", "(?P<n", r"\p{Nope}", "(?!a).*",
                      "(" * 2000, "[" + "a-z" * 1000):
            seen = beat(link, "regex", "one", 0, regex=regex)
            expect_equal((seen["error"], seen["assignment"]), (INVALID_REGEX, None), f"answer to {regex[:30]!r}")
        neighbour.alive()
        # A group of whom nobody is a member may be there or not.
        seen = ask(link, "consumer_describe", 1, groups=["regex"])["groups"][0]
        expect_equal((seen["error"] in (0, GROUP_NOT_FOUND), seen["members"]), (True, []), "the group")


BOMBS = ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "([a-zA-Z]+)*$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", "(a*)*b",
         ".*.*.*.*.*.*.*.*.*.*x", "((a{0,30}){0,30}){0,1}", "(?i)(k|K|\u212a)*z"]


@test("hostile consumer group: expressions that explode elsewhere take no time on long names, 500 members' at once, and match (8.14)")
def bombs(node):
    long = ["a" * 240 + f"-{number}" for number in range(50)]
    with attack(node, "bombs", "match") as (link, neighbour):
        for name in long:
            expect_equal(link.create_topic(name), 0, "error of CreateTopics")
        for number in range(500):
            seen = beat(link, "bombs", f"m-{number}", 0, regex=BOMBS[number % len(BOMBS)] + "|n" * (number // len(BOMBS)))
            expect_in(seen["error"], (0, INVALID_REGEX), f"error of expression {number}")
            if number % 50 == 0:
                neighbour.alive()
        # Resolved soon, whatever others ask for.
        seen = beat(link, "match", "one", 0, regex="^a+-7$")
        wanted = link.metadata([long[7]])["topics"][0]["topic_id"]
        def given():
            nonlocal seen
            expect_equal(seen["error"], 0, f"error of a heartbeat: {seen['message']}")
            found = [one["id"] for one in (seen["assignment"] or {"topics": []})["topics"]]
            seen = beat(link, "match", "one", seen["epoch"])
            return found
        expect_equal(until(given, "its topic is matched", 20), [wanted], "topics")
        neighbour.alive()


@test("hostile consumer group: an expression of 32,000 bytes, or of millions of states, gets 128", ours_only="Kafka compiles them")
def huge(node):
    with attack(node, "huge") as (link, neighbour):
        # What is longer is no string of the protocol.
        for regex in ("a" * 32_000, "(a|b)" * 6000, "((a{100}){100}){100}", "((((.{1000}){1000}){1000}){1000})", r"(\pL{1000}){2}",
                      "(" + "|".join(f"topic-{number}" for number in range(2000)) + ")"):
            expect_equal(beat(link, "huge", "one", 0, regex=regex)["error"], INVALID_REGEX, f"error of {regex[:30]!r}")
        neighbour.alive()


@test("hostile consumer group: a subscription to 100,000 names, and one that is too large for a batch, disturb nobody (8.2)")
def names(node):
    with attack(node, "names", growth_kib_max=192 * 1024) as (link, neighbour):
        epoch = joined(link, "names", "many", names=[f"{number:06}" for number in range(100_000)])
        neighbour.alive()
        for _ in range(3):
            joined(link, "names", "few", names=["t"])
            left(link, "names", "few")
        described = ask(link, "consumer_describe", 1, groups=["names"])["groups"][0]["members"]
        expect_equal([len(one["names"]) for one in described], [100_000], "names of the only member")
        # With names of the longest kind it is 24 MB, which Kafka's log does not take.
        seen = beat(link, "names", "larger", 0, names=[f"{number:06}" + "n" * 240 for number in range(100_000)])
        expect_equal(seen["error"], INVALID_REQUEST if node.ours else -1, "error of a subscription of 24 MB")
        neighbour.alive()
        left_with = ask(link, "consumer_describe", 1, groups=["names"])["groups"][0]["members"]
        expect_equal([one["member"] for one in left_with], ["many"], "members")
        expect(epoch > 0, "an epoch")


def flooded(link, beats):
    """Sends them all, some hundreds at a time, and counts the errors."""
    errors = {}
    for start in range(0, len(beats), 500):
        some = beats[start:start + 500]
        link.send(b"".join(wire.encode("consumer_beat_v1", number, **whole("consumer_beat", 1, {"instance": None, **one}))
                           for number, one in enumerate(some)))
        for _ in some:
            seen = link.answer("consumer_beat_v1")
            errors[seen["error"]] = errors.get(seen["error"], 0) + 1
    return errors


@test("hostile consumer group: of a flood of 20,000 members group.consumer.max.size join, the others get 81, and whoever goes makes room (8.20)")
def flood(node):
    with attack(node, "flood") as (link, neighbour):
        errors = {}
        for start in range(0, 20_000, 1000):
            for error, count in flooded(link, [{"group": "flood", "member": f"m-{number}", "epoch": 0, "names": ["t"], "owned": []}
                                               for number in range(start, start + 1000)]).items():
                errors[error] = errors.get(error, 0) + count
            neighbour.alive()
        expect_equal(errors, {0: MEMBERS_MAX, GROUP_MAX_SIZE: 20_000 - MEMBERS_MAX}, "answers")
        def members():
            return len(ask(link, "consumer_describe", 1, groups=["flood"])["groups"][0]["members"])
        expect_equal(members(), MEMBERS_MAX, "members")
        # Who is no member cannot leave; who is one can.
        errors = flooded(link, [{"group": "flood", "member": f"m-{number}", "epoch": -1} for number in range(2 * MEMBERS_MAX)])
        expect_equal(errors, {0: MEMBERS_MAX, UNKNOWN_MEMBER: MEMBERS_MAX}, "answers to those who leave")
        expect_equal(members(), 0, "members in the end")
        expect(joined(link, "flood", "a-late-one") > MEMBERS_MAX, "the group's epoch goes on")


@test("hostile consumer group: where floods over many groups have used the memory for groups up nobody new joins, and members go on",
      own_node=True, ours_only="Kafka takes as many as its heap holds")
def memory(node):
    node.settings += SMALL
    node.start()
    # Beside the budget itself: the requests' and what the log's batches take on their way.
    with attack(node, "g-0", growth_kib_max=(MEMORY >> 10) + 128 * 1024) as (link, neighbour):
        many = [f"{number:04}" + "n" * 100 for number in range(400)]
        errors = {}
        for start in range(0, 8000, 100):
            for error, count in flooded(link, [{"group": f"g-{number % 50}", "member": f"m-{number}", "epoch": 0, "names": many, "owned": []}
                                               for number in range(start, start + 100)]).items():
                errors[error] = errors.get(error, 0) + count
            neighbour.alive()
            if errors.get(GROUP_MAX_SIZE, 0) > 300:
                break
        expect_equal(set(errors), {0, GROUP_MAX_SIZE}, "errors")
        taken = metric(node, 'millrace_memory_bytes{budget="groups"}')
        expect(MEMORY // 2 < taken <= MEMORY, f"groups take {taken:.0f} bytes")
        neighbour.alive()
        # Their sessions end, and there is room again.
        def room():
            neighbour.alive()
            return beat(link, "g-0", "late", 0)["error"] == 0
        until(room, "a new member may join", 60)

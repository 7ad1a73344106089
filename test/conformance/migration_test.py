"""Groups that go from the classic protocol to that of KIP-848 and back while they live: member by member, under load, and on a bare
socket, where each answer is Apache Kafka's (stories/mixed*.txt).

    REWRITE=1 test/conformance/harness.py test/conformance --match migration --against oracle      writes the stories anew
"""

import os
import signal
import struct
import subprocess
import threading

from harness import expect_equal, java_environment, oracle, test, until
from group_wire import Story, ask, committed, coordinator, group_of, told, topic_of
from members import Member
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1",
            "group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000",
            "group.consumer.min.heartbeat.interval.ms=200", "group.consumer.heartbeat.interval.ms=200",
            "group.consumer.assignment.interval.ms=0"]
PARTITIONS = 4


def kind_of(node, group):
    with wire.Connection(node.port) as connection:
        listed = ask(connection, "list_groups", 5)["groups"]
    return next((one["kind"] for one in listed if one["group"] == group), None)


class Load:
    """Records 0, 1, 2, ... into a topic for as long as the block goes on."""

    def __init__(self, node, topic):
        self.node, self.topic = node, topic
        self.count = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)

    def run(self):
        with wire.Connection(self.node.port) as connection:
            while not self.over.wait(0.02):
                batch = wire.batch([str(self.count).encode()])
                part = connection.produce(self.topic, batch, partition=self.count % PARTITIONS)
                expect_equal(part["error"], 0, "error of Produce")
                self.count += 1


def two_owners(members):
    """Whoever had a partition while another one had it: by what members said, and when."""
    spans = {}
    for number, member in enumerate(members):
        for one in member.of("assigned", "revoked", "lost"):
            for partition in one["partitions"]:
                spans.setdefault((partition, number), []).append((one["at"], one["event"]))
    by_partition = {}
    for (partition, number), events in spans.items():
        begin = None
        for at, event in events:
            if event == "assigned":
                begin = at
            elif begin is not None:
                by_partition.setdefault(partition, []).append((begin, at, number))
                begin = None
        if begin is not None:
            by_partition.setdefault(partition, []).append((begin, float("inf"), number))
    found = []
    for partition, of_it in by_partition.items():
        of_it.sort()
        found += [(partition, one, other) for one, other in zip(of_it, of_it[1:]) if other[0] < one[1]]
    return found


@test("migration: two classic members become new ones and classic ones again, one by one: nothing is lost, no partition has two owners")
def eager(node):
    topic, group = topic_of(node, PARTITIONS), group_of(node)
    old = {"commit": "each"}
    new = {"commit": "each", "group_protocol": "consumer"}
    everyone = []

    def member(settings):
        everyone.append(Member(node.bootstrap, group, topic, **settings))
        everyone[-1].start()
        return everyone[-1]

    def settled(*members):
        def shared():
            owned = [one.owned() for one in members]
            return all(len(one) == 2 for one in owned) and len(owned[0] | owned[1]) == PARTITIONS
        until(shared, f"each of both has two partitions of member {len(everyone)}", 60)

    try:
        with Load(node, topic) as load:
            pair = [member(old), member(old)]
            settled(*pair)
            expect_equal(kind_of(node, group), "classic", "kind of the group")
            for settings, kinds in ((new, ("consumer", "consumer")), (old, ("consumer", "classic"))):
                for place, kind in enumerate(kinds):
                    pair[place].close()
                    pair[place] = member(settings)
                    settled(*pair)
                    expect_equal(kind_of(node, group), kind, "kind of the group")
        missing = lambda: set(range(load.count)) - {int(value) for one in everyone for value in one.values()}  # noqa: E731
        until(lambda: not missing(), "all is read", 40)
        with wire.Connection(node.port) as connection:
            until(lambda: sum(committed(connection, group, topic, PARTITIONS)) == load.count, "all is committed", 20)
        for one in pair:
            one.close()
        expect_equal(two_owners(everyone), [], "partitions with two owners")
    finally:
        for one in everyone:
            one.die()


class Console:
    """Kafka's console-consumer in a group, until stop(). (librdkafka's cooperative assignor keeps data in assignments, which stops
    an upgrade: mixed_refused.)"""

    def __init__(self, node, group, topic, *properties):
        words = [word for one in ("auto.offset.reset=earliest", *properties) for word in ("--command-property", one)]
        self.process = subprocess.Popen([oracle(), "console-consumer", "--bootstrap-server", node.bootstrap, "--topic", topic, "--group", group,
                                         *words], env={**os.environ, **java_environment()}, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(line.strip() for line in self.process.stdout), daemon=True)
        self.reader.start()

    def stop(self, how=signal.SIGTERM):
        """It commits what it has read and leaves, as on Ctrl-C."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
        self.process.wait(30)
        self.reader.join(10)


def shares(node, group):
    """The partitions of each member, as the coordinator tells."""
    with wire.Connection(node.port) as connection:
        described = ask(connection, "consumer_describe", 1, groups=[group])["groups"][0]
        if described["error"] == 0:
            return [{one for topic in member["assignment"]["topics"] for one in topic["partitions"]} for member in described["members"]]
        described = ask(connection, "describe_groups", 5, groups=[group])["groups"][0]
        stable = described["state"] == "Stable"
        return [partitions_in(member["assignment"]) for member in described["members"]] if stable else []


def partitions_in(data):
    """Of a ConsumerProtocolAssignment with one topic at most."""
    topics, = struct.unpack_from(">i", data, 2)
    if topics == 0:
        return set()
    name, = struct.unpack_from(">h", data, 6)
    count, = struct.unpack_from(">i", data, 8 + name)
    return set(struct.unpack_from(f">{count}i", data, 12 + name))


@test("migration: two cooperative members of Kafka's own client become new ones and classic ones again: nothing is lost")
def cooperative(node):
    topic, group = topic_of(node, PARTITIONS), group_of(node)
    old = ["session.timeout.ms=6000", "heartbeat.interval.ms=500",
           "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor"]
    new = ["group.protocol=consumer"]
    everyone = []

    def start(properties):
        everyone.append(Console(node, group, topic, *properties))
        return everyone[-1]

    def settled(kind):
        def shared():
            owned = shares(node, group)
            return len(owned) == 2 and all(len(one) == 2 for one in owned) and len(owned[0] | owned[1]) == PARTITIONS
        until(shared, f"each of both has two partitions, with member {len(everyone)}", 60)
        expect_equal(kind_of(node, group), kind, "kind of the group")

    try:
        with Load(node, topic) as load:
            pair = [start(old), start(old)]
            settled("classic")
            for properties, kinds in ((new, ("consumer", "consumer")), (old, ("consumer", "classic"))):
                for place, kind in enumerate(kinds):
                    pair[place].stop()
                    pair[place] = start(properties)
                    settled(kind)
        # It may die between a record and its commit: then the next one reads that again.
        missing = lambda: set(range(load.count)) - {int(line) for one in everyone for line in one.lines}  # noqa: E731
        until(lambda: not missing(), "all is read", 40)
        for one in pair:
            one.stop()
        with wire.Connection(node.port) as connection:
            expect_equal(sum(committed(connection, group, topic, PARTITIONS)), load.count, "committed offsets, together")
    finally:
        for one in everyone:
            one.stop(signal.SIGKILL)


def short(text):
    return struct.pack(">h", len(text)) + text.encode()


def named(topic, partitions):
    return struct.pack(">i", 1) + short(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)


def subscription(topic, owned=()):
    """ConsumerProtocolSubscription v1."""
    return struct.pack(">hi", 1, 1) + short(topic) + struct.pack(">i", -1) + (named(topic, owned) if owned else struct.pack(">i", 0))


def assignment(topic, partitions):
    return struct.pack(">h", 1) + named(topic, partitions) + struct.pack(">i", -1)


class Mixed:
    """A story about one group with members of both kinds."""

    def __init__(self, story, group, partitions=2):
        self.story, self.group = story, group
        self.topic, self.topic_id = story.topic(partitions)
        coordinator(story.connection, group)

    def join(self, member="", owned=(), version=5, protocols=("range",), **values):
        listed = [{"name": name, "metadata": subscription(self.topic, owned)} for name in protocols]
        answer = self.story.ask("join_group", version, group=self.group, member=member, **{"protocols": listed, **values})
        return answer["member"], answer["generation"]

    def first(self, **values):
        """A member of the old protocol alone in the group, with all there is."""
        member, _ = self.join(**values) if "instance" in values else (self.join()[0], 0)
        if "instance" not in values:
            member, generation = self.join(member)
        else:
            generation = 1
        self.sync(member, generation, assignments=[{"member": member, "assignment": assignment(self.topic, [0, 1])}], **values)
        return member, generation

    def sync(self, member, generation, **values):
        said = {"type": "consumer", "protocol": "range", **values}
        self.story.ask("sync_group", 5, group=self.group, member=member, generation=generation, **said)

    def beat(self, member, generation, **values):
        self.story.ask("heartbeat", 4, group=self.group, member=member, generation=generation, **values)

    def new(self, member, **values):
        return self.story.ask("consumer_beat", 1, group=self.group, member=member, epoch=0, names=[self.topic], owned=[], **values)["epoch"]

    def hb(self, member, epoch, owned=None, **values):
        said = None if owned is None else [{"id": self.topic_id, "partitions": owned}] if owned else []
        return self.story.ask("consumer_beat", 1, group=self.group, member=member, epoch=epoch, owned=said, **values)["epoch"]

    def leave(self, *members):
        self.story.ask("leave_group", 5, group=self.group,
                       members=[{"member": member, "instance": instance, "reason": None} for member, instance in members])

    def describe(self):
        self.story.ask("consumer_describe", 1, groups=[self.group])
        self.story.ask("describe_groups", 6, groups=[self.group])

    def commit(self, member, generation, offset, partition=0):
        partitions = [{"index": partition, "offset": offset}]
        self.story.ask("offset_commit", 9, group=self.group, member=member, generation=generation,
                       topics=[{"name": self.topic, "partitions": partitions}])


@test("migration: up and down again on a bare socket, each answer as Apache Kafka's (8.18, 8.19)")
def mixed(node):
    with Story(node) as story:
        mix = Mixed(story, "mixed")
        story.say("a classic group")
        old, generation = mix.first()
        mix.commit(old, generation, 3)
        story.say("a member of the new protocol joins it")
        epoch = mix.new("new-member")
        mix.describe()
        mix.beat(old, generation)
        mix.beat(old, generation + 1)
        mix.hb("new-member", epoch, [])
        mix.commit(old, generation, 4)
        story.say("the old one keeps one partition and gives up the other")
        _, now = mix.join(old, owned=[0, 1])
        mix.sync(old, now)
        mix.beat(old, now)
        mix.hb("new-member", epoch, [])
        _, now = mix.join(old, owned=[0])
        mix.sync(old, now)
        mix.sync(old, now, type="connect")
        mix.sync(old, now, protocol="sticky")
        mix.sync(old, now - 1)
        mix.beat(old, now)
        mix.hb("new-member", epoch, [])
        mix.describe()
        mix.commit(old, now, 5)
        story.say("commits of the generation before: of what it has since then, and of what it has no more")
        mix.commit(old, now - 1, 6)
        mix.commit(old, now - 1, 6, partition=1)
        mix.commit(old, now - 2, 7)
        mix.commit(old, now + 1, 7)
        mix.commit("new-member", epoch - 1, 7, partition=1)
        story.say("what is not for it")
        mix.beat("new-member", epoch)
        mix.sync("new-member", epoch)
        mix.beat("ghost", now)
        mix.join(protocols=["sticky"])
        mix.join(type="connect")
        mix.join(session_ms=1)
        mix.leave(("ghost", None), ("", "nobody"))
        story.say("another old one asks for an id, and joins")
        other, _ = mix.join()
        other, theirs = mix.join(other)
        mix.sync(other, theirs)
        mix.beat(old, now)
        mix.hb("new-member", epoch, [1])
        story.say("the new one leaves, and with it the new protocol")
        mix.hb("new-member", -1)
        mix.describe()
        mix.beat(other, theirs)
        story.ask("offset_fetch", 9, groups=[{"group": mix.group, "member": None, "epoch": -1,
                                              "topics": [{"name": mix.topic, "partitions": [0]}]}])
        mix.leave((old, None), (other, None))
        told("mixed", story)


@test("migration: static members go up and down with a restart, and keep what they have, as with Apache Kafka")
def mixed_static(node):
    with Story(node) as story:
        mix = Mixed(story, "mixed-static")
        old, generation = mix.first(instance="a")
        story.say("up")
        epoch = mix.new("new-member", instance="a")
        mix.describe()
        mix.beat(old, generation, instance="a")
        mix.sync(old, generation, instance="a")
        mix.join(old, instance="a")
        story.say("down, while the new one is there")
        down, _ = mix.join(instance="a")
        # Ours has the group rebalance now, and Kafka leaves it without a leader until one asks: the two agree once it has.
        _, now = mix.join(down, instance="a")
        mix.sync(down, now, instance="a", assignments=[{"member": down, "assignment": assignment(mix.topic, [0, 1])}])
        mix.describe()
        mix.hb("new-member", epoch, instance="a")
        mix.beat(down, now, instance="a")
        story.say("an admin removes the last of the new ones")
        mix.new("newer-member", instance="b")
        mix.leave(("", "b"))
        # Not described: what it has to give up we show as its own still.
        mix.beat(down, now + 1, instance="a")
        mix.beat(down, now, instance="a")
        mix.leave(("", "a"))
        told("mixed_static", story)


@test("migration: groups that are no groups of consumers, or whose members nobody understands, stay what they are, as with Apache Kafka")
def mixed_refused(node):
    with Story(node) as story:
        for group, values in (("connect", {"type": "connect"}), ("strange", {"protocols": [{"name": "range", "metadata": b"x"}]})):
            mix = Mixed(story, f"mixed-{group}")
            story.say(group)
            member = story.ask("join_group", 5, group=mix.group, **{"protocols": [{"name": "range", "metadata": b""}], **values})["member"]
            story.ask("join_group", 5, group=mix.group, member=member, **{"protocols": [{"name": "range", "metadata": b""}], **values})
            mix.sync(member, 1, type=values.get("type", "consumer"), assignments=[{"member": member, "assignment": b""}])
            mix.new("new-member")
            mix.describe()
            mix.leave((member, None))
        mix = Mixed(story, "mixed-custom")
        story.say("an assignor with data of its own")
        member, _ = mix.join()
        mix.join(member)
        mix.sync(member, 1, assignments=[{"member": member, "assignment": assignment(mix.topic, [0])[:-4] + b"\0\0\0\1x"}])
        mix.new("new-member")
        mix.describe()
        mix.leave((member, None))
        told("mixed_refused", story)

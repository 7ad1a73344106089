"""Three nodes, and the coordinator of a consumer group goes, again and again (RELIABILITY 40, 41).

What is checked of a group under load (groups.py): every acknowledged record is delivered, no acknowledged commit is ever gone (OffsetFetch
after each failover), no partition has two owners in one generation, and the group is served again. Gaps are printed: from the
signal to the first commit that is acknowledged by the next coordinator.
"""

import contextlib
import functools
import random
import select
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from group_wire import answer, ask, committed, send
from harness import expect, expect_equal, fresh_topic, test, until
from members import FranzMember, JavaMember, KafkajsMember, Member, SaramaMember
import wire

NODE = cluster_of(3)
SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=3", "offsets.topic.replication.factor=3",
            # In the consumer protocol the broker says what members of classic groups choose: as they do.
            "group.consumer.min.heartbeat.interval.ms=500", "group.consumer.heartbeat.interval.ms=500",
            "group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000"]
PARTITIONS = 6
START_SECONDS_MAX = 120  # Until members have what is theirs, from before they are processes: on a busy machine a JVM takes long.
SYNC_ROUNDS = 5
UNKNOWN_MEMBER, ID_REQUIRED = 25, 79
ELSEWHERE = {14, 15, 16}  # Loading, not available, not the coordinator: worth asking again.


def begin(cluster, partitions=PARTITIONS):
    topic = fresh_topic("chaos")
    cluster.create_topic(topic, partitions)
    cluster.until_in_sync(topic, partitions)
    return topic


def coordinator_of(cluster, group, other_than=None, seconds=30):
    """The member of the cluster that serves the group, loaded."""
    def found():
        with contextlib.suppress(OSError, wire.Disconnected):
            with cluster.connection() as connection:
                one = ask(connection, "find_coordinator", 4, keys=[group])["coordinators"][0]
            if one["error"] == 0 and (other_than is None or one["node"] != other_than.id):
                member = cluster.member(one["node"])
                with wire.Connection(member.port, host=member.host) as connection:
                    if ask(connection, "describe_groups", 5, groups=[group])["groups"][0]["error"] == 0:
                        return member
        return None
    return until(found, f"{group} has a coordinator that serves", seconds)


def in_sync(cluster):
    cluster.until_in_sync("__consumer_offsets", 3)


class Consumers:
    """A group of consumers that commit after every record, and what is known of it."""

    def __init__(self, cluster, group, topic, member=Member, count=3):
        self.cluster, self.group, self.topic, self.member = cluster, group, topic, member
        self.all = [member(cluster.bootstrap, group, topic, commit="each") for _ in range(count)]

    def __enter__(self):
        for one in self.all:
            one.start()
        return self

    def __exit__(self, *_):
        for one in self.all:
            one.die()

    def more(self):
        one = self.member(self.cluster.bootstrap, self.group, self.topic, commit="each")
        one.start()
        self.all.append(one)
        return one

    def living(self):
        return [one for one in self.all if one.process.poll() is None]

    def acknowledged(self):
        """The highest acknowledged commit by partition."""
        highest = {}
        for one in self.all:
            for event in one.of("committed"):
                for partition, offset in event["offsets"].items() if event["error"] is None else ():
                    highest[int(partition)] = max(highest.get(int(partition), -1), offset)
        return highest

    def commits(self, since=0.0):
        return [event["at"] for one in self.all for event in one.of("committed") if event["error"] is None and event["at"] > since]

    def until_commits(self, count, since, what, seconds=40):
        until(lambda: len(self.commits(since)) >= count, f"{count} commits {what}: {[one.events[-2:] for one in self.living()]}", seconds)

    def until_all_owned(self, seconds=40):
        def settled():
            owned = [one.owned() for one in self.living()]
            return all(owned) and sorted(partition for some in owned for partition in some) == list(range(PARTITIONS))
        until(settled, "the partitions are shared out", seconds)

    def check_commits(self, coordinator):
        """What was acknowledged before is still there, or something newer."""
        before = self.acknowledged()
        with wire.Connection(coordinator.port) as connection:
            seen = committed(connection, self.group, self.topic, PARTITIONS)
        for partition, offset in before.items():
            expect(seen[partition] >= offset, f"partition {partition}: the commit of {offset} was acknowledged, and {seen[partition]} is there")
        return len(self.commits())

    def check_owners(self):
        """No partition has two owners in one generation. How many generations there were."""
        owners = {}
        for one in self.all:
            for event in one.of("assigned"):
                expect(event["generation"] > 0, f"an assignment without a generation: {event}")
                for partition in event["partitions"]:
                    key = event["generation"], partition
                    expect(owners.setdefault(key, event["member"]) == event["member"],
                           f"generation {key[0]}: partition {partition} belongs to {owners[key]} and to {event['member']}")
        return len({generation for generation, _ in owners})

    def check_delivered(self, load):
        """Every acknowledged record was delivered to somebody, where it was acknowledged, and commits name the ends."""
        wanted = {(partition, offset, value) for _, partition, offset, value in load.lines()}

        def missing():
            return wanted - {record for one in self.all for record in one.records()}
        until(lambda: not missing(), f"all {len(wanted)} acknowledged records are delivered", 30)
        ends = {}
        for partition, offset, _ in wanted:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        until(lambda: all(self.acknowledged().get(partition, -1) >= end for partition, end in ends.items()), "all is committed", 30)
        return len(wanted)


def kill_in_turn(cluster, rounds, before, member=Member, rate=150, count=3):
    """Kills the coordinator so often; `before(round, consumers, coordinator)` says when. Members keep up with `rate` records a second."""
    topic, group = begin(cluster), fresh_topic("group")
    gaps = []
    with Load(cluster.bootstrap, topic, PARTITIONS, rate=rate) as load:
        with Consumers(cluster, group, topic, member, count) as consumers:
            consumers.until_all_owned(START_SECONDS_MAX)
            in_sync(cluster)
            consumers.until_commits(50, 0, "before the first kill")
            for number in range(rounds):
                victim = coordinator_of(cluster, group)
                before(number, consumers, victim)
                killed_at = time.time()
                victim.kill()
                successor = coordinator_of(cluster, group, other_than=victim)
                consumers.check_commits(successor)
                # Of the new coordinator: what the old one acknowledged on its way out may be read a little later than the signal.
                consumers.until_commits(1, killed_at + 0.05, "after the kill")
                gaps.append(round((min(consumers.commits(killed_at + 0.05)) - killed_at) * 1000))
                consumers.until_all_owned()
                victim.start()
                in_sync(cluster)
                consumers.until_commits(50, time.time(), "after the restart")
                consumers.check_commits(coordinator_of(cluster, group))
            load.finish()
            delivered = consumers.check_delivered(load)
            for one in consumers.living():
                one.close()
            generations = consumers.check_owners()
            commits = consumers.check_commits(coordinator_of(cluster, group))
    load.check()
    print(f"      {delivered} records, {commits} commits, {generations} generations; from kill to the next commit {gaps} ms", flush=True)


@test("kill the coordinator: mid-commit, again and again, no acknowledged commit goes back and every record is delivered")
def mid_commit(cluster):
    kill_in_turn(cluster, 3, lambda number, consumers, victim: None)


@test("kill the coordinator: mid-rebalance, again and again, no partition has two owners and the group is served again")
def mid_rebalance(cluster):
    extra = []

    def disturb(number, consumers, victim):
        # One more comes, or the last that came goes; the kill hits while the group counts its members.
        with wire.Connection(victim.port) as connection:
            if extra and number % 2:
                extra.pop().do("close")
            else:
                extra.append(consumers.more())
            until(lambda: ask(connection, "describe_groups", 5, groups=[consumers.group])["groups"][0]["state"] != "Stable",
                  "the group rebalances", 20)
    kill_in_turn(cluster, 3, disturb)


def state(connection, group):
    """Of a group of either protocol."""
    listed = ask(connection, "list_groups", 5)["groups"]
    return next((one["state"] for one in listed if one["group"] == group), None)


def killed_with(member, whose, count=3, **settings):
    def disturb(number, consumers, victim):
        if not number:
            return
        one = consumers.more()
        with wire.Connection(victim.port) as connection:
            until(lambda: state(connection, consumers.group) != "Stable" or one.owned(), "the group rebalances", START_SECONDS_MAX)

    @test(f"kill the coordinator: of {whose} consumers, mid-rebalance too, with the same outcome")
    def one(cluster):
        # One commit after the other: on a busy machine a member does thirty a second.
        kill_in_turn(cluster, 2, disturb, functools.partial(member, **settings), rate=50, count=count)
    return one


sarama = killed_with(SaramaMember, "sarama's")
franz_go = killed_with(FranzMember, "franz-go's")
kafkajs = killed_with(KafkajsMember, "kafkajs's")
java = killed_with(JavaMember, "Java's", count=2)
java_consumer_protocol = killed_with(JavaMember, "Java's KIP-848", count=2, group_protocol="consumer")
consumer_protocol = killed_with(Member, "librdkafka's KIP-848", group_protocol="consumer")


class Committer(threading.Thread):
    """Commits ever higher offsets, many in flight, and remembers what was acknowledged."""

    DEPTH = 20

    def __init__(self, cluster, group, topic):
        super().__init__(daemon=True)
        self.cluster, self.group, self.topic = cluster, group, topic
        self.next = 0
        self.acknowledged = {}  # partition -> the highest offset
        self.count = 0
        self.ending = threading.Event()
        self.problem = None

    def run(self):
        while not self.ending.is_set():
            try:
                self.turns()
            except (OSError, wire.Disconnected):
                pass  # To the next coordinator.
            except Exception as problem:  # Told by whoever waits for us.
                self.problem = problem
                return

    def turns(self):
        coordinator = coordinator_of(self.cluster, self.group)
        flying = []
        with wire.Connection(coordinator.port, timeout=10) as connection:
            while not self.ending.is_set() or flying:
                while len(flying) < self.DEPTH and not self.ending.is_set():
                    self.next += 1
                    partition = self.next % PARTITIONS
                    flying.append((partition, self.next))
                    send(connection, "offset_commit", 8, group=self.group, topics=[
                        {"name": self.topic, "partitions": [{"index": partition, "offset": self.next}]}])
                answered = connection.answer("offset_commit_v8")
                partition, offset = flying.pop(0)
                error = answered["topics"][0]["partitions"][0]["error"]
                if error in ELSEWHERE:
                    return
                expect_equal(error, 0, "error of OffsetCommit")
                self.acknowledged[partition] = max(offset, self.acknowledged.get(partition, 0))
                self.count += 1


@test("kill the coordinator: of thousands of commits in flight those that were acknowledged are there, in their order")
def commits_in_flight(cluster):
    topic, group = begin(cluster), fresh_topic("group")
    committer = Committer(cluster, group, topic)
    committer.start()
    gaps = []
    for _ in range(4):
        begun = committer.count
        until(lambda: committer.count > begun + 500 or committer.problem, "500 commits", 30)
        victim = coordinator_of(cluster, group)
        victim.kill()
        killed_at, begun = time.monotonic(), committer.count
        successor = coordinator_of(cluster, group, other_than=victim)
        before = dict(committer.acknowledged)
        with wire.Connection(successor.port) as connection:
            seen = committed(connection, group, topic, PARTITIONS)
        for partition, offset in before.items():
            expect(seen[partition] >= offset, f"partition {partition}: {offset} was acknowledged, and {seen[partition]} is there")
        until(lambda: committer.count > begun + 20 or committer.problem, "commits are taken again", 30)
        gaps.append(round((time.monotonic() - killed_at) * 1000))
        victim.start()
        in_sync(cluster)
    committer.ending.set()
    committer.join(20)
    if committer.problem:
        raise committer.problem
    print(f"      {committer.count} commits; served again after {gaps} ms", flush=True)


def rejoin(cluster, group, known):
    """Two raw members are in a new generation, both joined and neither synced: (coordinator, [(connection, member id)], generation)."""
    coordinator = coordinator_of(cluster, group)
    links = [wire.Connection(coordinator.port, timeout=20) for _ in range(2)]
    for place, link in enumerate(links):
        if known[place] is None:
            seen = ask(link, "join_group", 9, group=group, session_ms=15000, rebalance_ms=8000)
            expect_equal(seen["error"], ID_REQUIRED, "error of the first JoinGroup")
            known[place] = seen["member"]
    for link, member in zip(links, known):
        send(link, "join_group", 9, group=group, member=member, session_ms=15000, rebalance_ms=8000,
             protocols=[{"name": "range", "metadata": str(random.random()).encode()}])
    seen = [answer(link, "join_group", 9) for link in links]
    return coordinator, links, seen


@test("kill the coordinator: while the leader shares out; who was told its part has it still, and nobody is told another one")
def mid_sync(cluster):
    group, known, told_rounds, told = fresh_topic("group"), [None, None], 0, {}
    dice = random.Random(7)
    generation = 0
    begin(cluster, 1)
    for number in range(SYNC_ROUNDS):
        deadline = time.monotonic() + 40
        while True:
            expect(time.monotonic() < deadline, f"the members do not get together: {seen if number else ''}")
            try:
                victim, links, seen = rejoin(cluster, group, known)
            except (OSError, wire.Disconnected):
                continue
            errors = [one["error"] for one in seen]
            if errors == [0, 0] and seen[0]["generation"] == seen[1]["generation"]:
                break
            for place, error in enumerate(errors):
                if error == UNKNOWN_MEMBER:
                    known[place] = None
            for link in links:
                link.close()
        in_sync(cluster)
        # Kept with what is shared out, as in Kafka: of one of which nobody was told its part nothing may be left.
        least = generation + 1 if told else generation
        expect(seen[0]["generation"] >= least, f"generation {seen[0]['generation']}, at least {least} was to come")
        generation = seen[0]["generation"]
        leader = 0 if seen[0]["leader"] == known[0] else 1
        parts = {member: f"{group} {generation} {member}".encode() for member in known}
        others = [one for one in cluster if one is not victim] if number % 3 == 2 else []
        for one in others:
            one.pause()  # Nothing can be committed now: nobody may be told.
        for place in (1 - leader, leader):
            send(links[place], "sync_group", 5, group=group, member=known[place], generation=generation, type="consumer",
                 protocol="range", assignments=[{"member": member, "assignment": part} for member, part in parts.items()]
                 if place == leader else [])
        if others:
            select.select([one.socket for one in links], [], [], 0.3)
        elif number % 3:
            select.select([links[leader].socket], [], [], dice.uniform(0, 0.006))  # Anywhere between the request and its answer.
        else:
            select.select([one.socket for one in links], [], [], 10)  # As soon as somebody was told.
        victim.process.kill()
        told = {}
        for link, member in zip(links, known):
            with contextlib.suppress(OSError, wire.Disconnected):
                got = answer(link, "sync_group", 5)
                if got["error"] == 0:
                    expect_equal(got["assignment"], parts[member], "assignment")
                    told[member] = got["assignment"]
            link.close()
        victim.kill()
        for one in others:
            one.resume()
        successor = coordinator_of(cluster, group, other_than=victim)
        with wire.Connection(successor.port) as link:
            described = ask(link, "describe_groups", 6, groups=[group])["groups"][0]
            for member, part in told.items():
                beat = ask(link, "heartbeat", 4, group=group, member=member, generation=generation)["error"]
                expect_equal(beat, 0, f"heartbeat of generation {generation} of a member that was told its part")
                again = ask(link, "sync_group", 5, group=group, member=member, generation=generation, type="consumer", protocol="range")
                expect_equal((again["error"], again["assignment"]), (0, part), "its part, asked again")
            if described["state"] == "Stable" and told:
                expect_equal({one["member"]: one["assignment"] for one in described["members"]}, parts, "the parts of all")
        told_rounds += bool(told)
        victim.start()
        in_sync(cluster)
    print(f"      in {told_rounds} of {SYNC_ROUNDS} rounds somebody was told its part before the kill", flush=True)


@test("kill the coordinator: all nodes at once; the group, its members and its offsets are as they were", own_node=True)
def kill_all(cluster):
    cluster.start()
    topic, group = begin(cluster), fresh_topic("group")
    with Load(cluster.bootstrap, topic, PARTITIONS, rate=150) as load, Consumers(cluster, group, topic) as consumers:
        consumers.until_all_owned()
        consumers.until_commits(100, 0, "before the kill")
        cluster.kill()
        cluster.start()
        killed_at = time.time()
        consumers.check_commits(coordinator_of(cluster, group))
        consumers.until_commits(50, killed_at, "after the restart", 60)
        load.finish()
        consumers.check_delivered(load)
        consumers.check_owners()
    load.check()

"""Consumer groups of the classic protocol as librdkafka plays them: kcat -G, and confluent-kafka's consumers (members.py)."""

import re
import signal
import subprocess
import tempfile

from harness import expect, expect_equal, expect_in, need, run, test, until
from group_wire import ask, committed, coordinator, group_of, produce, topic_of
from members import Member
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1"]


def offsets_of(node, group, topic, partitions=4):
    with wire.Connection(node.port) as connection:
        return committed(connection, group, topic, partitions)


def describe(node, group):
    with wire.Connection(node.port) as connection:
        return ask(connection, "describe_groups", 6, groups=[group])["groups"][0]


def until_state(node, group, state, members=None, seconds=20):
    def there():
        seen = describe(node, group)
        return seen["state"] == state and (members is None or len(seen["members"]) == members)
    until(there, f"{group} is {state}, with {members} members", seconds)


class Kcat:
    """kcat -G as a process: its records are lines of a file, its rebalances on standard error."""

    def __init__(self, node, group, topic, *arguments):
        self.out, self.errors = tempfile.TemporaryFile("w+b"), tempfile.TemporaryFile("w+b")
        self.process = subprocess.Popen(
            [need("kcat"), "-b", node.bootstrap, "-G", group, "-u", "-f", "%p %o %s\\n", "-X", "auto.offset.reset=earliest",
             "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500", "-X", "auto.commit.interval.ms=100", *arguments, topic],
            stdout=self.out, stderr=self.errors, stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def text(self, file):
        file.flush()
        with open(f"/proc/self/fd/{file.fileno()}", "rb") as again:
            return again.read().decode()

    def records(self):
        """[[partition, offset, value]]. kcat writes a line in pieces: one that has not ended is not looked at."""
        return [line.split(" ", 2) for line in self.text(self.out).split("\n")[:-1]]

    def values(self):
        return [value for _, _, value in self.records()]

    def owned(self):
        """Its last assignment."""
        said = re.findall(r"rebalanced \(memberid [^)]*\): (assigned|revoked): ?(.*)", self.text(self.errors))
        if not said or said[-1][0] == "revoked":
            return set()
        return set(map(int, re.findall(r"\[(\d+)\]", said[-1][1])))

    def until_owns(self, count):
        until(lambda: len(self.owned()) == count, f"kcat owns {count} partitions: {self.text(self.errors)[-500:]}", 40)
        return self.owned()

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        expect_equal(self.process.wait(20), 0, "exit status of kcat")


@test("kcat -G: two share the partitions, one leaves and the other takes over; nothing is read twice, and offsets stay")
def kcat_two(node):
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(100))
    with Kcat(node, group, topic) as first:
        first.until_owns(4)
        until(lambda: len(first.records()) == 100, "all is read", 20)
        with Kcat(node, group, topic) as second:
            theirs, ours = second.until_owns(2), first.until_owns(2)
            expect_equal(theirs | ours, {0, 1, 2, 3}, "partitions")
            produce(node, topic, range(100, 200))
            until(lambda: len(first.records()) + len(second.records()) == 200, "all is read by one of them", 20)
            expect({int(row[0]) for row in second.records()} <= theirs, "the second read what it does not own")
            expect_equal(sorted(map(int, second.values())), sorted(n for n in range(100, 200) if n % 4 in theirs), "what the second read")
            second.leave()
        first.until_owns(4)
        produce(node, topic, range(200, 300))
        until(lambda: len(first.records()) + len(second.records()) == 300, "all is read by the first", 20)
        expect_equal(sorted(map(int, first.values() + second.values())), list(range(300)), "records, each once")
        until(lambda: offsets_of(node, group, topic) == [75] * 4, "what was read is committed", 10)
        first.leave()
    until_state(node, group, "Empty", 0)
    expect_equal(offsets_of(node, group, topic), [75] * 4, "offsets after both have left")


@test("kcat -G: a consumer that comes back reads on where the group stopped, also in another topic")
def kcat_resume(node):
    topic, other, group = topic_of(node), topic_of(node, 1), group_of(node)
    produce(node, topic, range(40))
    seen = []
    for start in (0, 40):
        run([need("kcat"), "-b", node.bootstrap, "-G", group, "-c", "40", "-f", "%s\\n", "-X", "auto.offset.reset=earliest", topic])
        expect_equal(offsets_of(node, group, topic), [(start + 40) // 4] * 4, "committed offsets")
        produce(node, topic, range(start + 40, start + 80))
    produce(node, other, ["x"], 1)
    out = run([need("kcat"), "-b", node.bootstrap, "-G", group, "-c", "41", "-f", "%t %s\\n", "-X", "auto.offset.reset=earliest", topic, other])
    seen = [line.split() for line in out.splitlines()]
    expect_equal(sorted(int(value) for name, value in seen if name == topic), list(range(80, 120)), "what is left")
    expect_equal([value for name, value in seen if name == other], ["x"], "the other topic")


@test("confluent-kafka: a second member gets half in a new generation; when it leaves the first has all again; each record once")
def rebalance(node):
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(200))
    with Member(node.bootstrap, group, topic) as first:
        expect_equal(first.until_owns(4), {0, 1, 2, 3}, "partitions of the only one")
        first.until_read(200)
        expect_equal(first.commit(), dict.fromkeys(range(4), 50), "committed")
        with Member(node.bootstrap, group, topic) as second:
            theirs, ours = second.until_owns(2), first.until_owns(2)
            expect_equal(theirs | ours, {0, 1, 2, 3}, "partitions of both")
            until_state(node, group, "Stable", 2)
            expect_equal(first.of("assigned")[-1]["generation"], second.of("assigned")[-1]["generation"], "generation of both")
            expect(first.of("assigned")[-1]["generation"] > first.of("assigned")[0]["generation"], "the generation is the old one")
            produce(node, topic, range(200, 400))
            until(lambda: len(first.values()) + len(second.values()) == 400, "all is read", 20)
            expect_equal({partition for partition, _, _ in second.records()}, theirs, "what the second reads")
            expect_equal(second.commit(), dict.fromkeys(theirs, 100), "committed by the second")
            expect_equal(first.commit(), dict.fromkeys(ours, 100), "committed by the first")
            second.close()
        first.until_owns(4)
        produce(node, topic, range(400, 500))
        until(lambda: len(first.values()) + len(second.values()) == 500, "all is read", 20)
        expect_equal(sorted(map(int, first.values() + second.values())), list(range(500)), "records, each once")
        first.commit("commit-async")
        expect_equal(offsets_of(node, group, topic), [125] * 4, "committed offsets")
        first.close()
    until_state(node, group, "Empty", 0)


@test("confluent-kafka: a member that dies is missed after its session, and what it did not commit is read again")
def death(node):
    topic, group = topic_of(node, 2), group_of(node)
    with Member(node.bootstrap, group, topic) as first, Member(node.bootstrap, group, topic) as second:
        until_state(node, group, "Stable", 2)
        mine = second.until_owns(1)
        first.until_owns(1)
        produce(node, topic, range(20), 2)
        until(lambda: len(first.values()) + len(second.values()) == 20, "all is read", 20)
        before = len(first.values())
        first.commit()
        second.die()
        expect_equal(first.until_owns(2), {0, 1}, "partitions after the session of the other has ended")
        first.until_read(before + 10)
        again = [(partition, int(value)) for partition, _, value in first.records()[before:]]
        expect_equal(again, [(partition, number) for partition in mine for number in range(partition, 20, 2)], "read again")
        first.close()


@test("confluent-kafka: a static member that restarts has its partitions and offsets back, and nobody else notices")
def static(node):
    topic, group = topic_of(node), group_of(node)
    settings = {"session_timeout_ms": "20000"}
    with Member(node.bootstrap, group, topic, group_instance_id="a", **settings) as first, \
            Member(node.bootstrap, group, topic, group_instance_id="b", **settings) as second:
        until_state(node, group, "Stable", 2)
        ours, theirs = first.until_owns(2), second.until_owns(2)
        produce(node, topic, range(40))
        until(lambda: len(first.values()) + len(second.values()) == 40, "all is read", 20)
        second.commit()
        generation = second.of("assigned")[-1]["generation"]
        noticed = len(first.of("assigned", "revoked", "lost"))
        for how in (second.die, second.close):
            how()  # A static member does not leave.
            second.start()
            second.await_(lambda: second.of("assigned")[-1]["member"] != second.of("assigned")[-2]["member"] if len(second.of("assigned")) > 1
                          else False, "the second is back")
            expect_equal(second.of("assigned")[-1]["generation"], generation, "generation of the one that came back")
            expect_equal(set(second.of("assigned")[-1]["partitions"]), theirs, "its partitions")
        produce(node, topic, range(40, 80))
        until(lambda: len(first.values()) + len(second.values()) == 80, "all is read", 20)
        expect_equal(sorted(map(int, first.values() + second.values())), list(range(80)), "records, each once")
        expect_equal(len(first.of("assigned", "revoked", "lost")), noticed, "rebalances of the first")
        expect_equal(first.owned(), ours, "partitions of the first")
        seen = describe(node, group)
        expect_equal((seen["state"], sorted(one["instance"] for one in seen["members"])), ("Stable", ["a", "b"]), "the group")
        first.close()
        second.close()


@test("confluent-kafka: two members of one instance id: the older one is fenced")
def fenced(node):
    topic, group = topic_of(node), group_of(node)
    with Member(node.bootstrap, group, topic, group_instance_id="a") as first:
        first.until_owns(4)
        with Member(node.bootstrap, group, topic, group_instance_id="a") as second:
            second.until_owns(4)
            first.await_(lambda: any(one["name"] == "_FATAL" or "FENCED" in one["name"] for one in first.of("error", "client error")),
                         "the first hears that it is fenced")
            seen = describe(node, group)
            expect_equal([one["instance"] for one in seen["members"]], ["a"], "members")
            second.close()


@test("confluent-kafka: cooperative-sticky: who is there keeps what it keeps, and only what moves is revoked")
def cooperative(node):
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(80))
    settings = {"partition_assignment_strategy": "cooperative-sticky"}
    with Member(node.bootstrap, group, topic, **settings) as first:
        first.until_owns(4)
        first.until_read(80)
        first.commit()
        with Member(node.bootstrap, group, topic, **settings) as second:
            theirs, ours = second.until_owns(2), first.until_owns(2)
            expect_equal(theirs | ours, {0, 1, 2, 3}, "partitions of both")
            revoked = [set(one["partitions"]) for one in first.of("revoked") if one["partitions"]]
            expect_equal(revoked, [theirs], "revoked of the first")
            until_state(node, group, "Stable", 2)
            produce(node, topic, range(80, 160))
            until(lambda: len(first.values()) + len(second.values()) == 160, "all is read", 20)
            second.commit()
            second.close()
        first.until_owns(4)
        produce(node, topic, range(160, 200))
        until(lambda: len(first.values()) + len(second.values()) == 200, "all is read", 20)
        expect_equal(sorted(map(int, first.values() + second.values())), list(range(200)), "records, each once")
        first.close()


@test("confluent-kafka: members and offsets of a stable group outlive a kill -9 of the node", own_node=True)
def survives(node):
    node.start()
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(40))
    with Member(node.bootstrap, group, topic, session_timeout_ms="30000") as one:
        one.until_owns(4)
        one.until_read(40)
        expect_equal(one.commit(), dict.fromkeys(range(4), 10), "committed")
        node.kill()
        node.start()
        with wire.Connection(node.port) as connection:
            coordinator(connection, group)
        expect_equal(offsets_of(node, group, topic), [10] * 4, "offsets after the restart")
        produce(node, topic, range(40, 80))
        one.until_read(80)
        expect_equal(one.commit(), dict.fromkeys(range(4), 20), "committed after the restart")
        expect_equal(sorted(map(int, one.values())), list(range(80)), "records, each once")
        generations = {event["generation"] for event in one.of("assigned")}
        if node.ours:  # Apache Kafka may be back too late.
            expect_equal(len(generations), 1, f"generations: {generations}")
        one.close()

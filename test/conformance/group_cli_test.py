"""Our command line for consumer groups, and its shims beside the tools of Apache Kafka that they stand for."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from harness import expect, expect_equal, expect_in, fresh_topic, java_environment, oracle, run, test, until
import wire

BASE = 1700000000000  # Timestamps of records that times are looked up among.


def millrace(node, *arguments, **keywords):
    return run([node.options.binary, *arguments, "--bootstrap-server", node.bootstrap], **keywords)


def answer(node, *arguments):
    return json.loads(millrace(node, *arguments, "-o", "json"))


def failure(node, *arguments, status=1):
    """Standard error of a command that fails."""
    done = subprocess.run([str(node.options.binary), *map(str, arguments), "--bootstrap-server", node.bootstrap, "--timeout", "5s"],
                          capture_output=True, text=True, timeout=30, check=False)
    expect_equal(done.returncode, status, f"exit status of {arguments}: {done.stderr}")
    return done.stderr


def topic_of(node, records=(10,)):
    """A topic with so many records in each of its partitions; record n is of BASE + n seconds."""
    name = fresh_topic("groups")
    millrace(node, "topic", "create", name, "--partitions", len(records))
    with wire.Connection(node.port) as connection:
        for partition, count in enumerate(records):
            for number in range(count):
                batch = wire.batch([b"%d:%d" % (partition, number)], timestamp=BASE + number * 1000)
                expect_equal(connection.produce(name, batch, partition=partition)["error"], 0, "error of Produce")
    return name


def group_at(node, topic, offset=None):
    """A group without members that has positions in the topic."""
    group = fresh_topic("g")
    target = ["--to-latest"] if offset is None else ["--to-offset", offset]
    millrace(node, "group", "reset-offsets", group, "--topic", topic, *target, "--execute")
    return group


def positions(node, group):
    seen = answer(node, "group", "describe", group)[0]["partitions"]
    return {(one["topic"], one["partition"]): one["committed"] for one in seen}


class Consumer:
    """A `millrace consume --group` that runs until it is told to stop."""

    def __init__(self, node, topic, group, *arguments):
        command = [str(node.options.binary), "consume", topic, "--group", group, "--bootstrap-server", node.bootstrap, *arguments]
        self.out = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.out, stderr=subprocess.PIPE)

    def lines(self):
        """Those that have ended. Opened anew: to seek in its own file would move where the consumer writes."""
        with open(f"/proc/self/fd/{self.out.fileno()}", "rb") as again:
            return again.read().decode().split("\n")[:-1]

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=20)
        expect_equal((self.process.returncode, said), (0, b""), "exit status and standard error of a consumer that is stopped")
        return self.lines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.out.close()


@test("millrace group: list, describe and delete, as text and as JSON")
def groups(node):
    topic = topic_of(node, (10, 4))
    group = group_at(node, topic, 3)
    row = next(one for one in answer(node, "group", "list") if one["group"] == group)
    expect_equal((row["state"], row["type"]), ("Empty", "classic"), "state and type")
    expect_in(group, millrace(node, "group", "list", "--names", "--state", "empty").splitlines())
    expect(group not in millrace(node, "group", "list", "--names", "--state", "Stable").splitlines(), "listed as stable")
    seen = answer(node, "group", "describe", group)[0]
    expect_equal(seen["total_lag"], 8, "total lag")
    expect_equal([(one["partition"], one["committed"], one["log_end"], one["lag"], one["member"]) for one in seen["partitions"]],
                 [(0, 3, 10, 7, None), (1, 3, 4, 1, None)], "partitions")
    text = millrace(node, "group", "describe", group)
    expect(re.search(r"^TOTAL-LAG +8$", text, re.M), f"no TOTAL-LAG in {text}")
    expect_in(f"Deleted group {group}.", millrace(node, "group", "delete", group))
    expect(group not in millrace(node, "group", "list", "--names").splitlines(), "still listed")


@test("millrace group: what fails is said on stderr with exit status 1, and the rest is done")
def refusals(node):
    topic = topic_of(node)
    group = group_at(node, topic)
    expect_in("no-such-group: there is no such group", failure(node, "group", "describe", "no-such-group", group))
    expect_in("GROUP_ID_NOT_FOUND", failure(node, "group", "delete", "no-such-group", group))
    expect(group not in millrace(node, "group", "list", "--names").splitlines(), "the other group was not deleted")
    for arguments in (("delete",), ("list", "--state", "asleep"), ("list", "--lag", "--names"), ("reset-offsets", group, "--topic", topic),
                      ("reset-offsets", group, "--to-latest"), ("reset-offsets", group, "--all-topics", "--to-latest", "--to-earliest"),
                      ("reset-offsets", group, "--topic", f"{topic}:x", "--to-latest"),
                      ("reset-offsets", group, "--all-topics", "--to-datetime", "soon"), ("delete-offsets", group)):
        failure(node, "group", *arguments, status=2)


@test("millrace consume --group: each record once, from the position that the group has")
def consume(node):
    topic = topic_of(node, (10, 10))
    group = fresh_topic("g")
    first = millrace(node, "consume", topic, "--group", group, "-c", "7").splitlines()
    expect_equal(len(first), 7, "records of -c 7")
    expect_equal(sum(at or 0 for at in positions(node, group).values()), 7, "positions after -c 7")
    rest = millrace(node, "consume", topic, "-G", group, "-e").splitlines()
    expect_equal(sorted(first + rest), sorted(f"{p}:{n}" for p in (0, 1) for n in range(10)), "records of both")
    expect_equal(positions(node, group), {(topic, 0): 10, (topic, 1): 10}, "positions at the end")
    expect_equal(answer(node, "group", "describe", group)[0]["state"], "Empty", "state of a group that was left")
    expect_equal(millrace(node, "consume", topic, "-G", group, "-e"), "", "records of a group that is at the end")
    expect_equal(millrace(node, "consume", topic, "-G", fresh_topic("g"), "--offset", "end", "-e"), "", "records from the end")
    expect_in("Excludes", failure(node, "consume", topic, "-G", group, "-p", "1", status=2).replace("excludes", "Excludes"))
    expect_in("no-such-topic", failure(node, "consume", "no-such-topic", "-G", group))


@test("millrace consume --group: members share partitions, take over from each other, and commit when they are stopped")
def members(node):
    topic = topic_of(node, (5, 5, 5))
    group = fresh_topic("g")

    def assigned():
        seen = answer(node, "group", "describe", group)[0]
        return seen["state"] == "Stable" and sorted(len(one["assignment"]) for one in seen["members"])

    with Consumer(node, topic, group) as first:
        until(lambda: len(first.lines()) == 15, "the only member reads everything")
        expect_in("NON_EMPTY_GROUP", failure(node, "group", "delete", group))
        expect_in("1 member", failure(node, "group", "reset-offsets", group, "--all-topics", "--to-earliest"))
        with Consumer(node, topic, group) as second:
            until(lambda: assigned() == [1, 2], "two members share three partitions", seconds=20)
            millrace(node, "produce", topic, "-p", "0", input="more\n")
            millrace(node, "produce", topic, "-p", "2", input="more\n")
            until(lambda: len(first.lines()) + len(second.lines()) == 17, "the new records reach the members")
            second.stop(signal.SIGTERM)
            until(lambda: assigned() == [3], "the other member takes over", seconds=20)
        millrace(node, "produce", topic, "-p", "1", input="last\n")
        until(lambda: "last" in first.lines(), "it reads what the other would have")
        first.stop()
    expect_equal(positions(node, group), {(topic, 0): 6, (topic, 1): 6, (topic, 2): 6}, "positions")
    expect_equal(answer(node, "group", "describe", group)[0]["members"], [], "members")


@test("millrace consume --group shares a topic with kcat")
def with_kcat(node):
    from harness import need
    topic = topic_of(node, (3, 3))
    group = fresh_topic("g")
    kcat = subprocess.Popen([need("kcat"), "-b", node.bootstrap, "-q", "-u", "-G", group, "-X", "auto.offset.reset=earliest", topic],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        until(lambda: group in millrace(node, "group", "list", "--names", "--state", "Stable").splitlines(), "kcat's group is stable", 20)
        with Consumer(node, topic, group) as ours:
            until(lambda: [len(one["assignment"]) for one in answer(node, "group", "describe", group)[0]["members"]] == [1, 1],
                  "each has a partition", seconds=20)
            ours.stop()
    finally:
        kcat.terminate()
        kcat.communicate()


@test("millrace group reset-offsets: a dry run unless --execute, and every target")
def reset(node):
    topic = topic_of(node, (10, 0))
    group = group_at(node, topic)
    reset_to = ("group", "reset-offsets", group, "--all-topics")
    text = millrace(node, *reset_to, "--to-earliest")
    expect_in("--execute", text)
    expect(re.search(rf"^{group} +{topic} +0 +10 +0$", text, re.M), f"old and new in {text}")
    expect_equal(positions(node, group)[topic, 0], 10, "position after a dry run")
    targets = (("--to-earliest",), 0), (("--to-latest",), 10), (("--to-offset", "4"), 4), (("--shift-by", "3"), 7), \
        (("--shift-by=-2",), 5), (("--to-current",), 5), (("--to-offset", "99"), 10), (("--shift-by=-99",), 0), \
        (("--to-datetime", "2023-11-14T22:13:22.500"), 3), (("--to-datetime", str(BASE + 8000)), 8), (("--by-duration", "PT1S"), 10)
    for target, wanted in targets:
        seen = answer(node, *reset_to, *target, "--execute")
        expect_equal([one["new"] for one in seen if one["partition"] == 0], [wanted], f"new offset of {target}")
        expect_equal(positions(node, group)[topic, 0], wanted, f"position after {target}")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"{topic},0,6\n")
        file.flush()
        millrace(node, "group", "reset-offsets", group, "--from-file", file.name, "--execute")
    expect_equal(positions(node, group), {(topic, 0): 6, (topic, 1): 0}, "positions from a file")
    expect_in("no partition 7", failure(node, "group", "reset-offsets", group, "--topic", f"{topic}:0,7", "--to-latest", "--execute"))
    expect_equal(positions(node, group)[topic, 0], 6, "position when another partition was refused")
    millrace(node, "group", "delete-offsets", group, "--topic", f"{topic}:1")
    expect_equal(positions(node, group), {(topic, 0): 6}, "positions after delete-offsets")


# Shims ------------------------------------------------------------------------------------------------


class Tools:
    """A tool of Kafka's, ours (by the name it is called by) and theirs."""

    def __init__(self, node):
        self.node = node
        self.folder = tempfile.TemporaryDirectory()
        for name in ("consumer-groups", "groups"):
            os.symlink(pathlib.Path(node.options.binary).resolve(), f"{self.folder.name}/kafka-{name}.sh")

    def ours(self, name, *arguments):
        return self.outputs([f"{self.folder.name}/kafka-{name}.sh", "--bootstrap-server", self.node.bootstrap, *arguments])

    def theirs(self, name, *arguments):
        return self.outputs([oracle(), name, "--bootstrap-server", self.node.bootstrap, *arguments])

    @staticmethod
    def outputs(command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **java_environment()})
        return done.stdout, done.stderr

    def compare(self, name, *arguments, in_any_order=False):
        ours, theirs = self.ours(name, *arguments), self.theirs(name, *arguments)
        if in_any_order:  # Theirs is in the order of a hash.
            ours, theirs = (sorted(ours[0].splitlines()), ours[1]), (sorted(theirs[0].splitlines()), theirs[1])
        expect_equal(ours, theirs, f"output and errors of kafka-{name} {' '.join(arguments)}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


@test("the shims kafka-consumer-groups.sh and kafka-groups.sh print what Kafka's tools do: list and describe")
def shims(node):
    topic = topic_of(node, (10, 4, 0))
    idle = group_at(node, topic, 3)
    busy = fresh_topic("g")

    def shared():
        if busy not in millrace(node, "group", "list", "--names", "--state", "Stable").splitlines():
            return False
        seen = answer(node, "group", "describe", busy)[0]
        return len(seen["members"]) == 2 and len(seen["partitions"]) == 3 and \
            all(one["committed"] is not None and one["member"] for one in seen["partitions"])

    # Each of theirs costs a start of a JVM, so each call shows as much as it can.
    with Tools(node) as tools, Consumer(node, topic, busy), Consumer(node, topic, busy):
        until(shared, "two members have committed", seconds=30)
        for arguments in (("--list",), ("--list", "--state", "stable,empty", "--type")):
            tools.compare("consumer-groups", *arguments, in_any_order=True)
        for arguments in (("--group", busy, "--group", idle), ("--group", busy, "--offsets", "--verbose"),
                          ("--group", busy, "--members", "--verbose"), ("--all-groups", "--state")):
            tools.compare("consumer-groups", "--describe", *arguments)
        for arguments in (("--list",), ("--list", "--share")):
            tools.compare("groups", *arguments, in_any_order=True)
        # Failures are in Kafka's words, but on standard error.
        for arguments, said in ((("--describe", "--group", "no-such-group"), "Consumer group 'no-such-group' does not exist."),
                                (("--delete", "--group", busy), f"* Group '{busy}' could not be deleted due to: NON_EMPTY_GROUP"),
                                (("--reset-offsets", "--group", busy, "--all-topics", "--to-latest", "--execute"),
                                 f"Error: Assignments can only be reset if the group '{busy}' is inactive")):
            expect_in(said, tools.ours("consumer-groups", *arguments)[1], f"standard error of {arguments}")


@test("the shim kafka-consumer-groups.sh resets, exports and deletes as Kafka's tool does")
def shim_changes(node):
    topic = topic_of(node, (10,))
    with Tools(node) as tools:
        group = group_at(node, topic, 5)
        dry = ("--reset-offsets", "--group", group, "--topic", topic, "--dry-run")
        for target in (("--shift-by", "-2"), ("--to-datetime", "2023-11-14T22:13:22.500"),
                       ("--to-datetime", "2099-01-01T00:00:00.000+02:00"), ("--to-earliest", "--export")):
            ours, theirs = tools.ours("consumer-groups", *dry, *target), tools.theirs("consumer-groups", *dry, *target)
            expect_equal(ours[0], theirs[0], f"output of {target}")
        expect_equal(positions(node, group)[topic, 0], 5, "position after dry runs")
        tools.ours("consumer-groups", "--reset-offsets", "--group", group, "--topic", topic, "--to-offset", "8", "--execute")
        expect_equal(positions(node, group)[topic, 0], 8, "position after --execute")
        pair = [group_at(node, topic), group_at(node, topic)]
        delete = [tools.ours("consumer-groups", "--delete-offsets", "--group", pair[0], "--topic", topic),
                  tools.theirs("consumer-groups", "--delete-offsets", "--group", pair[1], "--topic", topic)]
        expect_equal(delete[0][0].replace(pair[0], "G"), delete[1][0].replace(pair[1], "G"), "output of --delete-offsets")
        pair = [group_at(node, topic), group_at(node, topic)]
        delete = [tools.ours("consumer-groups", "--delete", "--group", pair[0]), tools.theirs("consumer-groups", "--delete", "--group", pair[1])]
        expect_equal(delete[0][0].replace(pair[0], "G"), delete[1][0].replace(pair[1], "G"), "output of --delete")

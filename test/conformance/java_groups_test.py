"""Consumer groups through Kafka's own tools: console-consumer, kafka-consumer-groups, kafka-groups, kafka-consumer-perf-test."""

import re
import tempfile
import time

from harness import expect, expect_equal, expect_in, fresh_topic, test, tool, until
from group_wire import ask, commit, committed, coordinator
from members import Member
import wire

SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1"]


def groups(node, *arguments, **keywords):
    return tool("consumer-groups", "--bootstrap-server", node.bootstrap, *arguments, **keywords)


def table(text, first="GROUP"):
    """The rows of what a tool printed, as dictionaries."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    at = next((number for number, line in enumerate(lines) if line[0] == first), None)
    expect(at is not None, f"no table in {text!r}")
    return [dict(zip(lines[at], line)) for line in lines[at + 1:]]


def topic_of(node, values=(), partitions=1, base=None):
    """A topic with these values in its partition 0; a second apart, from `base` on."""
    name = fresh_topic("java")
    base = base or int(time.time() * 1000) - 3600000
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions), 0, "error of CreateTopics")
        for number, value in enumerate(values):
            part = connection.produce(name, wire.batch([str(value).encode()], timestamp=base + number * 1000))
            expect_equal(part["error"], 0, "error of Produce")
    return name


def group_of(node, topic=None, offset=None):
    name = fresh_topic("group")
    with wire.Connection(node.port) as connection:
        coordinator(connection, name)
        if topic:
            expect_equal(commit(connection, name, topic, {0: offset}), [0], "error of OffsetCommit")
    return name


def at(node, group, topic):
    with wire.Connection(node.port) as connection:
        return committed(connection, group, topic)[0]


def consume(node, topic, group, count, *more):
    out = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", topic, "--group", group, "--max-messages", count,
               "--timeout-ms", "30000", "--command-property", "auto.offset.reset=earliest", *more)
    return out.splitlines()


@test("java: console-consumer --group reads on where the group stopped, and leaves it empty")
def console(node):
    topic, group = topic_of(node, range(30)), group_of(node)
    expect_equal(consume(node, topic, group, 10), [str(n) for n in range(10)], "the first ten")
    expect_equal(at(node, group, topic), 10, "committed when it closed")
    expect_equal(consume(node, topic, group, 20), [str(n) for n in range(10, 30)], "the others")
    rows = table(groups(node, "--describe", "--group", group))
    expect_equal([(row["GROUP"], row["TOPIC"], row["PARTITION"], row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"], row["CONSUMER-ID"])
                  for row in rows], [(group, topic, "0", "30", "30", "0", "-")], "described")


@test("java: kafka-consumer-groups describes a group that lives: offsets and lag, members with their partitions, state")
def describe(node):
    topic = topic_of(node, range(20), partitions=3)
    group = group_of(node, topic, 5)
    with Member(node.bootstrap, group, topic, client_id="reader") as one:
        one.until_owns(3)
        rows = {int(row["PARTITION"]): row for row in table(groups(node, "--describe", "--group", group))}
        expect_equal(sorted(rows), [0, 1, 2], "partitions")
        row = rows[0]
        expect_equal((row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"], row["CLIENT-ID"], row["HOST"]),
                     ("5", "20", "15", "reader", "/127.0.0.1"), "partition 0")
        expect(row["CONSUMER-ID"].startswith("reader-"), f"consumer id {row['CONSUMER-ID']}")
        expect_equal(rows[1]["CURRENT-OFFSET"], "-", "offset of a partition without one")
        member = table(groups(node, "--describe", "--group", group, "--members", "--verbose"))[0]
        expect_equal((member["CLIENT-ID"], member["#PARTITIONS"], member["CONSUMER-ID"]), ("reader", "3", row["CONSUMER-ID"]), "--members")
        expect_in("0,1,2", groups(node, "--describe", "--group", group, "--members", "--verbose"))
        text = groups(node, "--describe", "--group", group, "--state")
        expect(re.search(rf"{group}\s+127\.0\.0\.1:{node.port}\s+\(\d+\)\s+range\s+Stable\s.*1", text), f"--state: {text}")
        listed = {row["GROUP"]: row for row in table(groups(node, "--list", "--state"))}
        expect_equal(listed[group]["STATE"], "Stable", "--list --state")
        expect_in(group, groups(node, "--list", "--state", "stable").split())
        expect(group not in groups(node, "--list", "--state", "empty").split(), "a stable group among the empty ones")
        expect_in("is inactive, but the current state is Stable", groups(
            node, "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute", status=None))
        expect_in("not empty", groups(node, "--delete", "--group", group, status=None))
        expect_in("actively subscribed to it", groups(node, "--delete-offsets", "--group", group, "--topic", topic, status=None))
        expect_equal(at(node, group, topic), 5, "offset after all that was refused")
        kinds = {row["GROUP"]: row for row in table(tool("groups", "--bootstrap-server", node.bootstrap, "--list"))}
        expect_equal((kinds[group]["TYPE"], kinds[group]["PROTOCOL"]), ("Classic", "consumer"), "kafka-groups --list")
        one.close()


@test("java: kafka-consumer-groups --reset-offsets: each way to say where; a dry run changes nothing")
def reset(node):
    base = int(time.time() * 1000) - 600000  # Ten minutes ago.
    topic = topic_of(node, range(10), base=base)
    group = group_of(node, topic, 6)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(base // 1000 + 4)) + f".{base % 1000:03d}"
    scope = ("--reset-offsets", "--group", group, "--topic", f"{topic}:0")
    rows = table(groups(node, *scope, "--to-earliest", "--dry-run"))
    expect_equal([(row["GROUP"], row["TOPIC"], row["PARTITION"], row["NEW-OFFSET"]) for row in rows], [(group, topic, "0", "0")], "dry run")
    expect_equal(at(node, group, topic), 6, "offset after a dry run")
    for how, wanted in ((("--to-earliest",), 0), (("--shift-by", "3"), 3), (("--shift-by", "-5"), 0),
                        (("--to-offset", "99"), 10), (("--to-datetime", stamp), 4), (("--to-current",), 4),
                        (("--by-duration", "PT1H"), 0), (("--to-latest",), 10)):
        rows = table(groups(node, *scope, *how, "--execute"))
        expect_equal([row["NEW-OFFSET"] for row in rows], [str(wanted)], f"told after {how}")
        expect_equal(at(node, group, topic), wanted, f"committed after {how}")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as plan:
        plan.write(f"{topic},0,2\n")
        plan.flush()
        groups(node, "--reset-offsets", "--group", group, "--from-file", plan.name, "--execute")
    expect_equal(at(node, group, topic), 2, "committed from a file")
    expect_equal(consume(node, topic, group, 8), [str(n) for n in range(2, 10)], "read from there")


@test("java: kafka-consumer-groups deletes offsets and groups, and says what is not there")
def delete(node):
    topic, other = topic_of(node, range(3)), topic_of(node, range(3))
    group = group_of(node, topic, 1)
    with wire.Connection(node.port) as connection:
        commit(connection, group, other, {0: 2})
    expect_in("Successful", groups(node, "--delete-offsets", "--group", group, "--topic", f"{topic}:0"))
    expect_equal((at(node, group, topic), at(node, group, other)), (-1, 2), "offsets")
    expect_in("Error", groups(node, "--delete-offsets", "--group", group, "--topic", "no-such-topic:0", status=None))
    expect_in(f"('{group}') was successful", groups(node, "--delete", "--group", group))
    expect_equal(at(node, group, other), -1, "offset of a group that was deleted")
    expect(group not in groups(node, "--list").split(), "the group is listed still")
    expect_in("GroupIdNotFoundException", groups(node, "--delete", "--group", group, status=None))
    expect_in("GroupIdNotFoundException", groups(node, "--describe", "--group", group, status=None))


@test("java: kafka-consumer-perf-test reads everything as a group, and what it read is committed")
def perf(node):
    topic = fresh_topic("perf")
    group = group_of(node)
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, 3), 0, "error of CreateTopics")
        for number in range(30):
            connection.produce(topic, wire.batch([b"x" * 100] * 100), partition=number % 3)
    text = tool("consumer-perf", "--bootstrap-server", node.bootstrap, "--topic", topic, "--group", group, "--num-records", "3000",
                "--timeout", "30000")
    row = text.splitlines()[-1].split(", ")
    expect_equal(row[4], "3000", f"records read: {text}")
    with wire.Connection(node.port) as connection:
        expect_equal(sum(max(one, 0) for one in committed(connection, group, topic, 3)), 3000, "committed")
        until(lambda: ask(connection, "describe_groups", 6, groups=[group])["groups"][0]["state"] == "Empty", "it has left")

"""How far groups are behind, in records and in seconds: in /metrics and as `millrace group` tells it."""

import http.client
import json
import re
import time

from harness import expect, expect_equal, fresh_topic, run, test, until
from group_wire import commit, coordinator
import wire

OURS = "these metrics and this command are ours"
BASE = 1700000000000  # Timestamps of records: one more second for each offset.
POSITIONS_MAX = 5000  # kGroupPositionsMax of broker/node/group_lag.h.


def samples(node, name):
    """{(group, topic, partition): value}, of what has fewer labels {the labels: value}."""
    link = http.client.HTTPConnection(node.host, node.admin_port, timeout=10)
    link.request("GET", "/metrics")
    text = link.getresponse().read().decode()
    link.close()
    found = {}
    for labels, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.M):
        values = [re.sub(r"\\(.)", r"\1", one) for one in re.findall(r'[a-z]+="((?:[^"\\]|\\.)*)"', labels)]
        found[tuple(values)] = float(value)
    return found


def of_group(node, name, group):
    return {(topic, int(partition)): value for (one, topic, partition), value in samples(node, name).items() if one == group}


def fill(node, topic, records):
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, len(records)), 0, "error of CreateTopics")
        for partition, count in enumerate(records):
            for number in range(count):
                batch = wire.batch([b"x"], timestamp=BASE + number * 1000)
                expect_equal(connection.produce(topic, batch, partition=partition)["error"], 0, "error of Produce")


def commit_all(node, group, topic, offsets):
    with wire.Connection(node.port) as connection:
        coordinator(connection, group)
        expect_equal(commit(connection, group, topic, offsets), [0] * len(offsets), "errors of OffsetCommit")


def expect_age(said, offset, what):
    """Seconds since the record at `offset` was written, give or take what the test has taken."""
    true = time.time() - (BASE + offset * 1000) / 1000
    expect(true - 60 < said <= true + 1, f"{what}: {said} s, where the record is {true} s old")


@test("lag: metrics tell records and seconds of each position, whatever shard has it, and nothing of what is gone", own_node=True,
      ours_only=OURS)
def in_metrics(node):
    node.settings += ["millrace.shards=3"]
    node.start()
    topic, group = fresh_topic("lag"), 'a "quoted\\" group'
    fill(node, topic, [10, 4, 6, 2])
    commit_all(node, group, topic, {0: 3, 1: 4, 2: 0})
    expect_equal(of_group(node, "millrace_group_offset", group), {(topic, 0): 3, (topic, 1): 4, (topic, 2): 0}, "offsets")
    expect_equal(of_group(node, "millrace_group_lag", group), {(topic, 0): 7, (topic, 1): 0, (topic, 2): 6}, "lag")
    seconds = of_group(node, "millrace_group_lag_seconds", group)
    expect_equal(seconds[topic, 1], 0, "seconds of what was read to its end")
    expect_age(seconds[topic, 0], 3, "partition 0")
    expect_age(seconds[topic, 2], 0, "partition 2")
    ends = samples(node, "millrace_partition_high_watermark")
    expect_equal([ends[topic, str(partition)] for partition in range(4)], [10, 4, 6, 2], "high watermarks")
    commit_all(node, group, topic, {0: 8, 2: 6})
    expect_equal(of_group(node, "millrace_group_lag", group), {(topic, 0): 2, (topic, 1): 0, (topic, 2): 0}, "lag after commits")
    expect_age(of_group(node, "millrace_group_lag_seconds", group)[topic, 0], 8, "partition 0 after a commit")
    expect_equal(samples(node, "millrace_group_positions_omitted"), {(): 0}, "left out")
    run([node.options.binary, "topic", "delete", topic, "--bootstrap-server", node.bootstrap])
    until(lambda: not of_group(node, "millrace_group_offset", group), "positions in a topic that was deleted are gone")


@test("lag: so many positions are told at most, and the others are counted", own_node=True, ours_only=OURS)
def bounded(node):
    node.start()
    topic, partitions, groups = fresh_topic("lag"), 60, 90
    fill(node, topic, [0] * partitions)
    with wire.Connection(node.port, timeout=30) as connection:
        coordinator(connection, "g")
        for number in range(groups):
            errors = commit(connection, f"g{number}", topic, dict.fromkeys(range(partitions), 0))
            expect_equal(errors, [0] * partitions, "errors of OffsetCommit")
    expect_equal(len(samples(node, "millrace_group_offset")), POSITIONS_MAX, "positions that are told")
    expect_equal(len(samples(node, "millrace_group_lag")), POSITIONS_MAX, "lags that are told")
    expect_equal(samples(node, "millrace_group_positions_omitted"), {(): partitions * groups - POSITIONS_MAX}, "left out")


@test("millrace group: describe and list --lag tell records and seconds, as text and as JSON", ours_only=OURS)
def in_commands(node):
    topic, group, done = fresh_topic("lag"), fresh_topic("behind"), fresh_topic("done")
    fill(node, topic, [10, 4])
    commit_all(node, group, topic, {0: 3, 1: 4})
    commit_all(node, done, topic, {0: 10})

    def millrace(*arguments):
        return run([node.options.binary, "group", *arguments, "--bootstrap-server", node.bootstrap])

    seen = json.loads(millrace("describe", group, "-o", "json"))[0]
    expect_equal([one["lag"] for one in seen["partitions"]], [7, 0], "lag")
    expect_equal(seen["partitions"][1]["lag_ms"], 0, "age of what was read to its end")
    expect_age(seen["partitions"][0]["lag_ms"] / 1000, 3, "partition 0")
    expect_equal(seen["lag_ms_max"], seen["partitions"][0]["lag_ms"], "the oldest")
    text = millrace("describe", group)
    told = re.search(r"^LAG-SECONDS +([0-9.]+)$", text, re.M)
    expect(told, f"no LAG-SECONDS in {text}")
    expect_age(float(told[1]), 3, "LAG-SECONDS")
    rows = [line.split() for line in text.splitlines() if line.startswith(topic)]
    expect_equal([row[4] for row in rows], ["7", "0"], "LAG")
    expect_equal(rows[1][5], "0.0", "LAG-SECONDS of partition 1")
    listed = {one["group"]: one for one in json.loads(millrace("list", "--lag", "-o", "json"))}
    expect_equal((listed[group]["total_lag"], listed[done]["total_lag"], listed[done]["lag_ms_max"]), (7, 0, 0), "list --lag")
    expect_age(listed[group]["lag_ms_max"] / 1000, 3, "list --lag")
    row = next(line.split() for line in millrace("list", "--lag").splitlines() if line.startswith(group))
    expect_equal(row[-2], "7", "TOTAL-LAG")
    expect_age(float(row[-1]), 3, "LAG-SECONDS of list --lag")
    expect("total_lag" not in json.loads(millrace("list", "-o", "json"))[0], "lag without being asked for it")

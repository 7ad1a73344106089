"""Several log directories, through Kafka's own tools."""

import json
import pathlib

from harness import expect, expect_equal, fresh_topic, java_environment, oracle, run, test, until
import wire

PARTITIONS = 3


def tool(name, node, *arguments, **keywords):
    return run([oracle(), name, "--bootstrap-server", node.bootstrap, *arguments],
               env=java_environment(), **keywords)


def describe(node):
    """{directory: {"topic-partition": replica}} of kafka-log-dirs --describe."""
    out = tool("log-dirs", node, "--describe")
    told = json.loads(out[out.index('{"'):].splitlines()[0])
    broker = told["brokers"][0]
    return {one["logDir"]: {replica["partition"]: replica for replica in one["partitions"]} for one in broker["logDirs"]}


def alter(connection, topic, directory, partitions):
    """The error codes, by partition."""
    answer = connection.ask("alter_replica_log_dirs", dirs=[{"path": directory, "topics": [{"name": topic, "partitions": partitions}]}])
    return {one["index"]: one["error"] for part in answer["topics"] for one in part["partitions"]}


def two_directories(node):
    first, second = str(node.log_dir), str(node.log_dir) + "-second"
    node.settings = [*node.settings, f"log.dirs={first},{second}", f"metadata.log.dir={first}"]
    node.start()
    return first, second


def fill(connection, topic):
    expect_equal(connection.create_topic(topic, PARTITIONS), 0, "error of CreateTopics")
    for partition in range(PARTITIONS):
        for batch in range(5):
            part = connection.produce(topic, wire.batch([b"%d-%d" % (partition, batch)]), partition)
            expect_equal(part["error"], 0, "error of Produce")
    return [connection.read_all(topic, partition) for partition in range(PARTITIONS)]


def compare(node, topic, before):
    with wire.Connection(node.port) as connection:
        for partition in range(PARTITIONS):
            expect_equal(connection.read_all(topic, partition), before[partition], f"records of partition {partition}")


@test("log dirs: kafka-log-dirs shows each directory, and replicas move between them and stay there", own_node=True,
      ours_only="the oracle is started with one directory")
def moves(node):
    first, second = two_directories(node)
    topic = fresh_topic("dirs")
    with wire.Connection(node.port) as connection:
        before = fill(connection, topic)
        shown = describe(node)
        expect_equal(sorted(shown), sorted([first, second]), "directories")
        replicas = {**shown[first], **shown[second]}
        expect_equal(sorted(replicas), [f"{topic}-{partition}" for partition in range(PARTITIONS)], "replicas")
        for name, replica in replicas.items():
            expect(replica["size"] > 0 and replica["offsetLag"] == 0 and replica["isFuture"] is False, f"{name}: {replica}")
        expect(shown[first] and shown[second], "new partitions went to both directories")
        expect_equal(alter(connection, topic, second, [0, 1, 2]), {0: 0, 1: 0, 2: 0}, "errors of AlterReplicaLogDirs")
    until(lambda: len(describe(node)[second]) == PARTITIONS and not describe(node)[first], "all replicas are in the second directory")
    compare(node, topic, before)
    node.kill()
    node.start()
    expect_equal(len(describe(node)[second]), PARTITIONS, "replicas in the second directory after kill -9")
    compare(node, topic, before)


@test("log dirs: what AlterReplicaLogDirs refuses, and a topic that is made later where it was asked for", own_node=True,
      ours_only="the oracle is started with one directory")
def refusals(node):
    first, second = two_directories(node)
    topic = fresh_topic("dirs")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic), 0, "error of CreateTopics")
        expect_equal(alter(connection, topic, "/nowhere", [0]), {0: 57}, "error for a directory that is none")
        expect_equal(alter(connection, topic, second, [7]), {7: 3}, "error for a partition that is none")
        expect_equal(alter(connection, "later", second, [0, 1, 2]), {0: 3, 1: 3, 2: 3}, "errors for a topic to come")
        expect_equal(connection.create_topic("later", 3), 0, "error of CreateTopics")
        dirs = {one["path"]: one for one in connection.ask("describe_log_dirs", topics=None)["dirs"]}
        expect_equal([len(one["partitions"]) for one in dirs[second]["topics"] if one["name"] == "later"], [3], "replicas")
        expect(0 < dirs[first]["usable"] <= dirs[first]["total"], f"room: {dirs[first]}")
        asked = connection.ask("describe_log_dirs", topics=[{"name": "later", "partitions": [1]}])["dirs"]
        told = [(topic["name"], [one["index"] for one in topic["partitions"]]) for one in asked for topic in one["topics"]]
        expect_equal(told, [("later", [1])], "only what was asked for")


@test("log dirs: a directory that is gone at start is offline, its partitions say so, and the others are served", own_node=True,
      ours_only="the oracle is started with one directory")
def offline(node):
    first, second = two_directories(node)
    topic = fresh_topic("dirs")
    with wire.Connection(node.port) as connection:
        before = fill(connection, topic)
        dirs = {one["path"]: one for one in connection.ask("describe_log_dirs", topics=None)["dirs"]}
        lost = [one["index"] for part in dirs[second]["topics"] for one in part["partitions"]]
    expect(0 < len(lost) < PARTITIONS, f"partitions in the second directory: {lost}")
    node.kill()
    pathlib.Path(second).rename(second + "-away")
    pathlib.Path(second).touch()
    node.start()
    with wire.Connection(node.port) as connection:
        dirs = {one["path"]: one["error"] for one in connection.ask("describe_log_dirs", topics=None)["dirs"]}
        expect_equal(dirs, {first: 0, second: 56}, "errors of DescribeLogDirs")
        for partition in range(PARTITIONS):
            error = connection.produce(topic, wire.batch([b"more"]), partition)["error"]
            expect_equal(error, 56 if partition in lost else 0, f"error of Produce to partition {partition}")
        expect_equal(alter(connection, topic, second, [0]), {0: 56}, "error of a move to there")
    node.kill()
    pathlib.Path(second).unlink()
    pathlib.Path(second + "-away").rename(second)
    node.start()
    with wire.Connection(node.port) as connection:
        for partition in lost:
            expect_equal(connection.read_all(topic, partition), before[partition], f"records of partition {partition}")

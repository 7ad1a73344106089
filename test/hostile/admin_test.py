"""Well-formed admin requests that ask for too much, or for nonsense (41, 42, 51)."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, expect_in, fresh_topic, test
from hostile import topic_of, unharmed
import wire

TOPIC, BROKER, SET = 2, 4, 0
INVALID_REQUEST, POLICY_VIOLATION = 42, 44


def alter(connection, resources):
    return connection.ask("incremental_alter_configs", resources=resources, validate_only=False)["responses"]


@test("hostile request: one resource a hundred thousand times is refused each time, and costs no memory to speak of")
def repeated(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port, timeout=60) as connection:
        one = {"type": TOPIC, "name": topic, "configs": [{"name": "retention.ms", "op": SET, "value": "1"}]}
        answer = alter(connection, [one] * 100000)
        expect_equal({row["error"] for row in answer}, {INVALID_REQUEST}, "errors")
        expect_equal(len(answer), 100000, "answers")


@test("hostile request: what nobody knows about brokers cannot fill the metadata", ours_only="Kafka keeps it all")
def endless_keys(node):
    with unharmed(node), wire.Connection(node.port, timeout=60) as connection:
        def change(count, size):
            configs = [{"name": f"x.{number}", "op": SET, "value": "v" * size} for number in range(count)]
            return alter(connection, [{"type": BROKER, "name": "", "configs": configs}])[0]["error"]
        expect_equal(change(5000, 10), POLICY_VIOLATION, "5,000 keys")
        expect_equal(change(40, 32000), POLICY_VIOLATION, "40 values of 32 KB")
        described = connection.ask("describe_configs", resources=[{"type": BROKER, "name": "", "keys": None}], synonyms=False,
                                   documentation=False)["results"][0]["configs"]
        expect(not [one for one in described if one["name"].startswith("x.")], "keys were kept")


@test("hostile request: keys and values of configurations that are no text, empty, or endless")
def odd_configs(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port, timeout=30) as connection:
        for key, value in (("", "1"), ("retention.ms", ""), ("retention.ms", "9" * 30000), ("retention.ms\0", "1"), ("ü" * 100, "ü"),
                           ("cleanup.policy", "," * 30000), ("cleanup.policy", "delete," * 4000), ("x" * 32000, "y" * 32000),
                           ("leader.replication.throttled.replicas", "1:" * 10000)):
            row = alter(connection, [{"type": TOPIC, "name": topic, "configs": [{"name": key, "op": SET, "value": value}]}])[0]
            # "delete,delete,..." is a list with one element.
            expect_in(row["error"], (40, 0) if value.startswith("delete") else (40,), f"{key[:40]!r}={value[:40]!r}")


@test("hostile request: elections and reassignments of partitions that are not there, by the hundred thousand")
def absent_partitions(node):
    with unharmed(node, growth_kib_max=192 * 1024), wire.Connection(node.port, timeout=60) as connection:
        many = list(range(100000))
        # Ours answers so many at once and no more.
        answer = connection.ask("elect_leaders", type=0, topics=[{"name": "nobody", "partitions": many[:40_000]}], timeout_ms=1000)
        expect_equal({part["error"] for topic in answer["topics"] for part in topic["partitions"]}, {3}, "errors of ElectLeaders")
        parts = [{"index": index, "replicas": None} for index in many]
        answer = connection.ask("alter_partition_reassignments", timeout_ms=1000, may_change_factor=True,
                                topics=[{"name": "nobody", "partitions": parts}])
        expect_equal({part["error"] for topic in answer["topics"] for part in topic["partitions"]}, {3}, "errors of reassignments")
        answer = connection.ask("list_partition_reassignments", timeout_ms=1000, topics=[{"name": "nobody", "partitions": many}])
        expect_equal((answer["error"], answer["topics"]), (0, []), "listed reassignments")


@test("hostile request: a reassignment to a hundred thousand brokers, or to negative ones, is refused")
def absurd_targets(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port, timeout=60) as connection:
        for replicas in (list(range(100000)), [-1], [2**31 - 1], [-(2**31)], [1] * 50000):
            answer = connection.ask("alter_partition_reassignments", timeout_ms=1000, may_change_factor=True,
                                    topics=[{"name": topic, "partitions": [{"index": 0, "replicas": replicas}]}])
            expect_equal(answer["topics"][0]["partitions"][0]["error"], 39, f"to {replicas[:3]}...")


@test("hostile request: features with absurd names and levels")
def absurd_features(node):
    with unharmed(node), wire.Connection(node.port, timeout=30) as connection:
        for name, level in (("", 1), ("x" * 30000, 1), ("metadata.version", -32768), ("metadata.version", 32767), ("\0", 0x7fff)):
            answer = connection.ask("update_features", timeout_ms=1000, updates=[{"name": name, "level": level, "type": 1}],
                                    validate_only=False)
            expect_equal(answer["error"], 95, f"{name[:20]!r}={level}")
        same = [{"name": "metadata.version", "level": 9, "type": 3}] * 50000
        expect(connection.ask("update_features", timeout_ms=1000, updates=same, validate_only=False)["error"] != 0, "50,000 updates")


@test("hostile request: topics come and go while their configurations are altered, and nothing is left behind")
def churn(node):
    with unharmed(node), wire.Connection(node.port, timeout=30) as connection, wire.Connection(node.port, timeout=30) as other:
        for round_number in range(20):
            name = fresh_topic("churn")
            expect_equal(connection.create_topic(name), 0, "CreateTopics")
            # Both are on their way at once: the topic is there or it is not, nothing between.
            other.send(wire.encode("incremental_alter_configs", 7, validate_only=False, resources=[
                {"type": TOPIC, "name": name, "configs": [{"name": "retention.ms", "op": SET, "value": str(round_number + 1)}]}]))
            gone = connection.ask("delete_topics", names=[name], timeout_ms=5000)["topics"][0]["error"]
            expect_equal(gone, 0, "DeleteTopics")
            expect_in(other.answer("incremental_alter_configs", 7)["responses"][0]["error"], (0, 3), "IncrementalAlterConfigs")
            expect_equal(connection.metadata([name])["topics"][0]["error"], 3, "Metadata afterwards")

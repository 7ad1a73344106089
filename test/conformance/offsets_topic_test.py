"""__consumer_offsets: how it is made, that it stays as it is, and that Kafka's tools read what is in it."""

import json

from confluent_kafka_test import client
from harness import expect, expect_equal, expect_in, fresh_topic, java_environment, oracle, run, test, tool, until
from group_wire import VERSIONS, ask, commit, coordinator
import wire

OFFSETS = "__consumer_offsets"
SETTINGS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.replication.factor=1", "auto.create.topics.enable=false"]
NOT_AVAILABLE, UNSUPPORTED_VERSION, INVALID_PARTITIONS, INVALID_REQUEST, NOT_ALLOWED = 15, 35, 37, 42, 53
TRANSACTION, SHARE = 1, 2


def partitions(node):
    """By default; the oracle's script wants fewer."""
    return 50 if node.ours else 8


def partition_of(node, group):
    """Rule 6.1."""
    value = 0
    for unit in group.encode("utf-16-be")[1::2]:  # Of names in ASCII.
        value = (31 * value + unit) & 0xFFFFFFFF
    value = value - (1 << 32) if value >> 31 else value
    return abs(value) % partitions(node)


def objects(text):
    """Those of JSON that stand one behind the other; the formatters part some by new lines."""
    at = text.find("{")
    while at >= 0:
        value, at = json.JSONDecoder().raw_decode(text, at)
        yield value
        at = text.find("{", at)


def group_with_offset(node, offset, topic=None):
    """(group, topic): a member has committed `offset` for partition 0, and has left."""
    group, topic = fresh_topic("read"), topic or fresh_topic("topic")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic), 0, "error of CreateTopics")
        coordinator(connection, group)
        given = ask(connection, "join_group", 4, group=group)["member"]
        one = ask(connection, "join_group", 4, group=group, member=given)
        here = {"group": group, "member": given, "generation": one["generation"]}
        parts = [{"member": given, "assignment": b"mine"}]
        expect_equal(ask(connection, "sync_group", 3, **here, assignments=parts)["error"], 0, "error of SyncGroup")
        committed = commit(connection, group, topic, {0: offset}, member=given, generation=one["generation"])
        expect_equal(committed, [0], "error of OffsetCommit")
    return group, topic


@test("offsets topic: the first FindCoordinator makes it, also where topics are not made by themselves; until then 15 and node -1 (6.4)",
      own_node=True)
def made(node):
    node.start()
    with wire.Connection(node.port) as connection:
        expect(all(topic["name"] != OFFSETS for topic in connection.metadata(None)["topics"]), "it is there before anybody asks")
        seen = []
        def found():
            seen.append(ask(connection, "find_coordinator", 4, keys=["g"])["coordinators"][0])
            return seen[-1]["error"] == 0
        until(found, "the group has a coordinator", 30)
        refused = {(one["error"], one["node"], one["host"], one["port"]) for one in seen if one["error"] != 0}
        expect(refused <= {(NOT_AVAILABLE, -1, "", -1)}, f"answers before: {refused}")
        topic = connection.metadata([OFFSETS])["topics"][0]
        expect_equal((topic["internal"], len(topic["partitions"])), (True, partitions(node)), "internal, and its partitions")
        expect_equal(connection.metadata(["no-such-topic"], auto_create=True)["topics"][0]["error"], 3, "error of another topic")


@test("offsets topic: 50 partitions, compacted, segments of 100 MiB, the codec of who writes (6.3)")
def configured(node):
    with wire.Connection(node.port) as connection:
        coordinator(connection, "any")
    described = tool("topics", "--bootstrap-server", node.bootstrap, "--describe", "--topic", OFFSETS)
    expect_in(f"PartitionCount: {partitions(node)}\tReplicationFactor: 1\t", described)
    for config in ("cleanup.policy=compact", "segment.bytes=104857600", "compression.type=producer"):
        expect_in(config, described.splitlines()[0])


@test("offsets topic: its number of partitions does not change, for groups would be looked for where they are not (6.8)",
      ours_only="Kafka adds them, and its groups begin anew at the next start")
def grown(node):
    group, topic = group_with_offset(node, 7)
    text = tool("topics", "--bootstrap-server", node.bootstrap, "--alter", "--topic", OFFSETS, "--partitions", partitions(node) + 1, status=1)
    expect_in("The number of partitions of an internal topic cannot be changed", text)
    # Beside one for whom it is allowed.
    with wire.Connection(node.port) as connection:
        asked = [{"name": name, "count": partitions(node) + 1, "assignments": None} for name in (OFFSETS, topic)]
        seen = connection.ask("create_partitions", topics=asked, timeout_ms=10000, validate_only=False)
        expect_equal({one["name"]: one["error"] for one in seen["results"]}, {OFFSETS: INVALID_PARTITIONS, topic: 0}, "errors")
        expect_equal(len(connection.metadata([OFFSETS])["topics"][0]["partitions"]), partitions(node), "partitions")
        fetched = ask(connection, "offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": [0]}], stable=True)
        expect_equal(fetched["topics"][0]["partitions"][0]["offset"], 7, "the offset of a group")


@test("offsets topic, java: console-consumer with Kafka's formatters reads offsets and groups where the key's hash says (6.1, 6.9)")
def formatted(node):
    group, topic = group_with_offset(node, 12345)
    def read(formatter, count):
        text = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", OFFSETS, "--partition", partition_of(node, group),
                    "--offset", "earliest", "--max-messages", count, "--timeout-ms", 30000,
                    "--formatter", f"org.apache.kafka.tools.consumer.{formatter}")
        found = list(objects(text))
        return [one for one in found if one["key"]["data"]["group"] == group]
    with wire.Connection(node.port) as connection:
        until(lambda: connection.list_offset(OFFSETS, -1, partition_of(node, group))["offset"] >= 2, "two records are there")
        count = connection.list_offset(OFFSETS, -1, partition_of(node, group))["offset"]
    offsets = read("OffsetsMessageFormatter", count)
    expect_equal([one["key"]["data"] for one in offsets], [{"group": group, "topic": topic, "partition": 0}], "keys of offsets")
    expect_equal(offsets[0]["value"]["data"]["offset"], 12345, "the offset")
    groups = read("GroupMetadataMessageFormatter", count)
    expect_equal({one["key"]["data"]["group"] for one in groups}, {group}, "keys of groups")
    value = groups[-1]["value"]["data"]
    expect_equal((value["protocolType"], value["generation"], len(value["members"])), ("consumer", 1, 1), "the group")


@test("offsets topic, java: kafka-dump-log --offsets-decoder reads the segments of a node that was stopped (6.9)", own_node=True)
def dumped(node):
    node.start()
    group, topic = group_with_offset(node, 4321)
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    segment = node.log_dir / f"{OFFSETS}-{partition_of(node, group)}" / ("0" * 20 + ".log")
    text = tool("dump-log", "--offsets-decoder", "--files", segment)
    line = next((line for line in text.splitlines() if f'"topic":"{topic}"' in line), "")
    expect_in(f'"group":"{group}"', line)
    expect_in('"offset":4321', line)
    expect(any(f'"group":"{group}"' in one and '"protocolType":"consumer"' in one for one in text.splitlines()),
           f"no record of the group: {text[-2000:]}")


@test("FindCoordinator: for a transaction a clear refusal that ends a client's wait, at each version; for a share group INVALID_REQUEST (6.2)",
      ours_only="Kafka always serves transactions")
def other_kinds(node):
    with wire.Connection(node.port) as connection:
        for version in VERSIONS["find_coordinator"]:
            if version == 0:
                continue
            if version < 4:
                seen = ask(connection, "find_coordinator", version, key="t", type=TRANSACTION)
                expect_equal((seen["error"], seen["node"], seen["port"]), (NOT_ALLOWED, -1, -1), f"answer at v{version}")
                expect_in("Transactions are not served", seen["message"])
                seen = ask(connection, "find_coordinator", version, key="g:AAAAAAAAAAAAAAAAAAAAAA:0", type=SHARE)
                expect_equal((seen["error"], seen["node"]), (INVALID_REQUEST, -1), f"answer for a share group at v{version}")
                continue
            seen = ask(connection, "find_coordinator", version, keys=["t", "u"], type=TRANSACTION)["coordinators"]
            expect_equal([(one["key"], one["error"], one["node"]) for one in seen], [("t", UNSUPPORTED_VERSION, -1), ("u", UNSUPPORTED_VERSION, -1)],
                         f"answer at v{version}")
            expect_in("Transactions are not served", seen[0]["message"])
            seen = ask(connection, "find_coordinator", version, keys=["g:AAAAAAAAAAAAAAAAAAAAAA:0"], type=SHARE)["coordinators"][0]
            expect_equal((seen["error"], seen["node"]), (INVALID_REQUEST, -1), f"answer for a share group at v{version}")


@test("java, librdkafka: a transactional producer is told at once, and why: nobody waits for what does not come", ours_only="Kafka serves them")
def transactional(node):
    seen = client(node, "begin_transactions", "", "orders-tx")
    expect_equal(seen["fatal"], True, f"what librdkafka says is the end: {seen}")
    expect_in("Transactions are not served", seen["text"])
    topic = fresh_topic("transactional")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic), 0, "error of CreateTopics")
    # It would wait for ten minutes; this test does for one.
    words = [oracle(), "producer-perf", "--topic", topic, "--num-records", "1", "--record-size", "10", "--throughput", "-1",
             "--transactional-id", "orders-tx", "--transaction-duration-ms", "100",
             "--producer-props", f"bootstrap.servers={node.bootstrap}", "max.block.ms=600000"]
    said = run(["sh", "-c", '"$@" 2>&1', "sh", *words], env=java_environment(), status=None)
    expect_in("Transactions are not served", said)

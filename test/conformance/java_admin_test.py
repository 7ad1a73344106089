"""Kafka's own tools for what concerns the cluster: configurations, features, elections, replicas, nodes."""

import json
import re
import tempfile

from harness import expect, expect_equal, expect_in, test
from java_tools_test import tool, topic_of, topics
import wire


def configs(node, *arguments, **keywords):
    return tool("configs", "--bootstrap-server", node.bootstrap, *arguments, **keywords)


def broker_id(node):
    with wire.Connection(node.port) as connection:
        return connection.metadata([])["brokers"][0]["node_id"]


@test("java: kafka-configs alters a topic, shows it, takes it back, and says what is wrong")
def topic_configs(node):
    name = topic_of(node)
    entity = ("--entity-type", "topics", "--entity-name", name)
    expect_in("Completed updating config", configs(node, "--alter", *entity, "--add-config",
                                                   "retention.ms=3600000,cleanup.policy=[compact,delete]"))
    seen = configs(node, "--describe", *entity)
    expect_in("retention.ms=3600000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=3600000", seen)
    expect_in("cleanup.policy=compact,delete", seen)
    configs(node, "--alter", *entity, "--delete-config", "retention.ms")
    expect("retention.ms=3600000" not in configs(node, "--describe", *entity), "still set")
    configs(node, "--alter", *entity, "--add-config", "retention.ms=soon", status=1)


@test("java: kafka-configs alters all brokers and one, and --describe tells where a value comes from")
def broker_configs(node):
    one = broker_id(node)
    default, own = ("--entity-type", "brokers", "--entity-default"), ("--entity-type", "brokers", "--entity-name", one)
    configs(node, "--alter", *default, "--add-config", "log.retention.ms=7200000")
    configs(node, "--alter", *own, "--add-config", "log.retention.ms=3600000")
    expect_in("log.retention.ms=7200000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000}",
              configs(node, "--describe", *default))
    expect_in("log.retention.ms=3600000 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.retention.ms=3600000, "
              "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000", configs(node, "--describe", *own))
    configs(node, "--alter", *own, "--add-config", "log.dirs=/x", status=1)
    for entity in (default, own):
        configs(node, "--alter", *entity, "--delete-config", "log.retention.ms")
    expect("log.retention.ms" not in configs(node, "--describe", *default), "still set")


@test("java: kafka-features describes what is finalised, and refuses levels that are not served")
def features(node):
    seen = tool("features", "--bootstrap-server", node.bootstrap, "describe")
    # A tool older than our levels calls the newest "UNKNOWN 33".
    expect(re.search(r"Feature: metadata.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: \S.*?\s+"
                     r"FinalizedVersionLevel: \S+", seen), f"describe: {seen}")
    tool("features", "--bootstrap-server", node.bootstrap, "upgrade", "--feature", "group.version=7", status=1)


@test("java: kafka-leader-election, with nothing to do, is content")
def leader_election(node):
    name = topic_of(node)
    tool("leader-election", "--bootstrap-server", node.bootstrap, "--election-type", "preferred", "--all-topic-partitions")
    seen = tool("leader-election", "--bootstrap-server", node.bootstrap, "--election-type", "preferred", "--topic", name,
                "--partition", "0")
    expect_in("Valid replica already elected for partitions", seen)


@test("java: kafka-reassign-partitions generates, executes, verifies and lists")
def reassign(node):
    name = topic_of(node, partitions=2)
    one = broker_id(node)

    def ask(*arguments, **keywords):
        return tool("reassign", "--bootstrap-server", node.bootstrap, *arguments, **keywords)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as topics_file, tempfile.NamedTemporaryFile("w", suffix=".json") as plan_file:
        json.dump({"version": 1, "topics": [{"topic": name}]}, topics_file)
        topics_file.flush()
        seen = ask("--generate", "--topics-to-move-json-file", topics_file.name, "--broker-list", one)
        plan = json.loads(re.search(r"Proposed partition reassignment configuration\n(.*)", seen).group(1))
        expect_equal({tuple(part["replicas"]) for part in plan["partitions"]}, {(one,)}, "replicas of the plan")
        json.dump(plan, plan_file)
        plan_file.flush()
        expect_in("Successfully started partition reassignments", ask("--execute", "--reassignment-json-file", plan_file.name))
        expect_in("is completed", ask("--verify", "--reassignment-json-file", plan_file.name))
    expect_in("No partition reassignments found", ask("--list"))


@test("java: kafka-cluster lists endpoints and unregisters nobody who is not there")
def cluster(node):
    seen = tool("cluster", "list-endpoints", "--bootstrap-server", node.bootstrap, "--include-fenced-brokers")
    expect_in(str(node.port), seen)
    expect_in("unfenced", seen)
    tool("cluster", "unregister", "--bootstrap-server", node.bootstrap, "--id", "77", status=1)


@test("java: kafka-topics --alter adds partitions and --describe shows eligible leader replicas")
def alter_topics(node):
    name = topic_of(node)
    topics(node, "--alter", "--topic", name, "--partitions", "3")
    seen = topics(node, "--describe", "--topic", name)
    expect_in("PartitionCount: 3", seen)
    expect_in("Elr:", seen)

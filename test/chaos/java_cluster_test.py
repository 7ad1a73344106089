"""Apache Kafka's own tools do their work on three nodes, through brokers and, where a tool can, through controllers."""

import json
import re
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster_moves_test import topic_on
from growing import GrowingCluster
from harness import expect, expect_equal, expect_in, fresh_topic, test, until
from java_shell import JavaShell
import wire


class WithTools(GrowingCluster):
    """All tests of this file share a JVM, too."""

    tools = None

    def start(self):
        if self.tools is None:
            self.tools = JavaShell().__enter__()
        super().start()

    def wipe(self):
        if self.tools is not None:
            self.tools.__exit__()
            self.tools = None
        super().wipe()

    def doors(self):
        """What tells a tool whom to ask: a broker, or a controller."""
        return (("--bootstrap-server", self.bootstrap),
                ("--bootstrap-controller", ",".join(f"{one.host}:{one.controller_port}" for one in self.three)))


NODE = WithTools


def file_of(document):
    file = tempfile.NamedTemporaryFile("w", suffix=".json")
    json.dump(document, file)
    file.flush()
    return file


def plan_of(topic, *layout):
    return file_of({"version": 1, "partitions": [{"topic": topic, "partition": index, "replicas": list(brokers)}
                                                 for index, brokers in enumerate(layout)]})


def ids_of(kind, text):
    return {int(one) for one in re.findall(r'"id": (\d+)', re.search(rf"{kind}:\s+(.*)", text).group(1))}


@test("java, three nodes: kafka-metadata-quorum adds controllers and removes them, asked of brokers and of controllers")
def quorum(cluster):
    kafka = cluster.tools
    broker, controller = cluster.doors()
    second, third = cluster.three[1:]
    until(lambda: ids_of("CurrentObservers", kafka("quorum", *broker, "describe", "--status")) >= {2, 3}, "two observe", 20)
    expect_in("VoterNotFoundException", kafka.refused("quorum", *broker, "remove-controller", "--controller-id", 2,
                                                      "--controller-directory-id", second.directory_id))
    for door, one in ((broker, second), (controller, third)):
        expect_in(f"Added controller {one.id} with directory id {one.directory_id}",
                  kafka("quorum", *door, "--command-config", one.config, "add-controller"))
    expect_in("DuplicateVoterException", kafka.refused("quorum", *broker, "--command-config", third.config, "add-controller"))
    for door in cluster.doors():
        seen = kafka("quorum", *door, "describe", "--status")
        expect_equal(ids_of("CurrentVoters", seen), {1, 2, 3}, f"voters by {door[0]}")
        lines = [line.split() for line in kafka("quorum", *door, "describe", "--replication").splitlines()[1:]]
        expect_equal({line[0]: line[6] for line in lines if line[6] != "Observer"},
                     {"1": "Leader", "2": "Follower", "3": "Follower"} if cluster.controller().id == 1 else
                     {str(one.id): "Leader" if one is cluster.controller() else "Follower" for one in cluster.three}, "replicas")
    for door, one in ((controller, second), (broker, third)):
        said = kafka("quorum", *door, "remove-controller", "--controller-id", one.id, "--controller-directory-id", one.directory_id)
        expect_in(f"Removed  KRaft controller {one.id} with directory id {one.directory_id}", said)
        kafka("quorum", *door, "--command-config", one.config, "add-controller")
    expect_equal(ids_of("CurrentVoters", kafka("quorum", *broker, "describe", "--status")), {1, 2, 3}, "voters")


@test("java, three nodes: kafka-features downgrades and upgrades, asked of brokers and of controllers, and refuses what is not served")
def features(cluster):
    kafka = cluster.tools
    broker, controller = cluster.doors()

    def level(door, name="group.version"):
        return int(re.search(rf"Feature: {re.escape(name)}\s.*FinalizedVersionLevel: (\d+)", kafka("features", *door, "describe")).group(1))
    newest = level(broker)
    for door, other in ((broker, controller), (controller, broker)):
        expect_in("can be downgraded", kafka("features", *door, "downgrade", "--feature", "group.version=0", "--dry-run"))
        expect_equal(level(other), newest, "level after a dry run")
        expect_in("group.version was downgraded to 0", kafka("features", *door, "downgrade", "--feature", "group.version=0"))
        until(lambda other=other: level(other) == 0, "the downgrade is told")
        expect_in(f"group.version was upgraded to {newest}", kafka("features", *door, "upgrade", "--feature", f"group.version={newest}"))
        until(lambda other=other: level(other) == newest, "the upgrade is told")
        expect_in("Could not upgrade group.version", kafka.refused("features", *door, "upgrade", "--feature", "group.version=99"))
    cluster.until_three_vote()
    until(lambda: re.search("^2 ", kafka("cluster", "list-endpoints", *controller), re.M), "controller 2 is registered")
    expect_in("metadata.version", kafka("features", *controller, "describe", "--node-id", 2))


@test("java, three nodes: kafka-topics and kafka-configs; what is set through controllers brokers tell")
def topics_and_configs(cluster):
    kafka = cluster.tools
    broker, controller = cluster.doors()
    topic = fresh_topic("java")
    kafka("topics", *broker, "--create", "--topic", topic, "--partitions", 3, "--replication-factor", 3, "--config", "retention.ms=3600000")
    until(lambda: all(len(cluster.partition(topic, index)["isr"]) == 3 for index in range(3)), "all replicas are in sync", 20)
    seen = kafka("topics", *broker, "--describe", "--topic", topic)
    expect_in("PartitionCount: 3\tReplicationFactor: 3\tConfigs: ", seen)
    expect_equal(len(re.findall(r"Leader: [123]\tReplicas: \d,\d,\d\tIsr: \d,\d,\d\t", seen)), 3, f"partitions in {seen}")
    expect_equal(kafka("topics", *broker, "--describe", "--under-replicated-partitions", "--topic", topic).strip(), "", "under-replicated")
    entity = ("--entity-type", "topics", "--entity-name", topic)
    expect_in("Completed updating config", kafka("configs", *broker, "--alter", *entity, "--add-config", "max.message.bytes=123456"))
    expect_in("max.message.bytes=123456", kafka("configs", *broker, "--describe", *entity))
    everyone, second = ("--entity-type", "brokers", "--entity-default"), ("--entity-type", "brokers", "--entity-name", 2)
    for door, other in ((controller, broker), (broker, controller)):
        kafka("configs", *door, "--alter", *everyone, "--add-config", "log.retention.ms=7200000")
        kafka("configs", *door, "--alter", *second, "--add-config", "log.retention.ms=1800000")
        until(lambda other=other: "log.retention.ms=7200000" in kafka("configs", *other, "--describe", *everyone), "the default is told")
        if other is broker:  # A controller tells its own configuration alone.
            until(lambda: "log.retention.ms=1800000" in kafka("configs", *broker, "--describe", *second), "the broker's own is told")
        for which in (everyone, second):
            kafka("configs", *door, "--alter", *which, "--delete-config", "log.retention.ms")
    expect_in("Not a number of type LONG",
              kafka.refused("configs", *controller, "--alter", *second, "--add-config", "log.retention.ms=soon"))
    kafka("topics", *broker, "--delete", "--topic", topic)
    until(lambda: topic not in kafka("topics", *broker, "--list").split(), "it is gone")


@test("java, three nodes: kafka-leader-election elects the preferred leader, and an unclean one where nobody else lives")
def elections(cluster):
    kafka = cluster.tools
    broker, _ = cluster.doors()
    cluster.until_three_vote()
    topic = topic_on(cluster, [2, 1, 3], [1, 2, 3])
    back = cluster.member(2)
    back.restart()
    cluster.until_in_sync(topic, partitions=2)
    expect(cluster.partition(topic)["leader"] != 2, "a node that was stopped leads")
    ask = ("leader-election", *broker, "--election-type", "preferred", "--topic", topic, "--partition")
    expect_in(f"Successfully completed leader election (PREFERRED) for partitions {topic}-0", kafka(*ask, 0))
    expect_equal(cluster.partition(topic)["leader"], 2, "leader")
    expect_in(f"Valid replica already elected for partitions {topic}-1", kafka(*ask, 1))
    lost = topic_on(cluster, [2, 3], min_insync_replicas=1)
    third = cluster.member(3)
    third.stop()
    until(lambda: cluster.partition(lost)["isr"] == [2], "node 3 is out of sync", 20)
    with wire.Connection(back.port) as connection:
        expect_equal(connection.produce(lost, wire.batch([b"only node 2 has this"]))["error"], 0, "error of Produce")
    back.kill()
    third.start()
    until(lambda: cluster.partition(lost)["leader"] == -1, "nobody leads", 30)
    partitions = file_of({"partitions": [{"topic": lost, "partition": 0}]})
    ask = ("leader-election", *broker, "--path-to-json-file", partitions.name, "--election-type")
    expect_in("PreferredLeaderNotAvailableException", kafka.refused(*ask, "preferred"))
    expect_in(f"Successfully completed leader election (UNCLEAN) for partitions {lost}-0", kafka(*ask, "unclean"))
    expect_equal(cluster.partition(lost)["leader"], 3, "leader")
    back.start()
    cluster.until_in_sync(lost, count=2)
    # Where a topic is configured so, nobody need ask.
    kafka("topics", *broker, "--delete", "--topic", lost)
    own = topic_on(cluster, [2, 3], min_insync_replicas=1, unclean_leader_election_enable="true")
    third.stop()
    until(lambda: cluster.partition(own)["isr"] == [2], "node 3 is out of sync", 20)
    back.kill()
    third.start()
    until(lambda: cluster.partition(own)["leader"] == 3, "node 3 leads", 30)
    back.start()
    cluster.until_in_sync(own, count=2)


@test("java, three nodes: kafka-reassign-partitions moves, lists and cancels, the latter two asked of brokers and of controllers")
def reassign(cluster):
    kafka = cluster.tools
    broker, controller = cluster.doors()
    topic = topic_on(cluster, [1, 2], min_insync_replicas=1)
    leader = cluster.leader(topic)
    with wire.Connection(leader.port) as connection:
        for _ in range(20):
            expect_equal(connection.produce(topic, wire.batch([b"x" * 100_000]))["error"], 0, "error of Produce")
    with plan_of(topic, [1, 3]) as plan:
        def ask(door, *arguments):
            return kafka("reassign", *door, "--reassignment-json-file", plan.name, *arguments)
        for door in (broker, controller):
            # At a byte a second it is under way for as long as it is looked at.
            expect_in(f"Successfully started partition reassignment for {topic}-0", ask(broker, "--execute", "--throttle", 1))
            for asked in (broker, controller):
                expect_in(f"{topic}-0: replicas: 1,3,2. adding: 3. removing: 2.", kafka("reassign", *asked, "--list"))
            expect_in("is still in progress", ask(broker, "--verify", "--preserve-throttles"))
            expect_in(f"Successfully cancelled partition reassignment for: {topic}-0", ask(door, "--cancel"))
            expect_in("No partition reassignments found", kafka("reassign", *door, "--list"))
            until(lambda: cluster.partition(topic)["replicas"] == [1, 2], "the replicas are where they were")
        expect_in("Successfully started", ask(broker, "--execute"))
        until(lambda: "is completed" in ask(broker, "--verify"), "it has moved", 20)
        until(lambda: cluster.partition(topic)["isr"] == [1, 3], "the replicas are where they are to be", 20)
    with plan_of(topic, [1, 77]) as plan:
        expect_in("77", kafka.refused("reassign", *broker, "--reassignment-json-file", plan.name, "--execute"))


@test("java, three nodes: kafka-cluster tells the cluster's id, its endpoints, and unregisters a broker that has stopped")
def cluster_tool(cluster):
    kafka = cluster.tools
    broker, controller = cluster.doors()
    expect_equal({kafka("cluster", "cluster-id", *door) for door in (broker, controller)}, {"Cluster ID: Y2x1c3Rlci1vZi10ZXN0cw\n"}, "ids")
    seen = kafka("cluster", "list-endpoints", *broker)
    for one in cluster.three:
        expect(re.search(rf"^{one.id} +\S+ +{one.port} ", seen, re.M), f"no endpoint of node {one.id} in {seen}")
    cluster.until_three_vote()  # Who votes is registered as a controller, a moment later.
    for one in cluster.three:
        until(lambda one=one: str(one.controller_port) in kafka("cluster", "list-endpoints", *controller), f"controller {one.id} is there")
    fourth = cluster.fourth
    cluster.join(fourth)
    for door in (broker, controller):
        expect_equal(cluster.leave(fourth), 0, "exit status of the fourth node")
        until(lambda: re.search(r"^4 .*\bfenced", kafka("cluster", "list-endpoints", *broker, "--include-fenced-brokers"), re.M), "it is fenced")
        expect_in("Broker 4 is no longer registered.", kafka("cluster", "unregister", *door, "--id", 4))
        expect_in("Broker ID 4 is not currently registered", kafka.refused("cluster", "unregister", *door, "--id", 4))
        cluster.join(fourth)  # An incarnation that comes registers anew.
        until(lambda: str(fourth.port) in kafka("cluster", "list-endpoints", *broker), "it is registered again")

"""What Kafka's admin tools ask of a cluster: elections, reassignments, features, nodes; on the wire.

Every expectation here is what Apache Kafka answers (--against oracle), word for word where clients show it.
"""

from harness import expect, expect_equal, expect_in, fresh_topic, test
import wire

NO_SUCH_TOPIC = "no-such-topic"


def topic_of(node, partitions=1):
    name = fresh_topic("admin")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions), 0, "error of CreateTopics")
    return name


def rows(answer):
    """{(topic, partition): (error, message)}"""
    return {(topic["name"], part["index"]): (part["error"], part["message"])
            for topic in answer["topics"] for part in topic["partitions"]}


def broker_id(connection):
    return connection.metadata([])["brokers"][0]["node_id"]


@test("admin: ElectLeaders says per partition what was not needed or is not there; without a list it names no such thing")
def elections(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        asked = [{"name": name, "partitions": [0, 5]}, {"name": NO_SUCH_TOPIC, "partitions": [0]}]
        for kind in (0, 1):
            answer = connection.ask("elect_leaders", type=kind, topics=asked, timeout_ms=5000)
            expect_equal(answer["error"], 0, f"error of election {kind}")
            seen = rows(answer)
            expect_equal({key: error for key, (error, _) in seen.items()},
                         {(name, 0): 84, (name, 5): 3, (NO_SUCH_TOPIC, 0): 3}, f"errors of election {kind}")
            expect_equal(seen[name, 0][1], "Leader election not needed for topic partition.", "message")
        answer = connection.ask("elect_leaders", type=2, topics=asked, timeout_ms=5000)
        expect_equal((answer["error"], {text for _, text in rows(answer).values()}), (42, {"Unknown election type 2"}), "election 2")
        for topics in (None, []):
            answer = connection.ask("elect_leaders", type=0, topics=topics, timeout_ms=5000)
            expect_equal((answer["error"], rows(answer)), (0, {}), f"elections of {topics}")


@test("admin: CreatePartitions answers once for what is named twice, and that a topic is unknown before all else")
def partitions(node):
    name = topic_of(node)
    internal = "__share_group_state"  # Nobody has made it.
    with wire.Connection(node.port) as connection:
        def ask(*names):
            asked = [{"name": one, "count": 2 + number, "assignments": None} for number, one in enumerate(names)]
            answer = connection.ask("create_partitions", topics=asked, timeout_ms=5000, validate_only=True)
            return sorted((one["name"], one["error"], one["message"]) for one in answer["results"])
        twice = (42, "Duplicate topic name.")
        expect_equal(ask(name, NO_SUCH_TOPIC, name), sorted([(name, *twice), (NO_SUCH_TOPIC, 3, None)]), "one twice")
        expect_equal(ask(internal), [(internal, 3, None)], "an internal topic that is absent")
        expect_equal(ask(internal, internal), [(internal, *twice)], "that twice")
        expect_equal(ask(name), [(name, 0, None)], "alone")


@test("admin: AlterPartitionReassignments refuses what cannot be, and cancels nothing that is not")
def reassignments(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        own = broker_id(connection)

        def ask(replicas, topic=name, partition=0):
            answer = connection.ask("alter_partition_reassignments", timeout_ms=5000, may_change_factor=True,
                                    topics=[{"name": topic, "partitions": [{"index": partition, "replicas": replicas}]}])
            expect_equal(answer["error"], 0, "error of the whole")
            return rows(answer)[topic, partition]
        expect_equal(ask([own]), (0, None), "where it is already")
        expect_equal(ask(None)[0], 85, "cancelling nothing")
        expect_equal(ask([]), (39, "The manual partition assignment includes an empty replica list."), "no replicas")
        expect_equal(ask([own, own]), (39, f"The manual partition assignment includes the broker {own} more than once."), "twice")
        for unknown in (9999, -1):
            expect_equal(ask([unknown]), (39, f"The manual partition assignment includes broker {unknown}, but no such broker is "
                                              "registered."), f"broker {unknown}")
        expect_equal(ask([own], NO_SUCH_TOPIC), (3, f"Unable to find a topic named {NO_SUCH_TOPIC}."), "an unknown topic")
        expect_equal(ask([own], name, 7), (3, f"Unable to find partition {name}:7."), "an unknown partition")
        for topics in (None, [{"name": NO_SUCH_TOPIC, "partitions": [0]}], [{"name": name, "partitions": [0]}]):
            answer = connection.ask("list_partition_reassignments", timeout_ms=5000, topics=topics)
            expect_equal((answer["error"], answer["topics"]), (0, []), f"reassignments of {topics}")


@test("admin: ApiVersions names features, and UpdateFeatures checks levels, upgrades and downgrades")
def features(node):
    before = "The update failed for all features since the following feature had an error: "
    with wire.Connection(node.port) as connection:
        def ask(name, level, kind=1, how="update_features"):
            answer = connection.ask(how, timeout_ms=5000, updates=[{"name": name, "level": level, "type": kind}], validate_only=True)
            return answer["error"], answer["message"]
        expect_equal(ask("metadata.version", 20), (95, before + "Invalid update version 20 for feature metadata.version. Can't "
                     "downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."),
                     "a downgrade without asking for one")
        for name, level in (("metadata.version", 99), ("metadata.version", 0), ("group.version", 7), ("no.such.feature", 1)):
            error, message = ask(name, level)
            expect_equal(error, 95, f"error of {name}={level}")
            expect(message.startswith(f"{before}Invalid update version {level} for feature {name}. "), f"{name}={level}: {message}")
        expect_equal(ask("group.version", -1),
                     (95, before + "Invalid update version -1 for feature group.version. A feature version cannot be less than 0."),
                     "a negative level")
        for kind in (0, 9):
            expect_equal(ask("kraft.version", 1, kind),
                         (95, before + "Invalid update version 1 for feature kraft.version. The controller does not support the given "
                                       "upgrade type."), f"upgrade type {kind}")
        expect_equal(ask("kraft.version", 1), (0, None), "an upgrade that may be")
        expect_equal(connection.ask("update_features", timeout_ms=5000, updates=[], validate_only=True)["error"], 0, "nothing")
        answer = connection.ask("update_features_v1", timeout_ms=5000, validate_only=True,
                                updates=[{"name": "kraft.version", "level": 1, "type": 1}])
        expect_equal((answer["error"], [(one["name"], one["error"]) for one in answer["results"]]), (0, [("kraft.version", 0)]), "v1")


@test("admin: UnregisterBroker knows who is not registered")
def unregister(node):
    with wire.Connection(node.port) as connection:
        for broker in (77, -1):
            answer = connection.ask("unregister_broker", id=broker)
            expect_equal((answer["error"], answer["message"]), (102, f"Broker ID {broker} is not currently registered"), "answer")


@test("admin: DescribeCluster of a broker listener is about brokers, and says so")
def cluster(node):
    with wire.Connection(node.port) as connection:
        own = broker_id(connection)
        answer = connection.ask("describe_cluster_v2", operations=True, endpoint_type=1, fenced=True)
        expect_equal((answer["error"], answer["endpoint_type"], answer["controller_id"]), (0, 1, own), "answer")
        expect_equal([(one["id"], one["fenced"]) for one in answer["brokers"]], [(own, False)], "brokers")
        expect_equal(answer["operations"], 8096, "operations")
        for kind, error, message in ((2, 114, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type "
                                              "CONTROLLER"), (0, 115, "Unsupported endpoint type 0"), (3, 115, "Unsupported endpoint type 3")):
            answer = connection.ask("describe_cluster_v2", operations=False, endpoint_type=kind, fenced=False)
            expect_equal((answer["error"], answer["message"], answer["brokers"]), (error, message, []), f"endpoint type {kind}")


@test("admin: what only brokers ask of controllers closes the connection of a client at a broker listener")
def of_controllers(node):
    with wire.Connection(node.port) as connection:
        served = {one["key"] for one in connection.ask("api_versions_v0")["keys"]}
    for name, key, values in (("allocate_producer_ids", 67, {"id": 1, "epoch": 0}),
                              ("assign_replicas_to_dirs", 73, {"id": 1, "epoch": 0, "directories": []})):
        expect(key not in served, f"{name} is advertised")
        with wire.Connection(node.port) as connection:
            connection.send(wire.encode(name, **values))
            expect(connection.closed_within(5), f"{name} is answered")


@test("admin: DescribeQuorum knows the leader, and no other topic")
def quorum(node):
    with wire.Connection(node.port) as connection:
        def ask(topic, partition):
            answer = connection.ask("describe_quorum", topics=[{"name": topic, "partitions": [{"index": partition}]}])
            return answer, answer["topics"][0]["partitions"][0]
        answer, seen = ask("__cluster_metadata", 0)
        expect_equal((answer["error"], seen["error"], seen["leader"]), (0, 0, broker_id(connection)), "leader")
        expect_equal([one["id"] for one in seen["voters"]], [seen["leader"]], "voters")
        expect(seen["high_watermark"] > 0 and seen["epoch"] > 0, f"{seen}")
        for topic, partition in (("x", 0), ("__cluster_metadata", 1)):
            answer, seen = ask(topic, partition)
            expect_equal((answer["error"], seen["error"], seen["voters"]), (0, 3, []), f"{topic}-{partition}")


@test("admin: DescribeQuorum answers versions that cannot carry directory ids")
def quorum_of_old(node):
    with wire.Connection(node.port) as connection:
        for version in ("_v0", "_v1"):
            answer = connection.ask(f"describe_quorum{version}",
                                    topics=[{"name": "__cluster_metadata", "partitions": [{"index": 0}]}])
            seen = answer["topics"][0]["partitions"][0]
            expect_equal((answer["error"], seen["error"], seen["leader"]), (0, 0, broker_id(connection)), f"leader{version}")
            expect_equal([one["id"] for one in seen["voters"]], [seen["leader"]], f"voters{version}")


@test("admin: AddRaftVoter and RemoveRaftVoter check the cluster, the voter and its endpoints")
def voters(node):
    listeners = [{"name": "CONTROLLER", "host": "127.0.0.1", "port": 1}]
    with wire.Connection(node.port) as connection:
        cluster_id = connection.metadata([])["cluster_id"]

        def add(cluster=None, voter=7, directory=b"\1" * 16, listeners=listeners):
            answer = connection.ask("add_raft_voter", cluster_id=cluster, timeout_ms=500, id=voter, directory=directory,
                                    listeners=listeners, ack=True)
            return answer["error"], answer["message"]
        expect_equal(add("x"), (104, f'The given id "x" doesn\'t match the cluster id "{cluster_id}"'), "another cluster")
        expect_equal(add(voter=-1, directory=bytes(16)), (42, "Add voter request didn't include a valid voter"), "no voter")
        expect_equal(add(listeners=[])[0], 42, "no endpoint")
        answer = connection.ask("remove_raft_voter", cluster_id="x", id=7, directory=b"\1" * 16)
        expect_equal(answer["error"], 104, "another cluster")

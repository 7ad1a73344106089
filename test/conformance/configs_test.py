"""Changing configurations while the cluster runs: IncrementalAlterConfigs, AlterConfigs, ListConfigResources.

Every expectation here is what Apache Kafka answers (--against oracle), word for word where clients show it.
"""

import time

from harness import expect, expect_equal, expect_in, fresh_topic, test, until
import wire

TOPIC, BROKER, LOGGER, GROUP = 2, 4, 8, 32
SET, DELETE, APPEND, SUBTRACT = range(4)


def alter(connection, *resources, validate_only=False, how="incremental_alter_configs"):
    """[(error, message)] of resources (type, name, changes); a change is (key, op, value), or (key, value) to replace."""
    def change(one):
        return dict(zip(("name", "op", "value") if len(one) == 3 else ("name", "value"), one))
    asked = [{"type": kind, "name": name, "configs": [change(one) for one in changes]} for kind, name, changes in resources]
    answer = connection.ask(how, resources=asked, validate_only=validate_only)
    expect_equal([(one["type"], one["name"]) for one in answer["responses"]], [(kind, name) for kind, name, _ in resources],
                 "resources answered")
    return [(one["error"], one["message"]) for one in answer["responses"]]


def alter_one(connection, kind, name, *changes, **keywords):
    return alter(connection, (kind, name, changes), **keywords)[0]


def replace(connection, kind, name, *changes, **keywords):
    return alter(connection, (kind, name, changes), how="alter_configs", **keywords)[0]


def describe(connection, kind, name, keys=None):
    """{key: (value, source, [(name, value, source) of synonyms])}"""
    asked = [{"type": kind, "name": name, "keys": keys}]
    result = connection.ask("describe_configs", resources=asked, synonyms=True, documentation=False)["results"][0]
    expect_equal(result["error"], 0, f"error of DescribeConfigs {kind} {name!r}")
    return {one["name"]: (one["value"], one["source"], [(s["name"], s["value"], s["source"]) for s in one["synonyms"]])
            for one in result["configs"]}


def topic_of(node):
    name = fresh_topic("configs")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name), 0, "error of CreateTopics")
    return name


def broker_id(connection):
    return str(connection.metadata([])["brokers"][0]["node_id"])


@test("configs: SET, APPEND, SUBTRACT and DELETE on a topic, each seen in DescribeConfigs")
def operations(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        def now(key):
            return describe(connection, TOPIC, name, [key])[key][:2]
        expect_equal(alter_one(connection, TOPIC, name, ("retention.ms", SET, "3600000")), (0, None), "SET")
        until(lambda: now("retention.ms") == ("3600000", 1), "retention.ms is set")
        expect_equal(alter_one(connection, TOPIC, name, ("retention.ms", DELETE, None)), (0, None), "DELETE")
        until(lambda: now("retention.ms") == ("604800000", 5), "retention.ms is the default again")
        expect_equal(alter_one(connection, TOPIC, name, ("no.such.key", DELETE, None)), (0, None), "DELETE of an unknown key")
        for op, value, wanted in ((APPEND, "compact", "delete,compact"), (APPEND, "compact", "delete,compact"),
                                  (SUBTRACT, "delete", "compact"), (SUBTRACT, "delete", "compact"), (SUBTRACT, "compact", "")):
            expect_equal(alter_one(connection, TOPIC, name, ("cleanup.policy", op, value)), (0, None), f"{op} {value}")
            until(lambda wanted=wanted: now("cleanup.policy") == (wanted, 1), f"cleanup.policy is {wanted!r}")


@test("configs: what a topic cannot have is refused in Kafka's words, and the connection stays")
def refusals(node):
    name = topic_of(node)
    cases = [
        ((TOPIC, name, [("retention.ms", SET, "soon")]), 40,
         "Invalid value soon for configuration retention.ms: Not a number of type LONG"),
        ((TOPIC, name, [("no.such", SET, "1")]), 40, "Unknown topic config name: no.such"),
        ((TOPIC, name, [("retention.ms", APPEND, "1")]), 40, "Can't APPEND to key retention.ms because its type is not LIST."),
        ((TOPIC, name, [("no.such", SUBTRACT, "1")]), 40, "Can't SUBTRACT to key no.such because its type is not LIST."),
        ((TOPIC, name, [("cleanup.policy", APPEND, "burn")]), 40,
         "Invalid value burn for configuration cleanup.policy: String must be one of: compact, delete"),
        ((TOPIC, name, [("retention.ms", SET, None)]), 42, "Null value not supported for : retention.ms"),
        ((TOPIC, name, [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)]), 42, "Error due to duplicate config keys"),
        ((TOPIC, name, [("min.compaction.lag.ms", SET, "100"), ("max.compaction.lag.ms", SET, "10")]), 40,
         "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)"),
        ((TOPIC, "no-such-topic", [("retention.ms", SET, "1")]), 3, "The topic 'no-such-topic' does not exist."),
        ((TOPIC, "no-such-topic", [("retention.ms", SET, "x")]), 40, "Invalid value x"),
        ((TOPIC, "", [("retention.ms", SET, "1")]), 42, "Default topic resources are not allowed."),
        ((TOPIC, "a/b", [("retention.ms", SET, "1")]), 17, "Topic name is invalid"),
        ((99, "x", [("a", SET, "1")]), 42, "Unknown resource type 99"),
        ((0, "", [("a", SET, "1")]), 42, "Unknown resource type 0"),
    ]
    with wire.Connection(node.port) as connection:
        for resource, error, message in cases:
            seen = alter(connection, resource)[0]
            expect_equal(seen[0], error, f"error of {resource}")
            expect(seen[1].startswith(message), f"{resource}: {seen[1]!r}")
        once = (TOPIC, name, [("retention.ms", SET, "1")])
        expect_equal(alter(connection, once, once), [(42, "Each resource must appear at most once.")] * 2, "a resource twice")
        error, _ = alter_one(connection, TOPIC, name, ("retention.ms", 9, "1"))
        expect_in(error, (42, -1), "error of an unknown operation")
        expect_equal(describe(connection, TOPIC, name, ["retention.ms"])["retention.ms"][1], 5, "source afterwards")


@test("configs: brokers take dynamic keys for one or for all, say no to the others, and topics fall back on them", own_node=True)
def brokers(node):
    node.start()
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        one = broker_id(connection)
        for resource, value in (("", "7000000"), (one, "5000000")):
            expect_equal(alter_one(connection, BROKER, resource, ("log.retention.ms", SET, value)), (0, None), f"for {resource!r}")
        wanted = [("log.retention.ms", "5000000", 2), ("log.retention.ms", "7000000", 3), ("log.retention.hours", "168", 5)]
        until(lambda: describe(connection, TOPIC, name, ["retention.ms"])["retention.ms"] == ("5000000", 2, wanted),
              "the topic's retention.ms comes from the broker")
        expect_equal(describe(connection, BROKER, one, ["log.retention.ms"])["log.retention.ms"], ("5000000", 2, wanted), "the broker's")
        seen = describe(connection, BROKER, "")
        expect_equal(seen["log.retention.ms"], ("7000000", 3, [("log.retention.ms", "7000000", 3)]), "all brokers'")
        for resource in ("", one):
            for key, op, value, error, message in (
                    ("log.dirs", SET, "/x", 42, "Cannot update these configs dynamically: [log.dirs]"),
                    ("node.id", SET, "3", 42, "Cannot update these configs dynamically: [node.id]"),
                    ("log.retention.hours", SET, "1", 42, "Cannot update these configs dynamically: [log.retention.hours]"),
                    ("log.retention.ms", SET, "x", 42,
                     "Invalid value x for configuration log.retention.ms: Not a number of type LONG"),
                    ("log.segment.bytes", SET, "5", 42,
                     "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576"),
                    ("log.retention.ms", APPEND, "1", 40, "Config value append is not allowed for config key: log.retention.ms"),
                    ("no.such", APPEND, "1", 40, "Unknown config name: no.such"),
                    ("ssl.keystore.location", SET, "x", 42,
                     "These security configs can be dynamically updated only per-listener using the listener prefix: "
                     "[ssl.keystore.location]")):
                expect_equal(alter_one(connection, BROKER, resource, (key, op, value)), (error, message), f"{key} of {resource!r}")
            expect_equal(alter_one(connection, BROKER, resource, ("log.dirs", DELETE, None)), (0, None), "DELETE of a fixed key")
            expect_equal(alter_one(connection, BROKER, resource, ("log.cleanup.policy", APPEND, "compact")), (0, None), "APPEND")
            # Kafka keeps what it does not know, for plug-ins.
            expect_equal(alter_one(connection, BROKER, resource, ("a.plug.in", SET, "secret")), (0, None), "an unknown key")
            until(lambda resource=resource: "a.plug.in" in describe(connection, BROKER, resource), "the unknown key is listed")
            expect_equal(describe(connection, BROKER, resource)["a.plug.in"][0], None, "its value")
        for resource, error in (("x", 42), ("-1", 42)):
            expect_equal(alter_one(connection, BROKER, resource, ("log.retention.ms", SET, "1"))[0], error, f"broker {resource}")
        # 102: through any node; Kafka wants the broker itself to be asked.
        expect_in(alter_one(connection, BROKER, "77", ("log.retention.ms", SET, "1"))[0], (102, *(() if node.ours else (42,))),
                  "error of an unknown broker")
        for resource in ("", one):
            expect_equal(alter_one(connection, BROKER, resource, ("log.retention.ms", DELETE, None)), (0, None), "back again")
        until(lambda: describe(connection, TOPIC, name, ["retention.ms"])["retention.ms"][:2] == ("604800000", 5),
              "the topic's retention.ms is the default again")


@test("configs: AlterConfigs replaces all that is set, validate_only nothing")
def replacing(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        def own():
            return {key: value for key, (value, source, _) in describe(connection, TOPIC, name).items() if source == 1}
        expect_equal(alter_one(connection, TOPIC, name, ("retention.ms", SET, "1000"), validate_only=True), (0, None), "validation")
        expect_equal(own(), {}, "set by a validation")
        alter_one(connection, TOPIC, name, ("retention.ms", SET, "3600000"))
        expect_equal(replace(connection, TOPIC, name, ("segment.ms", "5000"), validate_only=True), (0, None), "validation")
        expect_equal(replace(connection, TOPIC, name, ("segment.ms", "x"), validate_only=True)[0], 40, "validation of nonsense")
        expect_equal(replace(connection, TOPIC, name, ("segment.ms", "5000"), ("max.message.bytes", "2000")), (0, None), "AlterConfigs")
        until(lambda: own() == {"segment.ms": "5000", "max.message.bytes": "2000"}, "exactly what was named is set")
        for changes, error in (([("segment.ms", None)], 42), ([("segment.ms", "1"), ("segment.ms", "2")], 42), ([("nope", "1")], 40)):
            expect_equal(replace(connection, TOPIC, name, *changes)[0], error, f"{changes}")
        expect_equal(replace(connection, TOPIC, "no-such-topic", ("segment.ms", "1"))[0], 3, "an unknown topic")
        expect_equal(replace(connection, BROKER, broker_id(connection), ("log.dirs", "/x"))[0], 42, "a fixed key")
        expect_equal(replace(connection, TOPIC, name), (0, None), "nothing named")
        until(lambda: own() == {}, "nothing is set")


@test("configs: max.message.bytes and min.insync.replicas hold from the next record on")
def live(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        large = wire.batch([b"x" * 3000])
        expect_equal(connection.produce(name, large)["error"], 0, "before")
        alter_one(connection, TOPIC, name, ("max.message.bytes", SET, "1000"))
        until(lambda: connection.produce(name, large)["error"] == 10, "MESSAGE_TOO_LARGE")
        alter_one(connection, TOPIC, name, ("max.message.bytes", DELETE, None))
        until(lambda: connection.produce(name, large)["error"] == 0, "accepted again")
        # A topic of one replica: more than there are cannot be in sync, so the minimum is what there is.
        alter_one(connection, TOPIC, name, ("min.insync.replicas", SET, "2"))
        expect_in(connection.produce(name, large)["error"], (0, 19), "with min.insync.replicas=2 and one replica")


@test("configs: retention.ms that is lowered removes old segments without a restart", own_node=True)
def live_retention(node):
    node.settings += ["log.retention.check.interval.ms=200", "log.initial.task.delay.ms=100"]
    node.start()
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        alter_one(connection, TOPIC, name, ("segment.ms", SET, "100"), ("file.delete.delay.ms", SET, "0"))
        old = int(time.time() * 1000) - 600000
        for _ in range(3):
            expect_equal(connection.produce(name, wire.batch([b"old"], timestamp=old))["error"], 0, "Produce")
            time.sleep(0.15)
        expect_equal(connection.list_offset(name, -2)["offset"], 0, "earliest before")
        alter_one(connection, TOPIC, name, ("retention.ms", SET, "60000"))
        until(lambda: connection.list_offset(name, -2)["offset"] > 0, "old segments are gone", seconds=20)


@test("configs: they survive kill -9", own_node=True)
def durable(node):
    node.start()
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        expect_equal(alter_one(connection, TOPIC, name, ("retention.ms", SET, "123456789")), (0, None), "of a topic")
        expect_equal(alter_one(connection, BROKER, "", ("log.retention.bytes", SET, "987654321")), (0, None), "of all brokers")
    node.kill()
    node.start()
    with wire.Connection(node.port) as connection:
        seen = until(lambda: describe(connection, TOPIC, name), "the topic is described")
        expect_equal(seen["retention.ms"][:2], ("123456789", 1), "retention.ms")
        expect_equal(seen["retention.bytes"][:2], ("987654321", 3), "retention.bytes")


@test("configs: ListConfigResources names topics and brokers, by type")
def resources(node):
    name = topic_of(node)
    with wire.Connection(node.port) as connection:
        def listed(*types):
            answer = connection.ask("list_config_resources", types=list(types))
            return answer["error"], {(one["type"], one["name"]) for one in answer["resources"]}
        expect_in((TOPIC, name), listed(TOPIC)[1], "topics")
        expect_equal({kind for kind, _ in listed(TOPIC)[1]}, {TOPIC}, "types among topics")
        expect_equal(listed(BROKER), (0, {(BROKER, broker_id(connection))}), "brokers")
        expect(listed(TOPIC)[1] | listed(BROKER)[1] <= listed()[1], "not everything without types")
        for kind in (0, 1, 99, -1):
            expect_equal(listed(kind), (35, set()), f"type {kind}")
        expect_equal(connection.ask("list_config_resources_v0"), {"throttle_ms": 0, "error": 0, "resources": []}, "v0")

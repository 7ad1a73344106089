"""Settings of single groups (config resource GROUP): what may be set, what is told of it, and that groups go by it."""

from harness import expect_equal, expect_in, fresh_topic, java_environment, oracle, run, test, until
from group_wire import ask, group_of, topic_of
import wire

SETTINGS = ["offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1", "group.consumer.heartbeat.interval.ms=6000",
            "group.consumer.min.session.timeout.ms=2000", "group.consumer.min.heartbeat.interval.ms=500"]
GROUP, SET, DELETE, APPEND, SUBTRACT = 32, 0, 1, 2, 3
SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"


def alter(connection, name, *changes, **values):
    """(error, message); a change is (key, operation, value), or (key, value) to set it."""
    configs = [{"name": one[0], "op": one[1] if len(one) > 2 else SET, "value": one[-1]} for one in changes]
    answer = connection.ask("incremental_alter_configs", resources=[{"type": GROUP, "name": name, "configs": configs}],
                            **{"validate_only": False, **values})["responses"][0]
    return answer["error"], answer["message"]


def describe(connection, name, keys=None):
    """{key: (value, source, type, synonyms)}"""
    answer = connection.ask("describe_configs", resources=[{"type": GROUP, "name": name, "keys": keys}], synonyms=True,
                            documentation=False)["results"][0]
    expect_equal((answer["error"], answer["message"] or None), (0, None), f"described {name}")
    return {one["name"]: (one["value"], one["source"], one["config_type"],
                          [(other["name"], other["value"], other["source"]) for other in one["synonyms"]]) for one in answer["configs"]}


def listed(connection, *types):
    answer = connection.ask("list_config_resources", types=list(types))
    expect_equal(answer["error"], 0, "error of ListConfigResources")
    return {one["name"] for one in answer["resources"] if one["type"] == GROUP}


@test("group configs: what may not be set is refused with Kafka's messages, and nothing of it is kept")
def refused(node):
    with wire.Connection(node.port) as connection:
        name = fresh_topic("group")
        for change, error, message in (
                ((SESSION, "1999"), 40, f"{SESSION} must be greater than or equal to group.consumer.min.session.timeout.ms"),
                ((SESSION, "60001"), 40, f"{SESSION} must be less than or equal to group.consumer.max.session.timeout.ms"),
                ((SESSION, "x"), 40, f"Invalid value x for configuration {SESSION}: Not a number of type INT"),
                ((SESSION, ""), 40, f"Invalid value  for configuration {SESSION}: Not a number of type INT"),
                ((SESSION, "0"), 40, f"Invalid value 0 for configuration {SESSION}: Value must be at least 1"),
                ((SESSION, "5999"), 40, f"{SESSION} must be greater than {HEARTBEAT}"),
                ((SESSION, None), 42, f"Null value not supported for : {SESSION}"),
                ((SESSION, APPEND, "46000"), 40, f"Can't APPEND to key {SESSION} because its type is not LIST."),
                ((SESSION, SUBTRACT, "46000"), 40, f"Can't SUBTRACT to key {SESSION} because its type is not LIST."),
                ((HEARTBEAT, "499"), 40, f"{HEARTBEAT} must be greater than or equal to group.consumer.min.heartbeat.interval.ms"),
                ((HEARTBEAT, "15001"), 40, f"{HEARTBEAT} must be less than or equal to group.consumer.max.heartbeat.interval.ms"),
                (("nonsense", "1"), 40, "Unknown group config name: nonsense"),
                (("share.session.timeout.ms", "1"), 40,
                 "share.session.timeout.ms must be greater than or equal to group.share.min.session.timeout.ms"),
                (("share.isolation.level", "x"), 40,
                 "Invalid value x for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted"),
                (("share.auto.offset.reset", "x"), 40,
                 "Invalid value x for configuration share.auto.offset.reset: Invalid value `x` for configuration share.auto.offset.reset. "
                 "The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."),
                (("share.delivery.count.limit", "11"), 40,
                 "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"),
                (("streams.num.standby.replicas", "3"), 40,
                 "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"),
                (("streams.num.standby.replicas", "-1"), 40,
                 "Invalid value -1 for configuration streams.num.standby.replicas: Value must be at least 0")):
            expect_equal(alter(connection, name, change), (error, message), f"{change}")
        expect_equal(alter(connection, name, (SESSION, "46000"), ("nonsense", "1")), (40, "Unknown group config name: nonsense"), "one of two")
        expect_equal(alter(connection, name, (SESSION, "46000"), (SESSION, DELETE, None)), (42, "Error due to duplicate config keys"), "twice")
        expect_equal(alter(connection, "", (SESSION, "46000")), (42, "Default group resources are not allowed."), "no name")
        expect_equal(alter(connection, name, (SESSION, "46000"), validate_only=True), (0, None), "validate only")
        expect_equal(name in listed(connection, GROUP), False, "listed")
        answer = connection.ask("describe_configs", resources=[{"type": GROUP, "name": "", "keys": None}], synonyms=False, documentation=False)
        expect_equal((answer["results"][0]["error"], answer["results"][0]["message"]), (42, "Group name must not be empty"), "described")


@test("group configs: each key is described with its value, its type, and all that sets it; set, deleted and listed")
def described(node):
    with wire.Connection(node.port) as connection:
        name = fresh_topic("group with blanks/and more")
        before = describe(connection, name)
        expect_equal(before[SESSION], ("45000", 5, 3, [("group." + SESSION, "45000", 5)]), SESSION)
        expect_equal(before[HEARTBEAT], ("6000", 4, 3, [("group." + HEARTBEAT, "6000", 4), ("group." + HEARTBEAT, "5000", 5)]), HEARTBEAT)
        expect_equal(before["share.auto.offset.reset"], ("latest", 5, 2, [("share.auto.offset.reset", "latest", 5)]), "reset")
        for key, value in (("consumer.assignment.interval.ms", "1000"), ("share.session.timeout.ms", "45000"),
                           ("share.heartbeat.interval.ms", "5000"), ("share.record.lock.duration.ms", "30000"),
                           ("share.isolation.level", "read_uncommitted"), ("share.delivery.count.limit", "5"),
                           ("share.partition.max.record.locks", "2000"), ("share.renew.acknowledge.enable", "true"),
                           ("share.assignment.interval.ms", "1000"), ("streams.session.timeout.ms", "45000"),
                           ("streams.heartbeat.interval.ms", "5000"), ("streams.num.standby.replicas", "0"),
                           ("streams.initial.rebalance.delay.ms", "3000"), ("streams.assignment.interval.ms", "1000")):
            expect_equal(before[key][:2], (value, 5), key)
        expect_equal(alter(connection, name, (SESSION, " 50000 "), ("share.auto.offset.reset", "by_duration:PT1H")), (0, None), "set")
        # Kafka answers before its brokers know.
        until(lambda: describe(connection, name)[SESSION] != before[SESSION], "it is described as it was set", 10)
        after = describe(connection, name)
        expect_equal(after[SESSION], ("50000", 8, 3, [(SESSION, "50000", 8), ("group." + SESSION, "45000", 5)]), SESSION)
        expect_equal(after["share.auto.offset.reset"][:2], ("by_duration:PT1H", 8), "reset")
        expect_equal({key: one for key, one in after.items() if before[key] != one}.keys(), {SESSION, "share.auto.offset.reset"}, "changed")
        expect_equal(list(describe(connection, name, [SESSION, "nonsense"])), [SESSION], "asked for")
        expect_equal(alter(connection, name, (SESSION, DELETE, None), ("nonsense", DELETE, None)), (0, None), "deleted")
        until(lambda: describe(connection, name)[SESSION] == before[SESSION], "it is described as before it was set", 10)
        plain = fresh_topic("group")
        alter(connection, plain, (HEARTBEAT, "7000"))
        until(lambda: plain in listed(connection, GROUP) & listed(connection), "it is listed", 10)
        expect_equal(alter(connection, plain, (HEARTBEAT, DELETE, None)), (0, None), "deleted")
        until(lambda: plain not in listed(connection, GROUP), "it is not listed when nothing is set", 10)


@test("group configs: members are told the group's own interval, and missed after its own session")
def gone_by(node):
    topic, group = topic_of(node, 1), group_of(node)
    with wire.Connection(node.port) as connection:
        join = {"group": group, "member": "one", "names": [topic], "owned": []}
        joined = ask(connection, "consumer_beat", 1, epoch=0, **join)
        expect_equal((joined["error"], joined["interval_ms"]), (0, 6000), "interval of the brokers")
        expect_equal(alter(connection, group, (HEARTBEAT, "1000"), (SESSION, "3000")), (0, None), "set")
        beat = lambda: ask(connection, "consumer_beat", 1, group=group, member="one", epoch=joined["epoch"])  # noqa: E731
        until(lambda: beat()["interval_ms"] == 1000, f"the group's own interval; last {beat()}", 20)
        members = lambda: ask(connection, "consumer_describe", 1, groups=[group])["groups"][0]["members"]  # noqa: E731
        expect_equal(len(members()), 1, "members")
        # The brokers' session is 45 s.
        until(lambda: not members(), "the silent member is gone", 15)
        expect_equal(beat()["error"], 25, "error of its heartbeat")


@test("group configs, java: kafka-configs --entity-type groups sets, shows and deletes them")
def java(node):
    name = fresh_topic("group")

    def configs(*words, **keywords):
        return run([oracle(), "configs", "--bootstrap-server", node.bootstrap, "--entity-type", "groups", "--entity-name", name, *words],
                   env=java_environment(), **keywords)

    expect_in("Completed updating config", configs("--alter", "--add-config", f"{SESSION}=50000,{HEARTBEAT}=7000"))
    text = configs("--describe")
    expect_in(f"{SESSION}=50000", text)
    expect_in(f"{HEARTBEAT}=7000", text)
    configs("--alter", "--add-config", f"{SESSION}=1", status=1)
    expect_in("Completed updating config", configs("--alter", "--delete-config", SESSION))
    text = configs("--describe")
    expect_equal(SESSION in text, False, f"what is shown after it was deleted: {text}")
    expect_in(f"{HEARTBEAT}=7000", text)

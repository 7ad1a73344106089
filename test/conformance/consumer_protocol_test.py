"""Consumer groups of the new protocol (KIP-848) as librdkafka and Kafka's console consumer play them."""

from harness import expect, expect_equal, expect_in, fresh_topic, test, tool, until
from group_wire import committed, group_of, produce, topic_of
from members import Member
import wire

SETTINGS = ["offsets.topic.num.partitions=5", "offsets.topic.replication.factor=1", "group.consumer.min.session.timeout.ms=5000",
            "group.consumer.session.timeout.ms=5000", "group.consumer.min.heartbeat.interval.ms=200",
            "group.consumer.heartbeat.interval.ms=200", "group.consumer.assignment.interval.ms=0"]
NEW = {"group_protocol": "consumer"}


@test("KIP-848, confluent-kafka: a second member gets half, and the first keeps the other half; each record once")
def shared(node):
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(200))
    with Member(node.bootstrap, group, topic, **NEW) as first:
        expect_equal(first.until_owns(4), {0, 1, 2, 3}, "partitions of the only one")
        first.until_read(200)
        expect_equal(first.commit(), dict.fromkeys(range(4), 50), "committed")
        with Member(node.bootstrap, group, topic, **NEW) as second:
            theirs, ours = second.until_owns(2), first.until_owns(2)
            expect_equal(theirs | ours, {0, 1, 2, 3}, "partitions of both")
            # Only what moves is taken away (rule 8.6).
            expect_equal(set(first.of("revoked")[-1]["partitions"]), theirs, "what the first gave up")
            produce(node, topic, range(200, 400))
            until(lambda: len(first.values()) + len(second.values()) == 400, "all is read", 20)
            expect_equal(second.commit(), dict.fromkeys(theirs, 100), "committed by the second")
            second.close()
        first.until_owns(4)
        produce(node, topic, range(400, 500))
        # What the first had read and not committed it did not lose.
        until(lambda: len(set(first.values() + second.values())) == 500, "all is read", 20)
        expect_equal(sorted(map(int, first.values() + second.values())), list(range(500)), "records, each once")
        first.commit()
        with wire.Connection(node.port) as connection:
            expect_equal(committed(connection, group, topic, 4), [125] * 4, "committed offsets")
        first.close()


@test("KIP-848, confluent-kafka: who dies is missed after the session that the broker says, and its partitions go on")
def death(node):
    topic, group = topic_of(node), group_of(node)
    with Member(node.bootstrap, group, topic, **NEW) as first, Member(node.bootstrap, group, topic, **NEW) as second:
        first.until_owns(2)
        second.until_owns(2)
        second.die()
        expect_equal(first.until_owns(4), {0, 1, 2, 3}, "partitions after the session of the other has ended")
        produce(node, topic, range(100))
        first.until_read(100)
        expect_equal(sorted(map(int, first.values())), list(range(100)), "records, each once")
        first.close()


@test("KIP-848, confluent-kafka: members meet in a topic that gets more partitions, and by an expression in one made while they wait (8.11, 8.14)")
def topics(node):
    prefix = fresh_topic("pattern")
    topic, group = topic_of(node, 2, f"{prefix}-a"), group_of(node)
    with Member(node.bootstrap, group, topic, **NEW) as named, \
            Member(node.bootstrap, group_of(node), f"^{prefix}-.*", **NEW) as matched:
        named.until_owns(2)
        matched.until_owns(2)
        tool("topics", "--bootstrap-server", node.bootstrap, "--alter", "--topic", topic, "--partitions", 4)
        expect_equal(named.until_owns(4), {0, 1, 2, 3}, "partitions after there are more")
        # Its partitions have numbers that the other topic's have, too: records tell.
        topic_of(node, 1, f"{prefix}-b")
        with wire.Connection(node.port) as connection:
            expect_equal(connection.produce(f"{prefix}-b", wire.batch([b"late"]))["error"], 0, "error of Produce")
        matched.await_(lambda: "late" in matched.values(), "the new topic is read", 40)
        named.close()
        matched.close()


@test("KIP-848, confluent-kafka: a static member that restarts has its partitions back, and nobody else notices")
def static(node):
    topic, group = topic_of(node), group_of(node)
    with Member(node.bootstrap, group, topic, group_instance_id="a", **NEW) as first, \
            Member(node.bootstrap, group, topic, group_instance_id="b", **NEW) as second:
        ours, theirs = first.until_owns(2), second.until_owns(2)
        events = len(first.of("assigned", "revoked"))
        second.close()
        with Member(node.bootstrap, group, topic, group_instance_id="b", **NEW) as again:
            expect_equal(again.until_owns(2), theirs, "partitions of the one that is back")
            expect_equal(first.owned(), ours, "partitions of the other")
            expect_equal(len(first.of("assigned", "revoked")), events, "rebalances of the other")
            again.close()
        first.close()


@test("KIP-848, java: console-consumer with group.protocol=consumer; kafka-consumer-groups shows epochs and assignments")
def java(node):
    topic, group = topic_of(node), group_of(node)
    produce(node, topic, range(40))
    out = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", topic, "--group", group, "--max-messages", 40,
               "--timeout-ms", "30000", "--command-property", "auto.offset.reset=earliest", "--command-property", "group.protocol=consumer")
    expect_equal(sorted(map(int, out.split())), list(range(40)), "what was read")
    with Member(node.bootstrap, group, topic, **NEW) as member:
        member.until_owns(4)
        expect_equal(member.records(), [], "read again although it was committed")
        text = tool("consumer-groups", "--bootstrap-server", node.bootstrap, "--describe", "--group", group, "--members", "--verbose")
        expect_in("0,1,2,3", text)
        text = tool("consumer-groups", "--bootstrap-server", node.bootstrap, "--describe", "--group", group, "--state")
        expect_in("Stable", text)
        expect_in("uniform", text)
        expect_in("Consumer", tool("groups", "--bootstrap-server", node.bootstrap, "--list"))
        member.close()
    expect("successful" in tool("consumer-groups", "--bootstrap-server", node.bootstrap, "--delete", "--group", group), "it is deleted")

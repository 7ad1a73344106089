"""Well-formed requests for what cannot be (40-46)."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, expect_in, fresh_topic, test
from hostile import disconnects, topic_of, unharmed
import wire

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_REPLICATION = 1, 3, 17, 37, 38
BAD_NAMES = ["../x", "../../x", "/", "/etc/x", ".", "..", "", "a\0b", "a b", "ü", "a" * 250, "x/../y", "a\nb", "%2e"]


@test("hostile request: topic names that would be paths, or are too long, get 17 and make no directory")
def names(node):
    with unharmed(node), wire.Connection(node.port) as connection:
        before = sorted(path.name for path in node.log_dir.parent.iterdir())
        for name in BAD_NAMES:
            expect_equal(connection.create_topic(name), INVALID_TOPIC, f"CreateTopics {name!r}")
            found = connection.metadata([name], auto_create=True)["topics"][0]
            expect_in(found["error"], (INVALID_TOPIC, UNKNOWN_TOPIC), f"Metadata {name!r}")
            expect_in(connection.produce(name, wire.batch([b"x"]))["error"], (UNKNOWN_TOPIC, INVALID_TOPIC), f"Produce {name!r}")
            expect_in(connection.fetch(name, 0, wait_ms=0)["error"], (UNKNOWN_TOPIC, INVALID_TOPIC), f"Fetch {name!r}")
        expect_equal(sorted(path.name for path in node.log_dir.parent.iterdir()), before, "beside the log directory")
        listed = [one["name"] for one in connection.metadata()["topics"]]
        expect(not set(listed) & set(BAD_NAMES), f"among the topics: {listed}")


@test("hostile request: partition numbers that are not there get 3")
def partitions(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        for number in (-1, 1, 2**31 - 1, -(2**31)):
            expect_equal(connection.produce(topic, wire.batch([b"x"]), partition=number)["error"], UNKNOWN_TOPIC, f"Produce {number}")
            expect_equal(connection.fetch(topic, 0, partition=number, wait_ms=0)["error"], UNKNOWN_TOPIC, f"Fetch {number}")
            expect_equal(connection.list_offset(topic, -1, number)["error"], UNKNOWN_TOPIC, f"ListOffsets {number}")
            asked = [{"name": topic, "partitions": [{"index": number, "current_epoch": -1, "epoch": 0}]}]
            answer = connection.ask("offset_for_leader_epoch", replica_id=-1, topics=asked)["topics"][0]["partitions"][0]
            expect_equal(answer["error"], UNKNOWN_TOPIC, f"OffsetForLeaderEpoch {number}")


@test("hostile request: a billion partitions or 999 replicas are refused, by their own error")
def sizes(node):
    with unharmed(node), wire.Connection(node.port) as connection:
        for count in (0, -2, 10**9, 2**31 - 1):
            # 44: the operator's policy has a say before the range; Kafka counts all partitions of one operation so.
            expect_in(connection.create_topic(fresh_topic(), count), (INVALID_PARTITIONS, 44, 42), f"{count} partitions")
        for factor in (0, -2, 999, 32767):
            expect_equal(connection.create_topic(fresh_topic(), 1, factor), INVALID_REPLICATION, f"replication factor {factor}")
        topic = topic_of(node)
        for count in (0, -1, 1, 10**9):
            answer = connection.ask("create_partitions", topics=[{"name": topic, "count": count, "assignments": None}],
                                    timeout_ms=1000, validate_only=False)
            expect_in(answer["results"][0]["error"], (INVALID_PARTITIONS, 44, 42, *(() if node.ours else (-1,))),
                      f"CreatePartitions to {count}")
        expect_equal(len(connection.metadata([topic])["topics"][0]["partitions"]), 1, "partitions afterwards")


@test("hostile request: one topic twice in a request, and assignments to brokers that are not there, are refused")
def contradictions(node):
    with unharmed(node), wire.Connection(node.port) as connection:
        name = fresh_topic()
        entry = {"name": name, "partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}
        answer = connection.ask("create_topics", topics=[entry, entry], timeout_ms=1000, validate_only=False)
        expect_equal({one["error"] for one in answer["topics"]}, {42}, "twice")
        for brokers in ([9999], [], [1, 1]):
            placed = {**entry, "partitions": -1, "replication_factor": -1, "assignments": [{"index": 0, "brokers": brokers}]}
            answer = connection.ask("create_topics", topics=[placed], timeout_ms=1000, validate_only=False)
            expect_equal(answer["topics"][0]["error"], 39, f"assignment to {brokers}")
        for config in ({"name": "segment.bytes", "value": "-1"}, {"name": "retention.ms", "value": "soon"},
                       {"name": "no.such.config", "value": "1"}, {"name": "cleanup.policy", "value": "burn"}):
            bad = {**entry, "configs": [config]}
            answer = connection.ask("create_topics", topics=[bad], timeout_ms=1000, validate_only=False)
            expect_equal(answer["topics"][0]["error"], 40, f"{config}")
        expect_equal(connection.metadata([name])["topics"][0]["error"], UNKNOWN_TOPIC, "Metadata afterwards")


@test("hostile request: a fetch of 2 GB over 10,000 partitions is answered within the server's own limit")
def greedy_fetch(node):
    topic = topic_of(node, partitions=100)
    with unharmed(node, growth_kib_max=192 * 1024), wire.Connection(node.port, timeout=30) as connection:
        value = b"v" * 900000
        for partition in range(100):
            expect_equal(connection.produce(topic, wire.batch([value]), partition=partition)["error"], 0, "error of Produce")
        real = [(topic, partition, 0) for partition in range(100)]
        ghosts = [(fresh_topic("ghost"), partition, 0) for partition in range(9900)]
        ghosts = [(ghosts[0][0], partition, 0) for _, partition, _ in ghosts]
        values = wire.fetch_values(real + ghosts, max_bytes=2**31 - 1, wait_ms=0)
        connection.send(wire.encode("fetch", 9, **values))
        payload = connection.read_frame()
        expect(len(payload) < 58 << 20, f"an answer of {len(payload)} bytes")
        _, answer = wire.decode("fetch", payload)
        parts = [(one["name"], part) for one in answer["topics"] for part in one["partitions"]]
        expect_equal(len(parts), 10000, "partitions answered")
        expect(all(part["error"] == UNKNOWN_TOPIC for name, part in parts if name != topic), "a ghost without error 3")
        full = [part for name, part in parts if name == topic and part["records"]]
        # Kafka answers up to its fetch.max.bytes of 55 MiB; less is every broker's right: the next fetch gets the rest.
        expect(1 <= len(full) <= 64, f"{len(full)} partitions had records")


@test("hostile request: an offset outside the log gets 1, its end and its start do not")
def offsets(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        expect_equal(connection.produce(topic, wire.batch([b"x"] * 5))["error"], 0, "error of Produce")
        for offset in (-1, -2, 6, 2**63 - 1, -(2**63)):
            part = connection.fetch(topic, offset, wait_ms=0)
            expect_equal((part["error"], part["records"] or b""), (OFFSET_OUT_OF_RANGE, b""), f"at {offset}")
        expect_equal(connection.fetch(topic, 5, wait_ms=0)["error"], 0, "at the end")
        expect_equal(len(wire.parse_records(connection.fetch(topic, 3)["records"])), 5, "records of the batch around offset 3")


@test("hostile request: more fetch sessions than there are slots are answered without one, never with an error")
def sessions(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        given = []
        for _ in range(1300):
            answer = connection.ask("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=0, session=(0, 0)))
            expect_equal(answer["error"], 0, "error")
            given.append(answer["session_id"])
        expect_equal(given[-1], 0, "the last session id")
        expect(len({one for one in given if one}) == len([one for one in given if one]), "a session id given twice")
        for session, error in (((given[0] or 12345, 99), (70, 71)), ((123456789, 1), (70,))):
            answer = connection.ask("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=0, session=session))
            expect_in(answer["error"], error, f"error of session {session}")


@test("hostile request: times no log has are answered, not searched for")
def extreme_times(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        expect_equal(connection.produce(topic, wire.batch([b"x"]))["error"], 0, "error of Produce")
        expect_equal(connection.list_offset(topic, 2**63 - 1)["offset"], -1, "offset at the end of time")
        expect_equal(connection.list_offset(topic, 0)["offset"], 0, "offset at 1970")
        expect_in(connection.list_offset(topic, -99)["error"], (35, 42), "an unknown special time")


@test("hostile request: leader epochs that are not there get 75, whatever the API")
def epochs(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        epoch = connection.metadata([topic])["topics"][0]["partitions"][0]["leader_epoch"]
        for asked, error in ((epoch + 100, 75), (2**31 - 1, 75)):
            values = wire.fetch_values([(topic, 0, 0)], wait_ms=0)
            values["topics"][0]["partitions"][0]["leader_epoch"] = asked
            part = connection.ask("fetch", **values)["topics"][0]["partitions"][0]
            expect_equal(part["error"], error, f"Fetch at epoch {asked}")
            offsets = [{"name": topic, "partitions": [{"index": 0, "leader_epoch": asked, "timestamp": -1}]}]
            answer = connection.ask("list_offsets", replica_id=-1, isolation=0, topics=offsets, timeout_ms=1000)
            expect_equal(answer["topics"][0]["partitions"][0]["error"], error, f"ListOffsets at epoch {asked}")


@test("hostile request: a consumer that calls itself a replica is refused and moves no high watermark",
      ours_only="Kafka without an authorizer believes it")
def spoofed_replica(node):
    topic = topic_of(node)
    with unharmed(node), wire.Connection(node.port) as connection:
        expect_equal(connection.produce(topic, wire.batch([b"x"]))["error"], 0, "error of Produce")
        for replica in (0, 1, 2, 2**31 - 1):
            disconnects(node, wire.encode("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=0, replica_id=replica)))
        expect_equal(connection.list_offset(topic, -1)["offset"], 1, "high watermark")


@test("hostile request: one topic named ten thousand times is not described ten thousand times",
      ours_only="Kafka repeats the configs of each")
def repeated(node):
    topic = topic_of(node, partitions=50)
    with unharmed(node), wire.Connection(node.port, timeout=30) as connection:
        names = [{"topic_id": bytes(16), "name": topic}] * 10000
        found = connection.ask("metadata", topics=names, auto_create=False, topic_operations=False)["topics"]
        expect_equal([(one["name"], len(one["partitions"])) for one in found], [(topic, 50)], "what Metadata describes")
        resources = [{"type": 2, "name": topic, "keys": None}] * 10000
        described = connection.ask("describe_configs", resources=resources, synonyms=True, documentation=True)["results"]
        expect_equal([(one["name"], one["error"]) for one in described], [(topic, 0)], "what DescribeConfigs describes")

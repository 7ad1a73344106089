"""What a partition remembers of its producers: asked by Kafka's tools, and read from the files it leaves."""

import re
import shutil
import struct
import time

from harness import ROOT, expect, expect_equal, expect_in, fresh_topic, test, tool
import wire

KNOWS_NOT = 3  # UNKNOWN_TOPIC_OR_PARTITION


def topic_of(connection, **configs):
    name = fresh_topic("producers")
    expect_equal(connection.create_topic(name, 1, configs=configs), 0, "error of CreateTopics")
    return name


def describe(connection, topic, partition=0):
    answer = connection.ask("describe_producers", topics=[{"name": topic, "partitions": [partition]}])
    return answer["topics"][0]["partitions"][0]


@test("DescribeProducers: id, epoch, last sequence and time of each idempotent producer, in order of ids")
def described(node):
    now = int(time.time() * 1000)
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        expect_equal(describe(connection, name)["producers"], [], "producers of an empty partition")
        producers = sorted(connection.init_producer() for _ in range(3))
        for number, one in enumerate(producers):
            for sequence in range(number + 1):
                batch = wire.batch([b"x", b"y"], timestamp=now + sequence,
                                   producer=(one, 0, 2 * sequence))
                expect_equal(connection.produce(name, batch)["error"], 0, "error of Produce")
        expect_equal(connection.produce(name, wire.batch([b"z"]))["error"], 0, "error of Produce")
        seen = describe(connection, name)
        expect_equal((seen["index"], seen["error"]), (0, 0), "index and error")
        wanted = [{"id": one, "epoch": 0, "last_sequence": 2 * number + 1, "last_timestamp": now + number,
                   "coordinator_epoch": -1, "transaction": -1} for number, one in enumerate(producers)]
        expect_equal(sorted(seen["producers"], key=lambda one: one["id"]), wanted, "producers")


@test("DescribeProducers: a topic or partition that is not there answers UNKNOWN_TOPIC_OR_PARTITION")
def unknown(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        for topic, partition in ((fresh_topic("none"), 0), (name, 1), (name, -1)):
            seen = describe(connection, topic, partition)
            expect_equal((seen["error"], seen["producers"]), (KNOWS_NOT, []), f"{topic}-{partition}")


@test("java: kafka-transactions describe-producers shows an idempotent producer")
def tool_describes(node):
    with wire.Connection(node.port) as connection:
        name = topic_of(connection)
        one = connection.init_producer()
        batch = wire.batch([b"x", b"y"], timestamp=1700000000123, producer=(one, 0, 0))
        expect_equal(connection.produce(name, batch)["error"], 0, "error of Produce")
    text = tool("transactions", "--bootstrap-server", node.bootstrap, "describe-producers", "--topic", name, "--partition", "0")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    expect_equal(lines[0], ["ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence", "LastTimestamp",
                            "CurrentTransactionStartOffset"], "head")
    expect_equal(lines[1], [str(one), "0", "-1", "1", "1700000000123", "None"], "producer")


@test("java: kafka-dump-log reads the producer snapshots and epochs of a cleanly stopped node", own_node=True,
      ours_only="it reads the node's own directory, after a clean stop")
def dump_snapshots(node):
    node.start()
    with wire.Connection(node.port) as connection:
        name = topic_of(connection, **{"segment.bytes": 1048576})
        producers = [connection.init_producer() for _ in range(2)]
        for number in range(60):  # 2 x 3 MB
            for producer in producers:
                batch = wire.batch([b"v" * 50000], timestamp=1700000000000 + number, producer=(producer, 0, number))
                expect_equal(connection.produce(name, batch)["error"], 0, "error of Produce")
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    folder = node.log_dir / f"{name}-0"
    bases = sorted(int(path.stem) for path in folder.glob("*.log"))
    snapshots = sorted(folder.glob("*.snapshot"))
    expect(len(bases) > 4, f"6 MB in segments of 1 MiB: {bases}")
    expect_equal([int(path.stem) for path in snapshots], [*bases[1:], 120], "snapshots: one at each roll and at the stop")
    text = tool("dump-log", "--files", ",".join(map(str, snapshots)))
    expect("Exception" not in text, text[:2000])
    rows = re.findall(r"^producerId: (\d+) producerEpoch: (-?\d+) coordinatorEpoch: (-?\d+) currentTxnFirstOffset: (\S+)"
                      r" lastTimestamp: (\d+) firstSequence: (\d+) lastSequence: (\d+) lastOffset: (\d+) offsetDelta: (\d+)",
                      text, re.M)
    expect_equal(len(rows), 2 * len(snapshots), f"rows in {text[:1000]}")
    wanted = [(str(producer), "0", "-1", "OptionalLong.empty", "1700000000059", "59", "59", str(118 + place), "0")
              for place, producer in enumerate(producers)]
    expect_equal(rows[-2:], wanted, "rows of the last one")
    expect_equal((folder / "leader-epoch-checkpoint").read_text(), "0\n1\n0 0\n", "leader epochs")
    expect_equal(struct.unpack_from(">h", snapshots[-1].read_bytes())[0], 1, "version")
    expect_in("baseOffset: 0", tool("dump-log", "--files", folder / f"{0:020}.log"))


@test("java: a consumer of committed records reads a log that Kafka wrote, put into a stopped node", own_node=True,
      ours_only="Kafka's node would want its own metadata of the topic")
def kafkas_log(node):
    golden = ROOT / "test/golden/kafka_log"
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic("kafka-log", 1), 0, "error of CreateTopics")
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    for path in (golden / "data/kafka-log-0").glob("0*"):
        shutil.copy(path, node.log_dir / "kafka-log-0")
    node.start()
    expected = [line.split(" ", 4) for line in (golden / "expected.txt").read_text().splitlines()]
    wanted = [f"Offset:{offset}\t{value}" for kind, offset, _, _, value in (line for line in expected if len(line) == 5)
              if kind == "read_committed"]
    seen = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", "kafka-log", "--partition", "0", "--offset", "30",
                "--isolation-level", "read_committed", "--max-messages", len(wanted), "--timeout-ms", "20000",
                "--formatter-property", "print.offset=true")
    expect_equal(seen.splitlines(), wanted, "records")
    with wire.Connection(node.port) as connection:
        told = [line.split() for line in (golden / "expected.txt").read_text().splitlines() if line.startswith("producer ")]
        fields = [[str(one[name]) for name in ("id", "epoch", "last_sequence", "coordinator_epoch", "transaction")]
                  for one in describe(connection, "kafka-log")["producers"]]
        expect_equal(fields, [line[1:] for line in told], "producers")

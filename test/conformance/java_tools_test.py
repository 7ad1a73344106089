"""Kafka's own command line tools, as people and scripts call them."""

import json
import re
import tempfile
import time

from harness import expect, expect_equal, expect_in, fresh_topic, test, tool, until
import wire


def topics(node, *arguments, **keywords):
    return tool("topics", "--bootstrap-server", node.bootstrap, *arguments, **keywords)


def topic_of(node, partitions=1, **configs):
    name = fresh_topic("java")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions, configs=configs), 0, "error of CreateTopics")
    return name


@test("java: kafka-topics creates, lists, describes, grows and deletes")
def topic_life(node):
    name = fresh_topic("life")
    expect_in(f"Created topic {name}.", topics(node, "--create", "--topic", name, "--partitions", "2", "--replication-factor", "1",
                                               "--config", "retention.ms=3600000"))
    expect_in(name, topics(node, "--list").splitlines())
    lines = [re.sub(r"\s+", " ", line).strip() for line in topics(node, "--describe", "--topic", name).splitlines()]
    match = re.match(rf"Topic: {name} TopicId: (\S{{22}}) PartitionCount: 2 ReplicationFactor: 1 Configs: (\S*)", lines[0])
    expect(match, f"describe begins {lines[0]!r}")
    expect_in("retention.ms=3600000", match.group(2), "Configs")
    for partition, line in enumerate(lines[1:]):
        seen = re.match(rf"Topic: {name} Partition: {partition} Leader: (\d+) Replicas: (\d+) Isr: (\d+)", line)
        expect(seen and len(set(seen.groups())) == 1, f"partition {partition}: {line!r}")
    topics(node, "--alter", "--topic", name, "--partitions", "5")
    expect_in("PartitionCount: 5", topics(node, "--describe", "--topic", name))
    topics(node, "--delete", "--topic", name)
    until(lambda: name not in topics(node, "--list").splitlines(), "the topic is gone from --list")


@test("java: kafka-topics says why it refuses, and does not fail on --if-not-exists")
def topic_refusals(node):
    name = topic_of(node)
    create = ("--create", "--topic", name, "--partitions", "1", "--replication-factor", "1")
    expect_in("already exists", topics(node, *create, status=1))
    topics(node, *create, "--if-not-exists")
    expect_in("replication factor", topics(node, "--create", "--topic", fresh_topic(), "--replication-factor", "9",
                                           "--partitions", "1", status=1).lower())
    expect_in("does not exist", topics(node, "--describe", "--topic", "no-such-topic", status=1))


@test("java: console-producer's lines reach console-consumer --partition, keys and headers too")
def console(node):
    name = topic_of(node)
    tool("console-producer", "--bootstrap-server", node.bootstrap, "--topic", name, "--reader-property", "parse.key=true",
         "--reader-property", "parse.headers=true", input="".join(f"h:{n}\tk{n}\tv{n}\n" for n in range(50)))
    seen = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", name, "--partition", "0",
                "--from-beginning", "--max-messages", "50", "--timeout-ms", "20000", "--formatter-property", "print.key=true",
                "--formatter-property", "print.offset=true", "--formatter-property", "print.headers=true")
    expect_equal(seen.splitlines(), [f"Offset:{n}\th:{n}\tk{n}\tv{n}" for n in range(50)], "records")
    tail = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", name, "--partition", "0", "--offset", "48",
                "--max-messages", "2", "--timeout-ms", "20000")
    expect_equal(tail.splitlines(), ["v48", "v49"], "records from offset 48")


@test("java: the producer's default (idempotent, acks=all) with each codec loses and doubles nothing")
def perf(node):
    name = topic_of(node, partitions=2)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        report = tool("producer-perf", "--topic", name, "--num-records", "4000", "--record-size", "200", "--throughput", "-1",
                      "--producer-props", f"bootstrap.servers={node.bootstrap}", f"compression.type={codec}")
        expect_in("4000 records sent", report)
    with wire.Connection(node.port) as connection:
        ends = [connection.list_offset(name, -1, partition)["offset"] for partition in (0, 1)]
    expect_equal(sum(ends), 20000, f"records in {ends}")


@test("java: kafka-get-offsets answers latest, earliest, max-timestamp, local, tiered and by time")
def get_offsets(node):
    name = topic_of(node)
    base = int(time.time() * 1000) - 60000
    with wire.Connection(node.port) as connection:
        for stamp in (base, base + 5000, base + 2000):
            expect_equal(connection.produce(name, wire.batch([b"x"], timestamp=stamp))["error"], 0, "error of Produce")
    wanted = {"-1": "3", "earliest": "0", "max-timestamp": "1", "-4": "0", "latest-tiered": "", str(base + 1): "1"}
    for at, offset in wanted.items():
        seen = tool("get-offsets", "--bootstrap-server", node.bootstrap, "--topic", name, "--time", at).splitlines()
        expect_equal(seen, [f"{name}:0:{offset}"] if offset else [], f"--time {at}")


@test("java: kafka-broker-api-versions understands every range the broker answers")
def api_versions(node):
    text = tool("api-versions", "--bootstrap-server", node.bootstrap)
    expect_in(f"{node.bootstrap} (id: ", text)
    served = dict(re.findall(r"^\t(\w+)\(\d+\): (\d+ to \d+|\d+) \[usable", text, re.M))
    for name in ("Produce", "Fetch", "ListOffsets", "Metadata", "ApiVersions", "CreateTopics", "DeleteTopics", "InitProducerId",
                 "OffsetForLeaderEpoch", "DescribeConfigs", "CreatePartitions", "DescribeCluster", "DescribeProducers",
                 "DescribeTopicPartitions"):
        expect(name in served, f"{name} is not served: {sorted(served)}")
    with wire.Connection(node.port) as connection:
        answer = connection.ask("api_versions_v0")
    newer = re.findall(r"^\tUNKNOWN\((\d+)\)", text, re.M)
    expect_equal(len(served) + len(newer), len(answer["keys"]), "APIs named")


@test("java: kafka-configs --describe shows a topic's own values, and all of them on --all")
def configs(node):
    name = topic_of(node, **{"max.message.bytes": 123456, "cleanup.policy": "compact"})
    arguments = ("configs", "--bootstrap-server", node.bootstrap, "--describe", "--entity-type", "topics", "--entity-name", name)
    own = tool(*arguments)
    expect_in("max.message.bytes=123456", own)
    expect_in("cleanup.policy=compact", own)
    expect("retention.ms=" not in own, f"a default among the topic's own: {own}")
    every = tool(*arguments, "--all")
    expect_in("retention.ms=604800000", every)
    expect_in("segment.bytes=1073741824", every)


@test("java: kafka-configs --describe shows the broker's values")
def broker_configs(node):
    with wire.Connection(node.port) as connection:
        broker = connection.metadata([])["brokers"][0]["node_id"]
    seen = tool("configs", "--bootstrap-server", node.bootstrap, "--describe", "--entity-type", "brokers", "--entity-name", broker, "--all")
    expect_in(f"node.id={broker}", seen)
    expect_in("log.dirs=", seen)


@test("java: kafka-cluster cluster-id is the id that Metadata and DescribeCluster answer")
def cluster_id(node):
    seen = tool("cluster", "cluster-id", "--bootstrap-server", node.bootstrap)
    with wire.Connection(node.port) as connection:
        wanted = connection.metadata([])["cluster_id"]
        expect_equal(connection.ask("describe_cluster", operations=False)["cluster_id"], wanted, "DescribeCluster")
    expect_equal(seen.strip(), f"Cluster ID: {wanted}", "output")


@test("java: kafka-dump-log reads our segments, offset and time indexes and finds no mismatch", own_node=True,
      ours_only="it reads the node's own directory, after a clean stop")
def dump_log(node):
    node.start()
    name = topic_of(node, **{"segment.bytes": 1048576, "index.interval.bytes": 4096})
    base = 1700000000000
    with wire.Connection(node.port) as connection:
        for number in range(300):
            values = [(f"k{number}".encode(), b"%06d" % (number * 10 + one) + b"z" * 1000) for one in range(10)]
            part = connection.produce(name, wire.batch(values, timestamp=base + number))
            expect_equal((part["error"], part["base_offset"]), (0, number * 10), "error and base offset")
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    folder = node.log_dir / f"{name}-0"
    segments = sorted(folder.glob("*.log"))
    expect(len(segments) >= 3, f"3 MB in segments of 1 MiB: {sorted(path.name for path in folder.iterdir())}")
    text = tool("dump-log", "--deep-iteration", "--print-data-log", "--files", ",".join(map(str, segments)))
    seen = re.findall(r"^\| offset: (\d+) CreateTime: (\d+) .*payload: (\d{6})z", text, re.M)
    expect_equal(seen, [(str(n), str(base + n // 10), f"{n:06d}") for n in range(3000)], "records in the dump")
    expect_equal(re.findall(r"isvalid: (\w+)", text).count("true"), 300, "batches with a valid CRC")
    for kind in ("index", "timeindex"):
        files = sorted(folder.glob(f"*.{kind}"))
        expect_equal(len(files), len(segments), f"{kind} files")
        text = tool("dump-log", "--verify-index-only" if kind == "index" else "--deep-iteration", "--files",
                    ",".join(map(str, files)))
        for complaint in ("Mismatches in", "Index timestamp", "Found ", "Exception", "Indexed offset"):
            expect(complaint not in text, f"{kind}: {text[:2000]}")
        expect(all(path.stat().st_size > 0 for path in files[:-1]), f"an empty {kind} of a rolled segment")


def delete_records_tool(node, *asked, **keywords):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": offset} for topic, offset in asked]}, file)
        file.flush()
        return tool("delete-records", "--bootstrap-server", node.bootstrap, "--offset-json-file", file.name, **keywords)


@test("java: kafka-delete-records tells the new low watermark, and why it refuses")
def delete_records(node):
    some, whole = topic_of(node), topic_of(node)
    with wire.Connection(node.port) as connection:
        for name in (some, whole):
            connection.produce(name, wire.batch([b"%d" % n for n in range(10)]))
    text = delete_records_tool(node, (some, 4), (whole, -1))
    expect_in(f"partition: {some}-0\tlow_watermark: 4", text)
    expect_in(f"partition: {whole}-0\tlow_watermark: 10", text)
    expect_in("OffsetOutOfRangeException", delete_records_tool(node, (some, 11)))
    seen = tool("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", some, "--partition", "0", "--offset", "earliest",
                "--max-messages", "6", "--timeout-ms", "20000")
    expect_equal(seen.splitlines(), [str(n) for n in range(4, 10)], "records")


@test("java: kafka-dump-log reads what retention and DeleteRecords leave", own_node=True,
      ours_only="it reads the node's own directory, after a clean stop")
def dump_after_deletion(node):
    node.start()
    name = topic_of(node, **{"segment.bytes": 1048576, "file.delete.delay.ms": 0})
    with wire.Connection(node.port) as connection:
        for number in range(30):
            connection.produce(name, wire.batch([b"%06d" % (number * 10 + one) + b"z" * 10000 for one in range(10)]))
        expect_equal(connection.delete_records(name, 245), (0, 245), "DeleteRecords")
    folder = node.log_dir / f"{name}-0"
    until(lambda: not list(folder.glob("*.deleted")), "files are gone")
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    segments = sorted(folder.glob("*.log"))
    expect(0 < int(segments[0].stem) <= 245, f"segments: {segments}")
    text = tool("dump-log", "--deep-iteration", "--print-data-log", "--files", ",".join(map(str, segments)))
    seen = [int(value) for value in re.findall(r"^\| offset: \d+ .*payload: (\d{6})z", text, re.M)]
    expect_equal(seen, list(range(int(segments[0].stem), 300)), "records in the dump")
    expect("isvalid: false" not in text, "a CRC is wrong")

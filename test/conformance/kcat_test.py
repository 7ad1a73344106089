"""kcat (librdkafka): the client most people have at hand."""

import json
import time

from harness import expect, expect_equal, expect_in, fresh_topic, need, run, test, until
import wire

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def kcat(node, *arguments, **keywords):
    return run([need("kcat"), "-b", node.bootstrap, "-m", "10", *arguments], **keywords)


def topic_of(node, partitions=1, **configs):
    name = fresh_topic("kcat")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions, configs=configs), 0, "error of CreateTopics")
    return name


def produce_lines(node, topic, lines, *arguments):
    kcat(node, "-P", "-t", topic, *arguments, input="".join(f"{line}\n" for line in lines))


def consume(node, topic, *arguments):
    return kcat(node, "-C", "-q", "-t", topic, "-e", *arguments).splitlines()


@test("kcat: what is produced is consumed, in order, with offsets from 0")
def round_trip(node):
    topic = topic_of(node)
    values = [f"value-{number}" for number in range(1000)]
    produce_lines(node, topic, values)
    expect_equal(consume(node, topic, "-o", "beginning", "-f", "%o %s\\n"),
                 [f"{offset} {value}" for offset, value in enumerate(values)], "records")


@test("kcat: keys, null keys, empty values and tombstones come back as they were")
def keys(node):
    topic = topic_of(node)
    produce_lines(node, topic, ["k1:v1", ":empty key", "k2:", "no delimiter"], "-K:", "-Z")
    rows = [json.loads(line) for line in consume(node, topic, "-J", "-o", "beginning")]
    expect_equal([(row.get("key"), row["payload"]) for row in rows],
                 [("k1", "v1"), (None, "empty key"), ("k2", None), (None, "no delimiter")], "keys and payloads")


@test("kcat: headers come back in order, a repeated and an empty one too")
def headers(node):
    topic = topic_of(node)
    kcat(node, "-P", "-t", topic, "-H", "a=1", "-H", "b=zwei", "-H", "a=3", "-H", "e=", input="x\n")
    row = json.loads(consume(node, topic, "-J", "-o", "beginning")[0])
    expect_equal(row["headers"], ["a", "1", "b", "zwei", "a", "3", "e", ""], "headers")


def codec_test(codec):
    @test(f"kcat: {codec} batches are stored and come back")
    def one(node):
        topic = topic_of(node)
        values = [f"{codec} {number} {'x' * 100}" for number in range(500)]
        produce_lines(node, topic, values, "-z", codec)
        expect_equal(consume(node, topic, "-o", "beginning"), values, "records")
        with wire.Connection(node.port) as connection:
            stored = connection.fetch(topic, 0)["records"]
        # A first batch too small to gain anything stays as it is.
        expect_in(codec, [CODECS[number] for number in wire.codecs_of(stored)], "codecs of the batches in the log")
    return one


for _codec in CODECS:
    globals()[f"codec_{_codec}"] = codec_test(_codec)


@test("kcat: an idempotent producer's records arrive once, in order")
def idempotent(node):
    topic = topic_of(node)
    values = [str(number) for number in range(5000)]
    produce_lines(node, topic, values, "-X", "enable.idempotence=true", "-X", "linger.ms=1", "-X", "batch.num.messages=50")
    expect_equal(consume(node, topic, "-o", "beginning"), values, "records")


@test("kcat: acks 0, 1 and all each store the record")
def acks(node):
    topic = topic_of(node)
    for acks_value in ("0", "1", "all"):
        produce_lines(node, topic, [f"acks {acks_value}"], "-X", f"acks={acks_value}")
    until(lambda: len(consume(node, topic, "-o", "beginning")) == 3, "three records")
    expect_equal(consume(node, topic, "-o", "beginning"), ["acks 0", "acks 1", "acks all"], "records")


@test("kcat: -L names the broker and each partition with leader, replicas and ISR")
def metadata(node):
    topic = topic_of(node, partitions=3)
    text = kcat(node, "-L", "-t", topic)
    expect_in(f"at {node.bootstrap}", text)
    expect_in(f'topic "{topic}" with 3 partitions:', text)
    seen = json.loads(kcat(node, "-L", "-J", "-t", topic))
    broker = seen["brokers"][0]
    expect_equal(broker["name"], node.bootstrap, "advertised address")
    partitions = next(one for one in seen["topics"] if one["topic"] == topic)["partitions"]
    expect_equal([part["partition"] for part in partitions], [0, 1, 2], "partitions")
    for part in partitions:
        expect_equal((part["leader"], part["replicas"], part["isrs"]),
                     (broker["id"], [{"id": broker["id"]}], [{"id": broker["id"]}]), "leader, replicas, ISR")


@test("kcat: producing to a topic that does not exist creates it")
def auto_creation(node):
    topic = fresh_topic("auto")
    kcat(node, "-P", "-t", topic, "-p", "0", input="first\n")
    expect_equal(consume(node, topic, "-p", "0", "-o", "beginning"), ["first"], "records")


@test("kcat: -o reads from the start, from an offset, and from the last n records")
def start_offsets(node):
    topic = topic_of(node)
    produce_lines(node, topic, range(100))
    expect_equal(consume(node, topic, "-o", "beginning", "-c", "2"), ["0", "1"], "-o beginning")
    expect_equal(consume(node, topic, "-o", "97"), ["97", "98", "99"], "-o 97")
    expect_equal(consume(node, topic, "-o", "-10"), [str(number) for number in range(90, 100)], "-o -10")
    expect_equal(consume(node, topic, "-o", "end"), [], "-o end")


def timed(node, topic, stamps):
    with wire.Connection(node.port) as connection:
        for number, stamp in enumerate(stamps):
            part = connection.produce(topic, wire.batch([f"at {number}".encode()], timestamp=stamp))
            expect_equal(part["error"], 0, "error of Produce")


@test("kcat: -o s@T reads from the first record at or after T, e@T stops before it")
def timestamps(node):
    topic = topic_of(node)
    base = int(time.time() * 1000) - 60000
    timed(node, topic, [base, base + 1000, base + 2000, base + 3000])
    expect_equal(consume(node, topic, "-o", f"s@{base + 1500}", "-f", "%T %s\\n"),
                 [f"{base + 2000} at 2", f"{base + 3000} at 3"], "from T")
    expect_equal(consume(node, topic, "-o", f"s@{base}", "-o", f"e@{base + 2000}"), ["at 0", "at 1"], "until T")


@test("kcat: -Q answers the first offset at or after a time, and the ends of the log")
def query(node):
    topic = topic_of(node)
    base = int(time.time() * 1000) - 60000
    timed(node, topic, [base, base + 1000, base + 2000])
    for stamp, offset in [(base - 1, 0), (base + 1, 1), (base + 1000, 1), (-2, 0), (-1, 3)]:
        expect_in(f"{topic} [0] offset {offset}", kcat(node, "-Q", "-t", f"{topic}:0:{stamp}"), f"-Q at {stamp}")


@test("kcat: records carry the producer's time, or the broker's where the topic says so")
def log_append_time(node):
    topic = topic_of(node, **{"message.timestamp.type": "LogAppendTime"})
    before = int(time.time() * 1000)
    timed(node, topic, [before - 5000])
    seen = int(consume(node, topic, "-o", "beginning", "-f", "%T\\n")[0])
    expect(before <= seen <= int(time.time() * 1000), f"{seen} is not the time of the append")


@test("kcat: a record of 900 KB goes through whole")
def large(node):
    topic = topic_of(node)
    value = "x" * 900000
    produce_lines(node, topic, [value])
    expect_equal(consume(node, topic, "-o", "beginning"), [value], "record")


@test("kcat: records with one key stay on one partition, and every partition is consumed")
def partitioning(node):
    topic = topic_of(node, partitions=6)
    produce_lines(node, topic, [f"key{number % 20}:{number}" for number in range(600)], "-K:")
    rows = [line.split() for line in consume(node, topic, "-o", "beginning", "-f", "%p %k %s\\n")]
    expect_equal(sorted(int(value) for _, _, value in rows), list(range(600)), "values")
    homes = {}
    for partition, key, _ in rows:
        homes.setdefault(key, set()).add(partition)
    expect(all(len(partitions) == 1 for partitions in homes.values()), f"a key on two partitions: {homes}")
    expect(len({partition for partition, _, _ in rows}) > 1, "one partition got everything")


@test("kcat: a consumer that waits gets a record as soon as it is produced")
def tailing(node):
    import subprocess
    topic = topic_of(node)
    consumer = subprocess.Popen([need("kcat"), "-b", node.bootstrap, "-C", "-q", "-u", "-t", topic, "-o", "beginning", "-c", "2"],
                                stdout=subprocess.PIPE, text=True)
    try:
        produce_lines(node, topic, ["one"])
        expect_equal(consumer.stdout.readline(), "one\n", "first record")
        produce_lines(node, topic, ["two"])
        expect_equal(consumer.stdout.readline(), "two\n", "second record")
        consumer.wait(10)
    finally:
        consumer.kill()
        consumer.wait()

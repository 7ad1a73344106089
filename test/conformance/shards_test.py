"""A node of several shards: requests whose partitions are of all of them, restarts with another number."""

import concurrent.futures
import time

from harness import Node, expect, expect_equal, expect_in, fresh_topic, need, run, test
import wire

PARTITIONS = 9
KEY = "millrace.shards"


def with_shards(node, count):
    node.settings = [one for one in node.settings if not one.startswith(KEY)] + [f"{KEY}={count}"]
    node.start()


def write(node, name, partition, values, producer, sequence):
    with wire.Connection(node.port) as connection:
        part = connection.produce(name, wire.batch(values, producer=(producer, 0, sequence)), partition)
        expect_equal(part["error"], 0, f"error of partition {partition}")


def filled(connection, size_of):
    """A new topic with one batch in each partition, of a value of `size_of(partition)` bytes."""
    name = fresh_topic("shards")
    expect_equal(connection.create_topic(name, PARTITIONS), 0, "error of CreateTopics")
    for partition in range(PARTITIONS):
        batch = wire.batch([b"v" * size_of(partition)])
        expect_equal(connection.produce(name, batch, partition)["error"], 0, "error of Produce")
    return name


def read(node, name):
    with wire.Connection(node.port) as connection:
        return [connection.read_all(name, partition) for partition in range(PARTITIONS)]


@test("shards: what was acknowledged on 3 shards is there on 2, 1 and 3, after clean stops and kill -9", own_node=True,
      ours_only="Kafka has no shards")
def restarts(node):
    with_shards(node, 3)
    name = fresh_topic("shards")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, PARTITIONS), 0, "error of CreateTopics")
        producer = connection.init_producer()
    batches = 0
    for count, end in ((3, "stop"), (2, "kill"), (1, "kill"), (3, "stop"), (2, "stop")):
        with concurrent.futures.ThreadPoolExecutor(PARTITIONS) as pool:
            list(pool.map(lambda partition: write(node, name, partition, [b"%d-%d" % (partition, batches)] * 10, producer,
                                                  batches * 10), range(PARTITIONS)))
        batches += 1
        before = read(node, name)
        for partition, records in enumerate(before):
            expect_equal(len(records), batches * 10, f"records of partition {partition}")
        if end == "stop":
            expect_equal(node.stop(), 0, "exit status after SIGTERM")
        else:
            node.kill()
        with_shards(node, count)
        expect_equal(read(node, name), before, f"records on {count} shards after {end}")
    expect_in("partitions on 2 shards", node.log_file.read_text(), "log")


@test("shards: kcat writes to and reads from partitions of all shards in one request", own_node=True,
      ours_only="Kafka has no shards")
def with_kcat(node):
    need("kcat")
    with_shards(node, 3)
    name = fresh_topic("shards")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, PARTITIONS), 0, "error of CreateTopics")
    lines = [f"record {number}" for number in range(3000)]
    run(["kcat", "-b", node.bootstrap, "-P", "-t", name, "-X", "partitioner=random"], input="\n".join(lines) + "\n")
    seen = run(["kcat", "-b", node.bootstrap, "-C", "-t", name, "-o", "beginning", "-e", "-q"])
    expect_equal(sorted(seen.split("\n")[:-1]), sorted(lines), "what was read")


@test("shards: a Fetch waits for min_bytes although its limit, shared out, is less than a partition may have", own_node=True,
      ours_only="Kafka has no shards")
def minimum(node):
    with_shards(node, 3)
    with wire.Connection(node.port) as connection:
        name = filled(connection, lambda partition: 100)
        everything = [(name, partition, 0) for partition in range(PARTITIONS)]
        for wait_ms, max_bytes, waits in ((1500, 1 << 20, True), (15_000, 600, False)):
            began = time.monotonic()
            answer = connection.ask("fetch", **wire.fetch_values(everything, max_bytes, wait_ms, min_bytes=100_000))
            took = time.monotonic() - began
            expect_equal(took > 1.4, waits, f"whether it waited with max_bytes={max_bytes} (it took {took:.1f} s)")
            sizes = [len(part["records"] or b"") for topic in answer["topics"] for part in topic["partitions"]]
            expect_equal(min(sizes) > 0, waits, f"whether all partitions have records, of {sizes}")


@test("shards: all shards together stay within a Fetch's limit where the first batch of one does", own_node=True,
      ours_only="Kafka has no shards")
def limit(node):
    with_shards(node, 3)
    with wire.Connection(node.port) as connection:
        name = filled(connection, lambda partition: 5000 if partition == 0 else 1000)
        left = list(range(PARTITIONS))
        while left:
            answer = connection.ask("fetch", **wire.fetch_values([(name, partition, 0) for partition in left], 6000, 1500))
            sizes = {part["index"]: len(part["records"] or b"") for topic in answer["topics"] for part in topic["partitions"]}
            expect(0 < sum(sizes.values()) <= 6000, f"{sizes} with a limit of 6000")
            expect(0 not in left or sizes[0] > 5000, f"the first partition has nothing in {sizes}")
            left = [partition for partition in left if sizes[partition] == 0]


@test("shards: a port in use is refused although both nodes would share theirs", own_node=True, ours_only="Kafka has no shards")
def port_in_use(node):
    with_shards(node, 3)
    other = Node(node.options, [f"{KEY}=3"])
    other.port = node.port
    other.spawn()
    expect(other.process.wait(20) != 0, "the second node ended well")
    expect_in("Address already in use", other.log_tail(), "log of the second node")
    other.wipe()


@test("shards: quotas of connections hold for all shards together", own_node=True, ours_only="Kafka has no shards")
def quotas(node):
    node.settings.append("max.connections.per.ip=20")
    with_shards(node, 3)
    connections = []
    admitted = 0
    for _ in range(40):
        connection = wire.Connection(node.port)
        connections.append(connection)
        try:
            connection.metadata([])
            admitted += 1
        except (OSError, wire.Disconnected):
            pass
    for connection in connections:
        connection.close()
    expect(18 <= admitted <= 20, f"{admitted} of 40 connections were served")

"""What outlives the process: records, topics, producer state, after a clean stop and after kill -9."""

from harness import expect, expect_equal, expect_in, fresh_topic, test
import wire

CONFIGS = {"retention.ms": 3600000, "segment.bytes": 1048576}


def fill(node):
    """A topic with records of an idempotent producer on two partitions; what must be the same afterwards."""
    name = fresh_topic("restart")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, 2, configs=CONFIGS), 0, "error of CreateTopics")
        producer = connection.init_producer()
        for partition in (0, 1):
            for batch in range(30):
                values = [b"%d-%d-%d" % (partition, batch, one) + b"." * 5000 for one in range(10)]
                part = connection.produce(name, wire.batch(values, producer=(producer, 0, batch * 10)), partition)
                expect_equal((part["error"], part["base_offset"]), (0, batch * 10), "error and base offset")
        found = connection.metadata([name])
        return name, producer, {
            "id": found["topics"][0]["topic_id"], "cluster": found["cluster_id"],
            "records": [connection.read_all(name, partition) for partition in (0, 1)],
        }


def compare(node, name, producer, before):
    with wire.Connection(node.port) as connection:
        found = connection.metadata([name])
        expect_equal(found["topics"][0]["topic_id"], before["id"], "topic id")
        expect_equal(found["cluster_id"], before["cluster"], "cluster id")
        answer = connection.ask("describe_configs", resources=[{"type": 2, "name": name, "keys": list(CONFIGS)}], synonyms=False,
                                documentation=False)["results"][0]
        expect_equal({one["name"]: int(one["value"]) for one in answer["configs"]}, CONFIGS, "topic configs")
        for partition in (0, 1):
            expect_equal(connection.read_all(name, partition), before["records"][partition], f"records of partition {partition}")
        repeated = [b"0-29-%d" % one + b"." * 5000 for one in range(10)]
        part = connection.produce(name, wire.batch(repeated, producer=(producer, 0, 290)))
        expect_equal((part["error"], part["base_offset"]), (0, 290), "a batch repeated from before")
        part = connection.produce(name, wire.batch([b"next"], producer=(producer, 0, 300)))
        expect_equal((part["error"], part["base_offset"]), (0, 300), "the next batch of the same producer")
        part = connection.produce(name, wire.batch([b"gap"], producer=(producer, 0, 999)))
        expect_equal(part["error"], 45, "a gap")


@test("restart: after SIGTERM everything is as it was, and no journal is left to replay", own_node=True)
def clean(node):
    node.start()
    name, producer, before = fill(node)
    expect_equal(node.stop(), 0, "exit status after SIGTERM")
    if node.ours:
        expect_in(".kafka_cleanshutdown", {path.name for path in node.log_dir.iterdir()}, "files of the log directory")
    node.start()
    compare(node, name, producer, before)


@test("restart: after kill -9 everything acknowledged is as it was", own_node=True)
def killed(node):
    node.start()
    name, producer, before = fill(node)
    node.kill()
    node.start()
    compare(node, name, producer, before)


@test("restart: a deleted topic stays deleted, one of the same name is new, and its files go", own_node=True)
def deleted(node):
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic("again"), 0, "error of CreateTopics")
        expect_equal(connection.produce("again", wire.batch([b"old"]))["error"], 0, "error of Produce")
        old = connection.metadata(["again"])["topics"][0]["topic_id"]
        expect_equal(connection.ask("delete_topics", names=["again"], timeout_ms=10000)["topics"][0]["error"], 0, "error of DeleteTopics")
    node.kill()
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.metadata(["again"])["topics"][0]["error"], 3, "error of Metadata")
        expect_equal(connection.create_topic("again"), 0, "error of the second CreateTopics")
        expect(connection.metadata(["again"])["topics"][0]["topic_id"] != old, "the topic id came back")
        expect_equal(connection.read_all("again"), [], "records")
        part = connection.produce("again", wire.batch([b"new"]))
        expect_equal((part["error"], part["base_offset"]), (0, 0), "error and base offset")


@test("restart: a second node on the same directory refuses to start and says why", own_node=True,
      ours_only="it reads our log")
def locked(node):
    import subprocess
    node.start()
    second = subprocess.run([str(node.options.binary), "server", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set",
                             f"log.dirs={node.log_dir}"], capture_output=True, text=True, timeout=20, check=False)
    expect(second.returncode != 0, "it started")
    expect_in(str(node.log_dir), second.stdout + second.stderr, "message")
    expect(node.alive(), "the first node died")


@test("restart: with the metadata gone and the records there it refuses to start, and removes nothing", own_node=True,
      ours_only="its metadata lies elsewhere")
def forgotten(node):
    import subprocess
    node.start()
    name, producer, before = fill(node)
    expect_equal(node.stop(), 0, "exit status")
    metadata = node.log_dir / "millrace-state"
    metadata.rename(node.folder / "elsewhere")
    for _ in range(2):  # What starts it again and again gets no further.
        refused = subprocess.run([str(node.options.binary), "server", "--set", f"listeners=PLAINTEXT://127.0.0.1:{node.port}",
                                  "--set", f"log.dirs={node.log_dir}"], capture_output=True, text=True, timeout=20, check=False)
        expect(refused.returncode != 0, "it started")
        expect_in("metadata.log.dir", refused.stdout + refused.stderr, "message")
        expect((node.log_dir / f"{name}-0").is_dir(), "the records were removed")
    if metadata.exists():
        metadata.rename(node.folder / "new")
    (node.folder / "elsewhere").rename(metadata)
    node.start()
    compare(node, name, producer, before)

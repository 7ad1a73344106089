"""deploy/docker-compose.yml with the image of the binary under test: clients outside and inside, and a leader that is killed."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/chaos")

from checker import Load
from containers import FIRST_PORT, Compose, compose, without_io_uring
from go_program import go_program
from harness import Failure, expect, expect_equal, expect_in, fresh_topic, need, run, test, until

NODE = Compose
RECORDS = int(os.environ.get("MILLRACE_COMPOSE_RECORDS", "100000"))


@test("compose: three containers become healthy, run as appuser, and name one controller")
def healthy(cluster):
    for one in cluster:
        until(lambda one=one: one.health() == "healthy", f"{one.name} is healthy to Docker", 60)
        expect_equal(one.execute("id", "-un").strip(), "appuser", "user")
        expect_equal(one.execute("millrace", "health").strip(), "ready", "millrace health")
        expect_equal(sorted(peer["id"] for peer in one.status()["brokers"]), [1, 2, 3], "brokers")
    expect(cluster.controller() in cluster.members, "no controller")


@test("compose: kcat outside and inside the network reach every partition, each by the addresses of its own listener")
def both_sides(cluster):
    topic = fresh_topic("sides")
    cluster.create_topic(topic, 6)
    outside = run([need("kcat"), "-b", cluster.bootstrap, "-L", "-t", topic])
    inside = cluster.inside("-b", "kafka-2:19092", "-L", "-t", topic)
    for one in cluster:
        expect_in(f"broker {one.id} at localhost:{one.port}", outside, "kcat -L outside")
        expect_in(f"broker {one.id} at kafka-{one.id}:19092", inside, "kcat -L inside")
    values = [f"outside-{number}" for number in range(600)] + [f"inside-{number}" for number in range(600)]
    run(["kcat", "-b", cluster.bootstrap, "-P", "-t", topic, "-X", "enable.idempotence=true"], input="\n".join(values[:600]))
    cluster.inside("-b", "kafka-1:19092", "-P", "-t", topic, "-X", "enable.idempotence=true", input="\n".join(values[600:]))
    for seen in (run(["kcat", "-b", cluster.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q"]),
                 cluster.inside("-b", "kafka-3:19092", "-C", "-t", topic, "-o", "beginning", "-e", "-q")):
        expect_equal(sorted(seen.split()), sorted(values), "values")


@test("compose: franz-go outside and inside the network produces with each codec and reads it all back")
def franz_go(cluster):
    # Not linked to the C library: the image's need not be this machine's.
    program = go_program("franz_go")
    for side, run_it in (("outside", lambda *words: run([program, cluster.bootstrap, *words])),
                         ("inside", lambda *words: cluster.program_inside(program, "kafka-2:19092", *words))):
        topic = fresh_topic(side)
        cluster.create_topic(topic, 1)
        cluster.until_in_sync(topic)
        expect_equal(json.loads(run_it("round-trip", topic)), {codec: [] for codec in ("gzip", "lz4", "none", "snappy", "zstd")},
                     f"what did not come back as it was sent, {side}")


@test("compose: the scripts of Kafka's image work in ours")
def scripts(cluster):
    one = cluster.member(1)
    server = ("--bootstrap-server", "kafka-2:19092")
    topic = fresh_topic("scripts")
    expect_in(f"Created topic {topic}.", one.execute("/opt/kafka/bin/kafka-topics.sh", *server, "--create", "--topic", topic,
                                                     "--partitions", "3", "--replication-factor", "3"))
    expect_in(topic, one.execute("kafka-topics.sh", *server, "--list").splitlines())
    described = one.execute("kafka-topics", *server, "--describe", "--topic", topic)
    expect_in("ReplicationFactor: 3", described)
    entity = ("--entity-type", "topics", "--entity-name", topic)
    expect_in(f"Completed updating config for topic {topic}.",
              one.execute("kafka-configs.sh", *server, "--alter", *entity, "--add-config", "retention.ms=3600000"))
    until(lambda: "retention.ms=3600000" in one.execute("/opt/kafka/bin/kafka-configs.sh", *server, "--describe", *entity),
          "the configuration is told")
    run(["docker", "exec", "-i", one.name, "kafka-console-producer.sh", *server, "--topic", topic], input="a\nb\nc\n")
    seen = one.execute("kafka-console-consumer.sh", *server, "--topic", topic, "--from-beginning", "--timeout-ms", "3000")
    expect_equal(sorted(seen.split()), ["a", "b", "c"], "records")
    ends = one.execute("kafka-get-offsets.sh", *server, "--topic", topic)
    expect_equal(sum(int(line.rsplit(":", 1)[1]) for line in ends.split()), 3, "records by offsets")
    expect_in("Produce(0)", one.execute("kafka-broker-api-versions.sh", *server))
    expect_in("cluster.id=4L6g3nShT-eMCtK--X86sw",
              one.execute("kafka-storage.sh", "info", "-c", "/opt/kafka/config/server.properties"))


@test("compose: a file for apache/kafka with another image's name: a controller apart, mounted settings, Kafka's scripts in its services")
def apache_file(cluster):
    port = FIRST_PORT + 20
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # For the image's user.
        pathlib.Path(folder, "server.properties").write_text("num.partitions=7\nlog.dirs=/proc/nowhere\n")
        file = pathlib.Path(__file__).with_name("apache_kafka.yml")
        do = functools.partial(compose, f"{cluster.name}-apache", [file], {"PORT": str(port), "SETTINGS": folder})
        tool = functools.partial(do, "exec", "-T", "broker-1")
        server = ("--bootstrap-server", "broker-1:19092")
        try:
            do("up", "-d")  # Waits for the health check, before the service that makes the topic.
            bootstrap = f"localhost:{port}"
            until(lambda: 'topic "orders" with 4 partitions' in run([need("kcat"), "-b", bootstrap, "-L"], status=None),
                  "the topic is made", 30)
            tool("/opt/kafka/bin/kafka-topics.sh", *server, "--create", "--topic", "default")
            expect_in('topic "default" with 7 partitions', run(["kcat", "-b", bootstrap, "-L", "-t", "default"]), "mounted settings")
            values = [f"value-{number}" for number in range(100)]
            run(["kcat", "-b", bootstrap, "-P", "-t", "orders", "-X", "enable.idempotence=true"], input="\n".join(values))
            do("restart", "-t", "30", "broker-1")
            seen = tool("/opt/kafka/bin/kafka-console-consumer.sh", *server, "--topic", "orders", "--group", "billing", "--from-beginning",
                        "--max-messages", "100", "--timeout-ms", "30000")
            expect_equal(sorted(seen.split()), sorted(values), "records after a restart")
        except Failure as problem:
            raise Failure(f"{problem}\n{do('ps', '-a')}\n{do('logs', '--no-color')[-3000:]}") from problem
        finally:
            do("down", "-v", "-t", "30")


@test("compose: a container that is forbidden io_uring says so and serves with epoll")
def forbidden_io_uring(cluster):
    with without_io_uring(cluster.options) as name:
        until(lambda: run(["docker", "exec", name, "millrace", "health"], status=None).strip() == "ready", f"{name} is ready", 30)
        said = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False)
        expect_in("using epoll", said.stdout + said.stderr, "log")
        run(["docker", "exec", "-i", name, "kafka-console-producer.sh", "--bootstrap-server", "localhost:9092", "--topic", "t"],
            input="a\nb\n")
        seen = run(["docker", "exec", name, "kafka-console-consumer.sh", "--bootstrap-server", "localhost:9092", "--topic", "t",
                    "--from-beginning", "--timeout-ms", "2000"])
        expect_equal(seen.split(), ["a", "b"], "records")


@test(f"compose: docker kill of the leader in the middle of {RECORDS} idempotent records loses and doubles nothing")
def kill_leader(cluster):
    topic = fresh_topic("kill")
    cluster.create_topic(topic, 1)
    cluster.until_in_sync(topic)
    with Load(cluster.bootstrap, topic, rate=10000, count=RECORDS) as load:
        load.await_acknowledged(RECORDS // 5)
        victim = cluster.leader(topic)
        victim.kill()
        cluster.until_led(topic, 0, other_than=victim)
        load.finish()
    expect_equal(load.check(), RECORDS, "records in the log")
    print(f"      leader killed: {load.gap_ms[0]:.0f} ms without an acknowledgement", flush=True)
    victim.start()
    cluster.until_in_sync(topic)
    expect_equal(load.check(), RECORDS, "records in the log, the killed one back")

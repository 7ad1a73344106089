"""How a node starts, refuses to start, and stops."""

import contextlib
import pathlib
import re
import subprocess
import tempfile
import time

from harness import expect, expect_equal, expect_in, free_port, test, until
import wire

OURS = "it is our command line"
# docs/performance.md has the measured figures; these are the promises, with room for a busy machine.
IDLE_RSS_KIB_MAX = 50 * 1024


def server(node, *arguments, cwd=None, seconds=20):
    """Runs `millrace server` to its end, for starts that must fail: (exit status, what it said)."""
    done = subprocess.run([str(node.options.binary), "server", *arguments], capture_output=True, text=True, timeout=seconds,
                          cwd=cwd or node.folder, check=False)
    return done.returncode, done.stdout + done.stderr


class Started:
    """`millrace server` with exactly these arguments, in an empty directory."""

    def __init__(self, node, *arguments, under=()):
        """`under` are the words in front of the command."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="start-", dir=node.folder))
        self.log = self.folder / "out.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*under, str(node.options.binary), "server", *map(str, arguments)], cwd=self.folder,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, text):
        return until(lambda: text in self.said() or self.process.poll() is not None, f"{text!r} in {self.said()!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def settings(port, *more):
    words = []
    for setting in (f"listeners=PLAINTEXT://127.0.0.1:{port}", *more):
        words += ["--set", setting]
    return words


@test("start: without a configuration the data lies in the current directory, and a banner says what to copy", own_node=True,
      ours_only=OURS)
def zero_config(node):
    port = free_port()
    with Started(node, *settings(port)) as started:
        started.wait_for("bootstrap.servers")
        expect_in(f"127.0.0.1:{port}", started.said(), "banner")
        expect((started.folder / "millrace-data/meta.properties").exists(), f"no formatted millrace-data: {started.said()}")
        with wire.Connection(port) as connection:
            expect_equal(connection.metadata([])["brokers"][0]["port"], port, "advertised port")


@test("start: the first request of all creates a topic", own_node=True)
def first_request(node):
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic("first"), 0, "error of CreateTopics")


@test("start: an idle node takes less than 50 MB", own_node=True, ours_only=OURS)
def idle_memory(node):
    node.start()
    with wire.Connection(node.port) as connection:
        expect(connection.metadata([])["brokers"], "a broker")
    expect(node.rss_kib() < IDLE_RSS_KIB_MAX, f"{node.rss_kib()} KiB")


@test("start: as many connections as the system lets the process have, whatever its shell allows", own_node=True, ours_only=OURS)
def descriptors(node):
    port = free_port()
    shell = ("bash", "-c", 'ulimit -Sn 200; exec "$@"', "bash")
    with Started(node, *settings(port), under=shell) as started, contextlib.ExitStack() as connections:
        started.wait_for("bootstrap.servers")
        for _ in range(400):
            last = connections.enter_context(wire.Connection(port))
        expect(last.metadata([])["brokers"], "a broker")


@test("start: a bad value stops it, naming key, value and what is accepted", own_node=True, ours_only=OURS)
def bad_values(node):
    number = "whole number"
    for key, value, accepted in (("num.partitions", "many", number), ("log.segment.bytes", "-5", number),
                                 ("process.roles", "waiter", "broker"), ("log.retention.hours", "1.5", number),
                                 ("advertised.listeners", "PLAINTEXT//nowhere", "HOST:PORT"), ("compression.type", "rar", "zstd")):
        status, said = server(node, *settings(free_port()), "--set", f"{key}={value}")
        expect(status != 0, f"{key}={value} started")
        for part in (key, value, accepted):
            expect_in(part, said, f"message for {key}={value}")


@test("start: a bad combination stops it, naming both keys", own_node=True, ours_only=OURS)
def bad_combination(node):
    status, said = server(node, *settings(free_port(), "node.id=3", "broker.id=4"))
    expect(status != 0, "it started")
    expect_in("node.id", said)
    expect_in("broker.id", said)


@test("start: a key nobody knows is a warning with the nearest name, and with --strict the end", own_node=True, ours_only=OURS)
def unknown_key(node):
    port = free_port()
    with Started(node, *settings(port, "num.partition=3")) as started:
        started.wait_for("bootstrap.servers")
        expect_in("num.partition", started.said())
        expect_in("num.partitions", started.said())
    status, said = server(node, *settings(free_port()), "--set", "num.partition=3", "--strict")
    expect(status != 0, "--strict started")
    expect_in("num.partitions", said)


@test("start: a key that Kafka knows and we do not need is taken, with a line that says what we do instead", own_node=True,
      ours_only=OURS)
def needless_key(node):
    port = free_port()
    with Started(node, *settings(port, "num.network.threads=8", "zookeeper.connect=zk:2181")) as started:
        started.wait_for("bootstrap.servers")
        expect_in("num.network.threads", started.said())
        expect_in("zookeeper.connect", started.said())


@test("start: a port that is taken stops it with the address", own_node=True, ours_only=OURS)
def port_taken(node):
    node.start()
    status, said = server(node, *settings(node.port), "--set", f"log.dirs={node.folder}/other")
    expect(status != 0, "it started")
    expect_in(str(node.port), said)


@test("start: storage format makes a directory the server takes, with the cluster id it was given", own_node=True, ours_only=OURS)
def storage_format(node):
    port, controller = free_port(), free_port()
    config = node.folder / "server.properties"
    config.write_text("process.roles=broker,controller\nnode.id=7\ncontroller.listener.names=CONTROLLER\n"
                      f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
                      f"controller.quorum.voters=7@127.0.0.1:{controller}\nlog.dirs={node.folder}/formatted\n")
    cluster = "MkU3OEVBNTcwNTJENDM2Qk"

    def form(*more):
        done = subprocess.run([str(node.options.binary), "storage", "format", "-t", cluster, "-c", str(config), *more],
                              capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout + done.stderr

    status, said = form()
    expect_equal(status, 0, f"exit status of format: {said}")
    meta = (node.folder / "formatted/meta.properties").read_text()
    expect_in(f"cluster.id={cluster}", meta, "meta.properties")
    expect_in("node.id=7", meta, "meta.properties")
    expect(form()[0] != 0, "a formatted directory was formatted again")
    expect_equal(form("--ignore-formatted")[0], 0, "exit status with --ignore-formatted")
    with Started(node, config) as started:
        started.wait_for("bootstrap.servers")
        with wire.Connection(port) as connection:
            found = connection.metadata([])
            expect_equal((found["cluster_id"], found["brokers"][0]["node_id"]), (cluster, 7), "cluster id and node id")


@test("start: the first produce is accepted 100 ms after the process began, or little later on a busy machine", own_node=True,
      ours_only=OURS)
def quick(node):
    began = time.monotonic()
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic("quick"), 0, "error of CreateTopics")
        expect_equal(connection.produce("quick", wire.batch([b"x"]))["error"], 0, "error of Produce")
    took = time.monotonic() - began
    expect(took < 2, f"{took:.2f} s")  # The figure is measured in test/bench; here only what would be a blunder.


@test("start: SIGTERM with idle and busy connections open ends the process with 0", own_node=True, ours_only=OURS)
def stops(node):
    node.start()
    topic = "stopping"
    with wire.Connection(node.port) as idle, wire.Connection(node.port) as waiting:
        expect_equal(idle.create_topic(topic), 0, "error of CreateTopics")
        waiting.send(wire.encode("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=60000)))
        began = time.monotonic()
        expect_equal(node.stop(), 0, "exit status")
        expect(time.monotonic() - began < 5, f"it took {time.monotonic() - began:.1f} s: the long poll should be answered at once")
        expect(re.search(r"stopp", node.log_tail()), f"the last line of the log: {node.log_tail()[-200:]!r}")

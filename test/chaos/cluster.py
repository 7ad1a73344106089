"""Several nodes of one cluster as local processes, for tests that end some of them.

    from cluster import cluster_of
    NODE = cluster_of(3)                      # what the tests of this file are given

    @test("...")
    def one(cluster):
        leader = cluster.leader(topic, 0)     # a Member
        leader.kill()                         # kill -9; also stop(), pause(), resume(), restart()
        cluster.until_led(topic, 0, other_than=leader)
        leader.start()
        cluster.await_ready()

A Member is a Node of the harness (port, bootstrap, kill, stop, log_tail) and knows its admin endpoint (status(), ready()).
Every member is broker and controller (roles="broker,controller"), formatted for one cluster id before its first start.
"""

import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness import START_SECONDS_MAX, Failure, Node, answers, expect, free_port, run, until
import wire

CLUSTER_ID = "Y2x1c3Rlci1vZi10ZXN0cw"
READY_SECONDS_MAX = 40  # From nothing to a cluster whose nodes all serve, on a busy machine.


class Admin:
    """The admin endpoint of a node with a host and an admin_port."""

    def page(self, path, timeout=2):
        """(status, text) of a page of the admin endpoint; (None, why) when it cannot be reached."""
        link = http.client.HTTPConnection(self.host, self.admin_port, timeout=timeout)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as problem:
            return None, str(problem)
        finally:
            link.close()

    def ready(self):
        return self.page("/readyz")[0] == 200

    def status(self):
        status, text = self.page("/status")
        return json.loads(text) if status == 200 else None

    def metric(self, name):
        """The sum over all labels, unless `name` says them; None when there is no such metric."""
        status, text = self.page("/metrics")
        values = [float(line.rsplit(" ", 1)[1]) for line in (text if status == 200 else "").splitlines()
                  if name in (line.rsplit(" ", 1)[0], line.split("{")[0].split(" ")[0])]
        return sum(values) if values else None


class Member(Admin, Node):
    """One node of a cluster."""

    def __init__(self, cluster, number, roles, settings):
        super().__init__(cluster.options)
        self.cluster = cluster
        self.id = number
        self.roles = roles
        self.folder.rmdir()
        self.folder = cluster.folder / str(number)
        self.folder.mkdir()
        self.controller_port = free_port()
        self.admin_port = free_port()
        self.extra = list(settings)
        self.process = None
        self.paused = False

    def configure(self):
        """Writes server.properties, and formats; once, before the first start."""
        broker = "broker" in self.roles
        controller = "controller" in self.roles
        listeners = [*([f"PLAINTEXT://{self.bootstrap}"] if broker else []),
                     *([f"CONTROLLER://{self.host}:{self.controller_port}"] if controller else [])]
        lines = {"process.roles": self.roles, "node.id": self.id, "listeners": ",".join(listeners),
                 "controller.listener.names": "CONTROLLER",
                 "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                 **self.cluster.quorum(),
                 "log.dirs": self.log_dir, "millrace.admin.listeners": f"{self.host}:{self.admin_port}"}
        if broker:
            lines["advertised.listeners"] = f"PLAINTEXT://{self.bootstrap}"
            lines["inter.broker.listener.name"] = "PLAINTEXT"
        lines.update(setting.split("=", 1) for setting in [*self.cluster.settings, *self.extra])
        self.config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        run([self.options.binary, "storage", "format", "-t", CLUSTER_ID, "-c", self.config, "--ignore-formatted",
             *self.cluster.format_flags(self)])

    @property
    def config(self):
        return self.folder / "server.properties"

    def formatted(self, name="meta.properties"):
        """A file of its metadata directory."""
        return pathlib.Path(self.log_dir) / name

    @property
    def directory_id(self):
        return re.search(r"^directory\.id=(\S+)$", self.formatted().read_text(), re.M).group(1)

    def spawn(self):
        expect(self.options.binary.exists(), f"{self.options.binary} is not built")
        if not self.config.exists():
            self.configure()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.prefix(), str(self.options.binary), "server", str(self.config)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        self.pid = self.process.pid

    def prefix(self):
        """What the node's command begins with: `ip netns exec` replaces itself, so the pid is the node's."""
        return []

    def await_ready(self, seconds=START_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not self.ready():
            if self.process.poll() is not None:
                raise Failure(f"node {self.id} ended with status {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"node {self.id} was not ready within {seconds} s: {self.page('/readyz')}: {self.log_tail()}")
            time.sleep(0.01)

    def start(self):
        """Starts the process, and waits until its admin endpoint says that it serves."""
        self.spawn()
        self.await_ready()

    def restart(self):
        self.stop()
        self.start()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def said(self):
        """Its log since it was made."""
        return self.log_file.read_text(errors="replace")

    def kill(self):
        if self.paused:
            self.resume()  # A stopped process dies too, but not before it is continued on every kernel.
        super().kill()

    def stop(self):
        if self.process is None:
            return 0
        if self.paused:
            self.resume()
        return super().stop()

    def await_closed(self):
        for port in (self.port, self.admin_port, self.controller_port):
            until(lambda port=port: not answers(port, self.host), f"port {port} of node {self.id} is closed after its end")

    def pause(self):
        """SIGSTOP: it is silent, and its sockets stay."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)
        self.paused = False


class View:
    """What a cluster is doing, asked of whoever answers. Who inherits it has `members`, each with an id, a host and a port."""

    def __iter__(self):
        return iter(self.members)

    def member(self, number):
        return self.members[number - 1]

    def living(self):
        return [one for one in self.members if one.alive() and not one.paused]

    def connection(self):
        """To some broker that answers."""
        for one in self.living():
            with contextlib.suppress(OSError):
                return wire.Connection(one.port, host=one.host)
        raise Failure("no node answers")

    def create_topic(self, name, partitions=1, replication_factor=3, configs=None):
        settings = [{"name": key, "value": str(value)} for key, value in (configs or {}).items()]
        topic = {"name": name, "partitions": partitions, "replication_factor": replication_factor, "assignments": [],
                 "configs": settings}
        with self.connection() as connection:
            answer = connection.ask("create_topics", topics=[topic], timeout_ms=10000, validate_only=False)["topics"][0]
        expect(answer["error"] == 0, f"CreateTopics {name}: error {answer['error']}: {answer['message']}")
        until(lambda: all(self.partition(name, one)["leader"] >= 0 for one in range(partitions)), f"{name} is led", 20)

    def partition(self, topic, partition=0):
        """Of the metadata of some node: {"leader": id, "replicas": [...], "isr": [...], ...}."""
        with contextlib.suppress(OSError, wire.Disconnected), self.connection() as connection:
            for found in connection.metadata([topic])["topics"]:
                for one in found["partitions"]:
                    if one["index"] == partition:
                        return one
        return {"leader": -1, "replicas": [], "isr": []}

    def leader(self, topic, partition=0):
        number = until(lambda: max(self.partition(topic, partition)["leader"], 0), f"{topic}-{partition} is led", 20)
        return self.member(number)

    def followers(self, topic, partition=0):
        described = self.partition(topic, partition)
        return [self.member(one) for one in described["replicas"] if one != described["leader"]]

    def until_led(self, topic, partition=0, other_than=None, seconds=20):
        """The new leader."""
        def led():
            number = self.partition(topic, partition)["leader"]
            return number if number > 0 and (other_than is None or number != other_than.id) else 0
        return self.member(until(led, f"{topic}-{partition} is led by another node", seconds))

    def lead_again(self, topic, partition=0, seconds=20):
        """Gives the partition back to its preferred leader, which is in sync."""
        preferred = self.partition(topic, partition)["replicas"][0]

        def leads():
            with contextlib.suppress(OSError, wire.Disconnected), self.connection() as connection:
                connection.ask("elect_leaders", type=0, topics=[{"name": topic, "partitions": [partition]}], timeout_ms=5000)
            return self.partition(topic, partition)["leader"] == preferred
        until(leads, f"{topic}-{partition} is led by {preferred} again", seconds)

    def until_in_sync(self, topic, partitions=1, count=3, seconds=60):
        until(lambda: all(len(self.partition(topic, one)["isr"]) == count for one in range(partitions)),
              f"{topic} has {count} replicas in sync", seconds)

    def controller(self, seconds=20):
        """The member whose controller is active, as the others see it."""
        def active():
            ids = [status["controller_id"] for one in self.living() if (status := one.status())]
            return ids[0] if ids and ids[0] and len(set(ids)) == 1 else 0
        return self.member(until(active, "all living nodes name one controller", seconds))


class Cluster(View):
    """Looks like a Node to the harness: one file's tests share one, or each has its own."""

    ours = True
    host = "127.0.0.1"
    member_of = Member
    rounds = 2  # Of killing each one in turn.

    def __init__(self, options, settings=(), nodes=3, roles="broker,controller"):
        self.options = options
        self.settings = ["default.replication.factor=3", "min.insync.replicas=2", *settings]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-cluster-"))
        self.pid = None
        self.flags = []  # Of `millrace storage format`.
        kinds = [roles] * nodes if isinstance(roles, str) else list(roles)
        self.members = [self.member_of(self, number + 1, kind, ()) for number, kind in enumerate(kinds)]

    def quorum(self):
        """Settings that say who the controllers are."""
        return {"controller.quorum.voters": self.voters()}

    def format_flags(self, _member):
        return self.flags

    def voters(self):
        return ",".join(f"{one.id}@{one.host}:{one.controller_port}" for one in self.members if "controller" in one.roles)

    @property
    def bootstrap(self):
        return ",".join(one.bootstrap for one in self.members if "broker" in one.roles)

    @property
    def port(self):
        """Of some broker that answers."""
        return next(one for one in self.living() if "broker" in one.roles).port

    # The life of all.

    def start(self):
        for one in self.members:
            if not one.alive():
                one.spawn()
        self.pid = self.members[0].pid
        self.await_ready()

    def await_ready(self, seconds=READY_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        for one in self.living():
            one.await_ready(max(1, deadline - time.monotonic()))

    def kill(self):
        """kill -9 of all at once."""
        for one in self.members:
            if one.alive():
                one.process.send_signal(signal.SIGKILL)
        for one in self.members:
            if one.process is not None:
                one.process.wait()
                one.await_closed()

    def stop(self):
        """SIGTERM to all at once; the worst exit status."""
        for one in self.members:
            if one.alive():
                if one.paused:
                    one.resume()
                one.process.terminate()
        return max((one.stop() for one in self.members if one.process is not None), key=abs, default=0)

    def alive(self):
        return all(one.alive() for one in self.members)

    def end(self):
        return "; ".join(f"node {one.id}: {one.end()}" for one in self.members if not one.alive())

    @property
    def log_file(self):
        """All logs behind each other: what the harness keeps of a failure."""
        together = self.folder / "all.log"
        with open(together, "w", encoding="utf-8") as out:
            for one in self.members:
                if one.log_file.exists():
                    out.write(f"=== node {one.id}\n{one.log_file.read_text(errors='replace')}\n")
        return together

    def log_tail(self):
        return "\n".join(f"=== node {one.id}\n{one.log_tail()[-1200:]}" for one in self.members)

    def wipe(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.wipe()


class DynamicCluster(Cluster):
    """Its quorum begins with the first node; other controllers are found through the bootstrap servers, and are to be added."""

    def quorum(self):
        return {"controller.quorum.bootstrap.servers":
                ",".join(f"{one.host}:{one.controller_port}" for one in self.members if "controller" in one.roles)}

    def format_flags(self, member):
        if "controller" not in member.roles:
            return self.flags
        return [*self.flags, "--standalone" if member is self.members[0] else "--no-initial-controllers"]


def cluster_of(nodes=3, roles="broker,controller"):
    """For a suite's NODE."""
    return functools.partial(Cluster, nodes=nodes, roles=roles)

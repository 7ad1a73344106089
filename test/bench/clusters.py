"""The two clusters under measurement, of three nodes or of one: started, looked at by their processes, stopped by their own ids."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import brokers

NODES = 3
READY_SECONDS_MAX = 60
GONE_SECONDS_MAX = 300  # Whoever has many partitions says something of each.


def exists(pid):
    """A process that has not ended; who ended and was not waited for yet has."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Cluster:
    """Nodes that are brokers and controllers, with ids from 1 on; clients of node i are at port_of(i). After start(), `pids` are
    their processes in this order."""

    def __init__(self, name, port, folder, load, nodes=NODES):
        self.name, self.port, self.folder, self.load, self.nodes = name, port, pathlib.Path(folder), load, nodes
        self.pids = []
        self.children = {}  # Processes by node id, of those that are ours to wait for.
        self.idle_mb = []

    def port_of(self, node):
        return self.port + node - 1

    def folder_of(self, node):
        return self.folder / str(node)

    def log_of(self, node):
        raise NotImplementedError

    def _command(self, node):
        """What starts a node that has been formatted."""
        raise NotImplementedError

    def spawn(self, node):
        """Starts a node, again or for the first time, and does not wait for it."""
        with open(self.log_of(node), "ab") as log:
            self.children[node] = subprocess.Popen(self._command(node), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                   cwd=self.folder_of(node))
        self.pids[node - 1] = self.children[node].pid

    def end(self, node, how=signal.SIGTERM):
        """Ends a node, unless it has ended, and waits until it is gone, and its listener too."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[node - 1], how)
        self._await_gone(node)
        # The kernel takes io_uring's files apart after the process has gone: its listener answers until then.
        while self.listens(node):
            time.sleep(0.001)

    def _await_gone(self, node):
        if node in self.children:
            self.children.pop(node).wait(GONE_SECONDS_MAX)
            return
        until = time.monotonic() + GONE_SECONDS_MAX
        while exists(self.pids[node - 1]):
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name}: node {node} does not end")
            time.sleep(0.002)

    def listens(self, node):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port_of(node))) == 0

    def set(self, node, key, value):
        """A setting of a node, from its next start on."""
        path = self.folder_of(node) / "server.properties"
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(key + "=")]
        path.write_text("\n".join([*lines, f"{key}={value}"]) + "\n", encoding="utf-8")

    def _stop_children(self):
        for child in self.children.values():
            child.send_signal(signal.SIGTERM)
        for child in self.children.values():
            try:
                child.wait(brokers.STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children = {}

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{self.port + node}" for node in range(self.nodes))

    def cpu_seconds(self):
        total = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, field="VmRSS"):
        """Of each node."""
        found = []
        for pid in self.pids:
            for line in open(f"/proc/{pid}/status", encoding="ascii"):
                if line.startswith(field + ":"):
                    found.append(int(line.split()[1]) / 1000)
        return found

    def pin(self, cores):
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    os.sched_setaffinity(int(task), cores)
                except ProcessLookupError:
                    pass  # A helper thread that has just ended.

    def wait_until_served(self, topic):
        """A topic with a replica on each node accepts a produce of each of its partitions."""
        words = [self.load, "--port", str(self.port), "--topic", topic, "--partitions", "6", "--replication-factor",
                 str(self.nodes), "--record-bytes", "100", "--batch-records", "1", "--fill", "1"]
        give_up = time.monotonic() + READY_SECONDS_MAX
        while subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120).returncode != 0:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{self.name} does not serve {self.nodes} replicas: see {self.folder}")


class Millrace(Cluster):
    def __init__(self, name, port, folder, load, binary, settings=(), nodes=NODES):
        super().__init__(name, port, folder, load, nodes)
        self.binary, self.settings = binary, settings

    def log_of(self, node):
        return self.folder_of(node) / "node.log"

    def admin_of(self, node):
        """The port of its admin endpoint."""
        return self.port + 200 + node

    def _command(self, node):
        return [str(self.binary), "server", str(self.folder_of(node) / "server.properties")]

    def _format(self, node):
        folder = self.folder_of(node)
        folder.mkdir(parents=True)
        voters = ",".join(f"{other}@127.0.0.1:{self.port + 100 + other}" for other in range(1, self.nodes + 1))
        settings = [f"node.id={node}", "process.roles=broker,controller",
                    f"listeners=PLAINTEXT://127.0.0.1:{self.port_of(node)},CONTROLLER://127.0.0.1:{self.port + 100 + node}",
                    "controller.listener.names=CONTROLLER", f"controller.quorum.voters={voters}",
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    f"millrace.admin.listeners=127.0.0.1:{self.admin_of(node)}", f"log.dirs={folder}/data", *self.settings]
        properties = folder / "server.properties"
        properties.write_text("\n".join(settings) + "\n", encoding="utf-8")
        subprocess.run([str(self.binary), "storage", "format", "-t", "bWlsbHJhY2UtYmVuY2gtMQ", "-c", str(properties)],
                       check=True, stdout=subprocess.DEVNULL)

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.pids = [0] * self.nodes
        for node in range(1, self.nodes + 1):
            self._format(node)
            self.spawn(node)
        self.wait_until_served("ready")

    def stop(self):
        self._stop_children()
        self.pids = []


class Kafka(Cluster):
    """Apache Kafka by the oracle's script, with the release's own JVM flags."""

    def __init__(self, name, port, folder, load, script, settings=(), nodes=NODES):
        super().__init__(name, port, folder, load, nodes)
        self.script, self.settings = script, settings
        self.place = ["--port", str(port), "--data", str(folder)]
        self.commands = {}

    def log_of(self, node):
        return self.folder_of(node) / "server.log"

    def _command(self, node):
        return self.commands[node]

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        subprocess.run([self.script, "start", "--stock", "--nodes", str(self.nodes), *self.place, *self.settings], check=True,
                       stdout=subprocess.DEVNULL)
        for node in range(1, self.nodes + 1):
            pid = int((self.folder_of(node) / "pid").read_text())
            self.pids.append(pid)
            self.commands[node] = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        self.wait_until_served("ready")

    def stop(self):
        self._stop_children()
        for node, pid in enumerate(self.pids, 1):
            file = self.folder_of(node) / "pid"
            if file.exists() and (int(file.read_text()) != pid or not exists(pid)):
                file.unlink()  # It has ended: the number may be somebody else's by now.
        if self.pids:
            subprocess.run([self.script, "stop", *self.place], check=False, stdout=subprocess.DEVNULL)
        self.pids = []

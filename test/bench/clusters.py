"""The two clusters under measurement, of three nodes or of one: started, looked at by their processes, stopped by their own ids."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import brokers

NODES = 3
READY_SECONDS_MAX = 60


class Cluster:
    """Nodes that are brokers and controllers; clients of node i are at `port` + i - 1. After start(), `pids` are their processes."""

    def __init__(self, name, port, folder, load, nodes=NODES):
        self.name, self.port, self.folder, self.load, self.nodes = name, port, pathlib.Path(folder), load, nodes
        self.pids = []
        self.idle_mb = []

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
        self.binary, self.settings, self.processes = binary, settings, []

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        voters = ",".join(f"{node + 1}@127.0.0.1:{self.port + 100 + node}" for node in range(self.nodes))
        for node in range(self.nodes):
            folder = self.folder / str(node + 1)
            folder.mkdir(parents=True)
            settings = [f"node.id={node + 1}", "process.roles=broker,controller",
                        f"listeners=PLAINTEXT://127.0.0.1:{self.port + node},CONTROLLER://127.0.0.1:{self.port + 100 + node}",
                        "controller.listener.names=CONTROLLER", f"controller.quorum.voters={voters}",
                        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                        f"log.dirs={folder}/data", *self.settings]
            properties = folder / "server.properties"
            properties.write_text("\n".join(settings) + "\n", encoding="utf-8")
            subprocess.run([str(self.binary), "storage", "format", "-t", "bWlsbHJhY2UtYmVuY2gtMQ", "-c", str(properties)],
                           check=True, stdout=subprocess.DEVNULL)
            with open(folder / "node.log", "ab") as log:
                self.processes.append(subprocess.Popen([str(self.binary), "server", str(properties)], stdout=log,
                                                       stderr=log, stdin=subprocess.DEVNULL, cwd=folder))
        self.pids = [process.pid for process in self.processes]
        self.wait_until_served("ready")

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(brokers.STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes, self.pids = [], []


class Kafka(Cluster):
    """Apache Kafka by the oracle's script, with the release's own JVM flags."""

    def __init__(self, name, port, folder, load, script, settings=(), nodes=NODES):
        super().__init__(name, port, folder, load, nodes)
        self.script, self.settings = script, settings
        self.place = ["--port", str(port), "--data", str(folder)]

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        subprocess.run([self.script, "start", "--stock", "--nodes", str(self.nodes), *self.place, *self.settings], check=True,
                       stdout=subprocess.DEVNULL)
        self.pids = [int((self.folder / f"{node + 1}/pid").read_text()) for node in range(self.nodes)]
        self.wait_until_served("ready")

    def stop(self):
        for node, pid in enumerate(self.pids):
            if not pathlib.Path(f"/proc/{pid}").exists():
                (self.folder / f"{node + 1}/pid").unlink()  # It was killed: the number may be somebody else's by now.
        if self.pids:
            subprocess.run([self.script, "stop", *self.place], check=False, stdout=subprocess.DEVNULL)
        self.pids = []

"""What is in deploy/ for a machine without containers: the quickstart of three nodes, the sample settings, the systemd unit."""

import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness import ROOT, answers, expect, expect_equal, expect_in, free_port, need, run, test, until
import wire

UNIT = ROOT / "deploy/systemd/millrace.service"


def free_ports(count):
    """That many free ports in a row: a quickstart counts up from its first, for controllers from 10000 above, for admins 20000. None of
    them is one of which outgoing connections are made (from 32768), or of free_port()."""
    while True:
        first = random.randrange(10100, 10900, 10)
        if not any(answers(first + offset + number) for offset in (0, 10000, 20000) for number in range(count)):
            return first


class Quickstart:
    """deploy/quickstart on ports and in a folder of its own; what it started ends with the block."""

    def __init__(self, node, nodes):
        self.binary = node.options.binary
        self.nodes = nodes
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-quickstart-"))
        self.port = free_ports(nodes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("--stop", status=None)
        for number in range(1, self.nodes + 1):
            if self.pid(number):
                os.kill(self.pid(number), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *arguments, **keywords):
        return run([ROOT / "deploy/quickstart", "--data", self.folder, *arguments], seconds=120, cwd=self.folder,
                   env={"MILLRACE_BINARY": str(self.binary)}, **keywords)

    def start(self):
        return self.run("--nodes", self.nodes, "--port", self.port)

    def pid(self, number):
        """Of a node that runs."""
        file = self.folder / f"node-{number}/quickstart.pid"
        pid = int(file.read_text() or 0) if file.exists() else 0
        name = pathlib.Path(f"/proc/{pid}/comm")
        return pid if pid and name.exists() and name.read_text().strip() == "millrace" else 0

    @property
    def servers(self):
        return ",".join(f"127.0.0.1:{self.port + number}" for number in range(self.nodes))

    def millrace(self, *arguments, **keywords):
        return run([self.binary, *arguments, "--bootstrap-server", self.servers], **keywords)


@test("deploy/quickstart --nodes 3 --data DIR: clients on three ports; kill -9 of one and a second start of it lose nothing; --stop stops all",
      own_node=True, ours_only="it starts our nodes")
def quickstart(node):
    with Quickstart(node, 3) as three:
        said = three.start()
        expect_in(f"bootstrap servers  {three.servers}\n", said)
        expect_in(f"http://127.0.0.1:{three.port + 20000}/status", said)
        pids = [three.pid(number) for number in (1, 2, 3)]
        expect(all(pids), f"processes {pids}")
        for number in range(3):
            with wire.Connection(three.port + number) as connection:
                brokers = connection.metadata([])["brokers"]
            expect_equal(sorted(one["port"] for one in brokers), [three.port + one for one in range(3)], f"brokers by port {number + 1}")
        lines = [f"line {number}" for number in range(3000)]
        three.millrace("topic", "create", "hello")
        described = three.millrace("topic", "describe", "hello")
        expect_in("PartitionCount: 6\tReplicationFactor: 3\t", described)
        three.millrace("produce", "hello", input="".join(f"{line}\n" for line in lines[:1500]))
        expect_in("kill -9 $", said.replace(str(pids[0]), "$"), "what is said to be tried")
        os.kill(pids[0], signal.SIGKILL)
        three.millrace("produce", "hello", input="".join(f"{line}\n" for line in lines[1500:]))
        expect_equal(sorted(three.millrace("consume", "hello", "-e").splitlines()), sorted(lines), "records, one of three nodes gone")
        three.run("--nodes", 3)  # As it says: the port is the one of before.
        expect_equal([three.pid(2), three.pid(3)], pids[1:], "the nodes that were not killed")
        expect(three.pid(1) not in (0, pids[0]), "node 1 does not run again")
        until(lambda: three.millrace("cluster", "health", status=None) == "healthy\n", "all replicas are in sync", 30)
        expect_in("Running already: node 1 2 3\n", three.run("--nodes", 3), "a start of what runs")
        expect_equal(sorted(three.millrace("consume", "hello", "-e").splitlines()), sorted(lines), "records")
        expect_in(f"Stopped. The data stays in {three.folder}.\n", three.run("--stop"))
        expect_equal([three.pid(number) for number in (1, 2, 3)], [0, 0, 0], "processes after --stop")
        expect_in("No node of quickstart runs on", three.run("--stop"), "a second --stop")
        three.start()
        expect_equal(sorted(three.millrace("consume", "hello", "-e").splitlines()), sorted(lines), "records after --stop and another start")


@test("deploy/quickstart --nodes 3: a node that does not start is named at once, though the others wait for it", own_node=True,
      ours_only="it starts our nodes")
def quickstart_without_one(node):
    with Quickstart(node, 3) as three:
        real, three.binary = three.binary, three.folder / "millrace"
        three.binary.write_text(f"""#!/bin/bash
case "$*" in server*node-[23]/*) echo "no room for $2"; exit 1 ;; esac
exec {real} "$@"
""")
        three.binary.chmod(0o755)
        began = time.monotonic()
        done = subprocess.run([ROOT / "deploy/quickstart", "--data", three.folder, "--nodes", "3", "--port", str(three.port)],
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "MILLRACE_BINARY": str(three.binary)})
        expect_equal(done.returncode, 1, "exit status")
        expect_in("quickstart: a node did not start:\nno room for ", done.stderr)
        print(f"      told after {time.monotonic() - began:.1f} s", flush=True)


@test("deploy/quickstart says what is wrong with a number of nodes, and that a port is taken", own_node=True, ours_only="it starts our nodes")
def quickstart_refusals(node):
    node.start()
    with Quickstart(node, 1) as one:
        for arguments, status, part in ((("--nodes", "2"), 2, "1, 3 and 5 are accepted"), (("--port", node.port), 1, "something else listens"),
                                        (("--frobnicate",), 1, "--nodes 3")):
            done = subprocess.run([ROOT / "deploy/quickstart", "--data", one.folder, *map(str, arguments)], capture_output=True, text=True,
                                  timeout=60, check=False, env={**os.environ, "MILLRACE_BINARY": str(one.binary)})
            expect(done.returncode != 0, f"exit status 0 of {arguments}")
            if status == 2:
                expect_equal(done.returncode, 2, f"exit status of {arguments}")
            expect_in(part, done.stderr)


@test("deploy/server.properties: a strict server takes every line of it, on another folder and other ports, and says nothing about them",
      own_node=True, ours_only="the settings are ours")
def sample_settings(node):
    sample = ROOT / "deploy/server.properties"
    with tempfile.TemporaryDirectory() as folder:
        port, own = free_port(), [free_port(), free_port()]
        log = pathlib.Path(folder, "log")
        settings = (f"log.dirs={folder}/data", f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{own[0]}",
                    f"millrace.admin.listeners=127.0.0.1:{own[1]}")
        with open(log, "wb") as out:
            process = subprocess.Popen([node.options.binary, "server", "--strict", sample, *(word for one in settings for word in ("--set", one))],
                                       stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            until(lambda: answers(port) or process.poll() is not None, "it listens", 20)
            expect(process.poll() is None, f"it ended: {log.read_text()}")
            with wire.Connection(port) as connection:
                expect_equal(connection.create_topic("t"), 0, "error of CreateTopics")
            process.terminate()
            expect_equal(process.wait(20), 0, "exit status")
        finally:
            process.kill()
            process.wait()
        said = log.read_text()
        # Of those that are commented out nothing is wrong either.
        spoken = pathlib.Path(folder, "spoken.properties")
        spoken.write_text(re.sub(r"^#([a-z][a-z.]+=)", r"\1", sample.read_text(), flags=re.M) + "no.such.setting=1\n")
        names = re.findall(r"^([a-z][a-z.]+)=", spoken.read_text(), re.M)
        expect(len(names) > 12, f"settings of the sample: {names}")
        for line in said.splitlines():
            expect("WARN" not in line or not any(name in line for name in names), f"a warning about the sample: {line}")
        done = subprocess.run([node.options.binary, "server", "--strict", spoken], capture_output=True, text=True, timeout=20, check=False)
        expect(done.returncode != 0, "a strict server takes an unknown setting")
        expect_equal([name for name in names if name in done.stdout + done.stderr], ["no.such.setting"], f"what it names: {done.stderr[-800:]}")


@test("deploy/systemd/millrace.service: systemd has nothing against it, and what its Documentation names is there",
      own_node=True, ours_only="the unit is ours")
def unit(node):
    text = UNIT.read_text()
    # What the commands above it install, and from where.
    installed = {to: source for source, to in re.findall(r"^# +install .*?(\S+) (/\S+)$", text, re.M)}
    for to, source in installed.items():
        expect((ROOT / source).exists() or source == "build/release/millrace", f"{source} is not there to be installed")
    for word in re.search(r"^ExecStart=(.*)$", text, re.M).group(1).split():
        expect(word in installed or not word.startswith("/"), f"{word} of ExecStart is installed by nothing")
    for name in re.search(r"^Documentation=(.*)$", text, re.M).group(1).split():
        expect(name.removeprefix("file://") in installed, f"Documentation={name} is nothing that a user has")
    analyze = need("systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        # Verify wants the program and the user to be there.
        own = pathlib.Path(folder, UNIT.name)
        own.write_text(re.sub(r"^(User|Group)=.*", r"\1=root", text, flags=re.M).replace("/usr/local/bin/millrace", str(node.options.binary)))
        done = subprocess.run([analyze, "verify", "--man=no", own], capture_output=True, text=True, timeout=60, check=False)
        expect_equal((done.returncode, done.stdout + done.stderr), (0, ""), "systemd-analyze verify")

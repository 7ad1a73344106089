#!/usr/bin/env python3
"""Runs the suites that drive a running node: test/conformance, test/hostile, test/chaos.

    test/conformance/harness.py test/conformance                    against build/release/millrace
    test/conformance/harness.py test/hostile --against oracle       the same tests against Apache Kafka
    test/conformance/harness.py test/conformance --match 'kcat|java' --case 'header'

A suite is a folder of *_test.py. Each function marked with @test("a sentence") is a test; it takes the node of
its file (one node per file, a topic of its own per test) or, with own_node=True, one it may kill.
A test asserts on what a client printed and on values read back, and waits for conditions with a
deadline. Expectations come from the reference: run a new test with --against oracle first. What only
our node can be asked is marked ours_only, and says why.

$MILLRACE_ORACLE is the script that runs Apache Kafka and its tools; without it ../shared/oracle/kafka
beside the repository is used, where that exists.
"""

import argparse
import contextlib
import importlib.util
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "test/conformance")]
from tally import Tally  # noqa: E402  (The path above makes it importable.)

CI = os.environ.get("CI") in ("true", "1")
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 20
CLIENT_SECONDS_MAX = 60
# Below the range from which the kernel takes ports of outgoing connections: nothing else grabs one first.
PORTS = range(21000, 21900)


class Skip(Exception):
    """This machine lacks something the test needs. In CI that is a failure."""


class Failure(AssertionError):
    """An expectation that did not hold, with what was seen."""


def test(sentence, own_node=False, ours_only=""):
    def mark(function):
        function.sentence = sentence
        function.own_node = own_node
        function.ours_only = ours_only
        return function
    return mark


# What a test says ------------------------------------------------------------------------------------

def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_equal(seen, wanted, what="value"):
    if seen != wanted:
        raise Failure(f"{what}: expected {wanted!r}, saw {seen!r}")


def expect_in(part, whole, what="output"):
    if part not in whole:
        raise Failure(f"{what}: expected {part!r} in {whole[-3000:]!r}")


def until(condition, what, seconds=10):
    """Waits until `condition()` is true and returns its value; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def run(command, input=None, seconds=CLIENT_SECONDS_MAX, env=None, cwd=None, status=0):
    """Runs a client and returns its standard output; fails unless it exits with `status` (None: any)."""
    data = input.encode() if isinstance(input, str) else input
    try:
        done = subprocess.run([str(word) for word in command], input=data, capture_output=True, timeout=seconds,
                              env={**os.environ, **(env or {})}, cwd=cwd, check=False)
    except subprocess.TimeoutExpired as late:
        seen = ((late.stdout or b"") + (late.stderr or b""))[-2000:].decode(errors="replace")
        raise Failure(f"{command[0]} was not done in {seconds} s: {seen}") from late
    out = done.stdout.decode(errors="replace")
    if status is not None and done.returncode != status:
        errors = done.stderr.decode(errors="replace")
        raise Failure(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{out[-2000:]}\n{errors[-3000:]}")
    return out


def need(program):
    """The path of a program some machines lack."""
    found = shutil.which(program)
    if not found:
        raise Skip(f"{program} is not installed (deploy/install-deps --tests)")
    return found


_topics = itertools.count(1)


def fresh_topic(prefix="t"):
    return f"{prefix}-{os.getpid()}-{next(_topics)}"


def build_folder(name):
    """A folder below build/ for what a test client installs or compiles."""
    folder = ROOT / "build" / "clients" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# Nodes -----------------------------------------------------------------------------------------------

_ports_given = set()


def free_port():
    """One that nobody listens on and that was not given before: a node binds it only when it starts."""
    if len(_ports_given) > len(PORTS) // 2:
        _ports_given.clear()
    for port in random.sample(PORTS, len(PORTS)):
        if port in _ports_given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _ports_given.add(port)
            return port
    raise Failure("no free port")


def answers(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class Node:
    """One broker on a port and in a directory of its own. Use it as a context: it ends with the block."""

    def __init__(self, options, settings=()):
        self.options = options
        self.settings = list(settings)
        self.port = free_port()
        self.admin_port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-test-"))
        self.pid = None
        self.run_as = None  # A user id other than our own; needs root.
        self.under = ()     # Words in front of the command.

    ours = True
    host = "127.0.0.1"

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    @property
    def log_dir(self):
        return self.folder / "data"

    @property
    def log_file(self):
        return self.folder / "server.log"

    def start(self):
        self.spawn()
        self.await_ready()

    def spawn(self):
        """Starts the process and does not wait for it."""
        binary = self.options.binary
        expect(binary.exists(), f"{binary} is not built")
        settings = [f"listeners=PLAINTEXT://{self.bootstrap}", f"advertised.listeners=PLAINTEXT://{self.bootstrap}",
                    f"millrace.admin.listeners={self.host}:{self.admin_port}", f"log.dirs={self.log_dir}", *self.settings]
        command = [*self.under, str(binary), "server", *itertools.chain(*(("--set", setting) for setting in settings))]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                                            user=self.run_as)
        self.pid = self.process.pid

    def await_ready(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not answers(self.port):
            if self.process.poll() is not None:
                raise Failure(f"the node ended with status {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"the node did not listen within {START_SECONDS_MAX} s: {self.log_tail()}")
            time.sleep(0.005)

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.await_closed()

    def await_closed(self):
        # The kernel takes an io_uring down after the process is gone, and its listening sockets with it: until then it
        # accepts connections that nobody will ever serve, also beside those of the next process (SO_REUSEPORT).
        until(lambda: not answers(self.port), "the port is closed after the process has ended")

    def stop(self):
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure(f"the node did not stop within {STOP_SECONDS_MAX} s of SIGTERM: {self.log_tail()}") from None
            self.await_closed()
        return self.process.returncode

    def alive(self):
        return self.process.poll() is None

    def end(self):
        status = self.process.poll()
        how = f"signal {signal.Signals(-status).name}" if status is not None and status < 0 else f"status {status}"
        return f"the node ended with {how}"

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def log_tail(self):
        return self.log_file.read_text(errors="replace")[-3000:] if self.log_file.exists() else "(no log)"

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


class OracleNode(Node):
    """Apache Kafka, through the oracle's script."""

    ours = False

    def __init__(self, options, settings=()):
        super().__init__(options, settings)
        self.script = oracle()

    def start(self):
        run([self.script, "start", "--port", self.port, "--data", self.folder, *self.settings], seconds=150)
        self.pid = int((self.folder / "1/pid").read_text())

    def kill(self):
        run([self.script, "kill", "--data", self.folder])

    def stop(self):
        run([self.script, "stop", "--data", self.folder], seconds=90)
        return 0

    def alive(self):
        return pathlib.Path(f"/proc/{self.pid}").exists()

    @property
    def log_dir(self):
        return self.folder / "1/log"

    @property
    def log_file(self):
        return self.folder / "1/server.log"


def oracle():
    """The script that runs Apache Kafka's broker and tools, set up."""
    script = pathlib.Path(os.environ.get("MILLRACE_ORACLE", ROOT.parent / "shared/oracle/kafka"))
    if not script.exists():
        raise Skip("Kafka's own tools: set MILLRACE_ORACLE to the script that runs them")
    need("java")
    home = pathlib.Path(os.environ.setdefault("KAFKA_JAVA_HOME", str(pathlib.Path(tempfile.gettempdir()) / "kafka-java")))
    if not (home / "classes.txt").exists():
        need("mvn")
        repository = os.environ.get("MILLRACE_MAVEN_REPOSITORY")
        run([script, "setup", *([f"-Dmaven.repo.local={repository}"] if repository else [])], seconds=400)
    return script


JAVA_CLASSES = ROOT / "build" / "java-classes.jsa"


def java_environment(*options):
    """For a tool in Java, which lives for a second: what the optimising compiler costs, it never earns back."""
    if JAVA_CLASSES.exists():
        options = (f"-XX:SharedArchiveFile={JAVA_CLASSES}",)
    return {"KAFKA_OPTS": " ".join(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=off", *options])}


def tool(name, *arguments, **keywords):
    """What one of Kafka's command line tools prints. Half of their time goes into loading classes: the first one leaves its
    own in an archive for those behind it."""
    made = JAVA_CLASSES.with_suffix(f".{os.getpid()}")
    try:
        return run([oracle(), name, *arguments], env=java_environment(f"-XX:ArchiveClassesAtExit={made}"), **keywords)
    finally:
        if made.exists():
            made.rename(JAVA_CLASSES)


# The runner ------------------------------------------------------------------------------------------


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for value in vars(module).values() if hasattr(value, "sentence")]
    return module, tests


class Runner:
    def __init__(self, options):
        self.options = options
        self.tally = Tally()
        self.make_node = OracleNode if options.against == "oracle" else Node

    def file(self, path):
        module, tests = load(path)
        tests = [one for one in tests if re.search(self.options.case, one.sentence)]
        if self.options.against == "oracle":
            tests = [one for one in tests if not one.ours_only]
        settings = getattr(module, "SETTINGS", [])
        # A file may want something else than one node: a cluster (test/chaos/cluster.py).
        make_node = getattr(module, "NODE", self.make_node)
        if make_node is not self.make_node and self.options.against == "oracle":
            return
        shared = None
        try:
            for one in tests:
                if one.own_node:
                    node = make_node(self.options, settings)
                    self.case(path, one, node)
                    self.close(node)
                    continue
                if shared is None or not shared.alive():
                    if shared is not None:
                        self.close(shared)
                    shared = make_node(self.options, settings)
                    shared.start()
                self.case(path, one, shared)
        except (Skip, Failure) as problem:
            self.judge(f"{path.stem}: the node starts", problem)
        finally:
            if shared is not None:
                self.close(shared)

    def judge(self, name, problem):
        if isinstance(problem, Skip) and not CI:
            self.tally.skip(name, str(problem))
        else:
            self.tally.fail(name, str(problem))

    def case(self, path, one, node):
        started = time.monotonic()
        try:
            one(node)
            if not one.own_node:
                expect(node.alive(), "the node died")
            self.tally.pass_(one.sentence)
            print(f"ok    {one.sentence} ({time.monotonic() - started:.1f} s)", flush=True)
        except Skip as problem:
            self.judge(one.sentence, problem)
        except Exception as problem:  # A test must not take the others with it.
            why = str(problem) if isinstance(problem, Failure) else traceback.format_exc(limit=-6)
            if node.ours and node.pid is not None and not node.alive():
                why = f"{node.end()}\n{why}"
            self.tally.fail(one.sentence, why)
            self.keep_log(path, one, node)

    def keep_log(self, path, one, node):
        if node.log_file.exists():
            kept = ROOT / "build" / "test-logs" / f"{path.stem}.{one.__name__}.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(node.log_file, kept)
            print(f"      the node's log: {kept.relative_to(ROOT)}", flush=True)

    def close(self, node):
        try:
            if node.pid is not None:
                node.stop()
        except Failure as problem:
            self.tally.fail(f"{node.folder.name}: the node stops", str(problem))
        finally:
            node.wipe()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="+", type=pathlib.Path)
    parser.add_argument("--against", choices=["millrace", "oracle"], default="millrace")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/millrace")
    parser.add_argument("--match", default="", help="only files whose name matches this pattern")
    parser.add_argument("--case", default="", help="only tests whose sentence matches this pattern")
    parser.add_argument("--results", help="write the results there too, as JSON")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    runner = Runner(options)
    for suite in options.suites:
        for path in sorted(suite.glob("*_test.py")):
            if re.search(options.match, path.stem):
                runner.file(path.resolve())
    if options.results:
        runner.tally.save(options.results)
        for name, why in runner.tally.failed:
            print(f"failed: {name}: {why.splitlines()[0]}")
        return 0
    return runner.tally.finish()


if __name__ == "__main__":
    # As a module of its own name, so that the tests' `import harness` is this very one.
    import harness
    sys.exit(harness.main())

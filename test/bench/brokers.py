"""The two brokers under measurement, as processes: started, found in /proc, stopped by their own id."""

import glob
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))
from seccomp import deny_io_uring  # noqa: E402  (The path above makes it importable.)

STOP_SECONDS_MAX = 30
FIRST_PRODUCE_SECONDS_MAX = 180
REMOVALS_SECONDS_MAX = 15

# The files of a deleted topic would stay for a minute, dirty pages and all. Kafka looks at the broker's setting instead, and
# all the time if that is 0.
TOPIC_CONFIGS = {"file.delete.delay.ms": "0"}
KAFKA_SETTINGS = ["log.segment.delete.delay.ms=1000"]


class Broker:
    """One node on `port` with its files in `folder`. After start(), `pid` is its process."""

    def __init__(self, name, port, folder, load):
        self.name, self.port, self.folder, self.load = name, port, pathlib.Path(folder), load
        self.process = None
        self.restarts = itertools.count()
        self.preexec = None  # Runs in the new process before the broker.
        self.starts_ms = []  # Process start to first accepted produce, on an empty and on a used directory.
        self.restarts_ms = []
        self.idle_mb = None

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        raise NotImplementedError

    def _timed_start(self, topic):
        """Milliseconds from before the process exists until a produce of it was accepted."""
        probe = subprocess.Popen([self.load, "--port", str(self.port), "--topic", topic, "--partitions", "1",
                                  "--batch-records", "1", "--first-produce"], stdout=subprocess.PIPE)
        time.sleep(0.05)  # The probe knocks every half millisecond before there is anyone to open.
        with open(self.folder / "node.log", "ab") as log:
            begin = time.monotonic_ns()
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, preexec_fn=self.preexec)
        try:
            out, _ = probe.communicate(timeout=FIRST_PRODUCE_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            probe.kill()
            raise
        if probe.returncode != 0:
            raise RuntimeError(f"{self.name} did not accept a produce: see {self.folder}/node.log")
        return (json.loads(out)["accepted_ns"] - begin) / 1e6

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def restart_killed(self):
        """Milliseconds from the start after a kill -9 until a produce was accepted."""
        self.process.kill()
        self.process.wait()
        return self._start_again()

    def revive(self):
        """Starts it again if it has ended by itself. Whether it had."""
        ended = self.process is None or self.process.poll() is not None
        if ended:
            self._start_again()
        return ended

    def _start_again(self):
        # The kernel takes io_uring's files apart after the process has gone: its listener answers until then.
        while self.listens():
            time.sleep(0.001)
        return self._timed_start(f"again-{next(self.restarts)}")

    def wait_for_removals(self):
        """Until deleted topics are gone from the disk: letting go of large files holds up who waits for it. Not for ever."""
        until = time.monotonic() + REMOVALS_SECONDS_MAX
        # Not rglob(), which fails where a folder goes meanwhile.
        while any(glob.iglob(f"{self.folder}/**/*-delete", recursive=True)) and time.monotonic() < until:
            time.sleep(0.1)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, field="VmRSS"):
        for line in open(f"/proc/{self.pid}/status", encoding="ascii"):
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1000
        return None

    def pin(self, cores):
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                os.sched_setaffinity(int(task), cores)
            except ProcessLookupError:
                pass  # A helper thread that has just ended.


class Millrace(Broker):
    def __init__(self, name, port, folder, load, binary, settings=(), without_io_uring=False):
        super().__init__(name, port, folder, load)
        self.binary, self.settings = binary, settings
        self.preexec = deny_io_uring if without_io_uring else None

    def command(self):
        settings = [f"listeners=PLAINTEXT://127.0.0.1:{self.port}", f"log.dirs={self.folder}/data", *self.settings]
        return [str(self.binary), "server", *(word for one in settings for word in ("--set", one))]

    def start(self, times=1):
        for attempt in range(times):
            self.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.starts_ms.append(self._timed_start(f"start-{attempt}"))
        for attempt in range(times - 1):
            self.stop()
            self.restarts_ms.append(self._timed_start(f"restart-{attempt}"))


class Kafka(Broker):
    """Apache Kafka by the oracle's script, with the release's own JVM flags."""

    def __init__(self, name, port, folder, load, script):
        super().__init__(name, port, folder, load)
        self.script, self.words = script, None

    def command(self):
        return self.words

    def start(self, times=1):
        """Formats and starts by the script, then again by the very command line it used: that one is timed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        place = ["--port", str(self.port), "--data", str(self.folder)]
        try:
            subprocess.run([self.script, "start", "--stock", *place, *KAFKA_SETTINGS], check=True, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            subprocess.run([self.script, "stop", *place], check=False, stdout=subprocess.DEVNULL)
            raise
        pid = int((self.folder / "1/pid").read_text())
        self.words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        subprocess.run([self.script, "stop", *place], check=True, stdout=subprocess.DEVNULL)
        for attempt in range(times):
            self.stop()
            self.restarts_ms.append(self._timed_start(f"start-{attempt}"))

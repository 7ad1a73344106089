"""Load on a cluster and what must be true of it afterwards: nothing acknowledged is lost, nothing is doubled.

    with Load(cluster.bootstrap, topic, partitions=3) as load:
        load.await_acknowledged(200)
        cluster.leader(topic).kill()
        load.await_acknowledged(load.acknowledged() + 200)
    load.check()                        # reads everything back with kcat
    print(load.gap_ms)
"""

import collections
import importlib.util
import json
import pathlib
import subprocess
import tempfile

from go_program import go_program
from harness import ROOT, Failure, expect, need, run, until

LOAD = ROOT / "test/chaos/load.py"


def interpreter():
    """The Python that has confluent-kafka: the one of the conformance suite."""
    spec = importlib.util.spec_from_file_location("confluent_kafka_test", ROOT / "test/conformance/confluent_kafka_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.python()


class Load:
    def __init__(self, bootstrap, topic, partitions=1, rate=500, count=0):
        self.bootstrap = bootstrap
        self.topic = topic
        self.partitions = partitions
        self.count = count
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-load-"))
        self.ledger = self.folder / "ledger"
        self.ledger.touch()
        self.command = self._command(rate)
        self.result = None

    def _command(self, rate):
        count = ["--count", str(self.count)] if self.count else []
        return [str(interpreter()), str(LOAD), self.bootstrap, self.topic, str(self.ledger), "--rate", str(rate), "--partitions",
                str(self.partitions), *count]

    def __enter__(self):
        with open(self.folder / "stderr", "wb") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.finish()
        else:
            self.process.kill()
            self.process.wait()

    def finish(self, seconds=90):
        if self.result is not None:
            return
        try:
            out, _ = self.process.communicate(timeout=seconds + self.count / 500)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            self.process.wait()
            raise Failure(f"the producer did not end; {self.acknowledged()} were acknowledged") from late
        expect(self.process.returncode == 0, f"the producer failed: {self.said()}")
        self.result = json.loads(out)

    def said(self):
        return (self.folder / "stderr").read_text()[-2000:]

    def acknowledged(self):
        with open(self.ledger, "rb") as lines:
            return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 16), b""))

    def await_acknowledged(self, count, seconds=60):
        until(lambda: self.acknowledged() >= count or self.process.poll() is not None,
              f"{count} acknowledgements", seconds)
        expect(self.process.poll() is None or self.count, f"the producer ended early: {self.said()}")

    def more(self, count=300, seconds=60):
        """So many acknowledgements from now on."""
        self.await_acknowledged(self.acknowledged() + count, seconds)

    def sent(self):
        told = self.folder / "ledger.sent"
        return int(told.read_text() or 0) if told.exists() else 0

    def await_waiting(self, count, seconds=60):
        """So many were sent, and are not acknowledged."""
        until(lambda: self.sent() - self.acknowledged() >= count, f"{count} records wait for their acknowledgement", seconds)

    @property
    def gap_ms(self):
        """The longest silence of each partition, as the client saw it."""
        return {int(partition): gap for partition, gap in self.result["gap_ms"].items()}

    def lines(self):
        for line in self.ledger.read_text().splitlines():
            when, partition, offset, value = line.split(" ")
            yield float(when), int(partition), int(offset), value

    def check(self, bootstrap=None, all_delivered=True):
        """Fails on the first lie; gives the number of records."""
        result = self.result
        if all_delivered:
            expect(not result["failed"] and result["unreported"] == 0 and result["acknowledged"] == result["sent"],
                   f"not everything was delivered: {result}")
        out = run([need("kcat"), "-b", bootstrap or self.bootstrap, "-C", "-t", self.topic, "-o", "beginning", "-e", "-q", "-f",
                   "%p %o %s\n"], seconds=120)
        log = collections.defaultdict(dict)
        order = collections.defaultdict(list)
        for line in out.splitlines():
            partition, offset, value = line.split(" ")
            expect(int(offset) not in log[int(partition)], f"partition {partition}: offset {offset} twice")
            log[int(partition)][int(offset)] = value
            if value.startswith("value-"):  # A test may have asked for a record of its own, and have been told that it timed out.
                order[int(partition)].append(value)
        there = {partition: set(values) for partition, values in order.items()}
        for _, partition, offset, value in self.lines():
            if offset < 0:
                expect(value in there.get(partition, ()), f"partition {partition}: LOST {value}, acknowledged without its offset")
                continue
            seen = log[partition].get(offset)
            expect(seen is not None, f"partition {partition}: LOST {value}, acknowledged at {offset}; the log has "
                                     f"{len(log[partition])} records")
            expect(seen == value, f"partition {partition}: {seen} stands at {offset} where {value} was acknowledged")
        for partition, values in order.items():
            doubled = [value for value, count in collections.Counter(values).items() if count > 1]
            expect(not doubled, f"partition {partition}: DOUBLED {doubled[:5]}")
            expect(values == sorted(values), f"partition {partition}: not in the order of sending")
        return sum(len(values) for values in order.values())


class FranzLoad(Load):
    """The same by franz-go."""

    def _command(self, rate):
        return [str(go_program("franz_go")), self.bootstrap, "load", self.topic, str(self.ledger), str(self.partitions), str(rate)]

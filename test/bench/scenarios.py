"""Scenarios that are set to both rivals in turns (A B A B), and the table of their medians: what test/bench/groups and
test/bench/controllers have in common."""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing

import brokers
import clusters
import report

LOAD_MAX = 3.0
SETTLE_SECONDS = 3
WARM_UPS_MAX = 8
COLUMNS = {"kafka": "Kafka, page cache", "millrace": "Millrace, disk (default)"}


class RunFailed(Exception):
    """A run that gave no figures, and why."""


def told(command, seconds):
    """What a program printed, as JSON; its last complaint is why the run failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        raise RunFailed(f"{pathlib.Path(command[0]).name} did not end in {seconds} s") from late
    if done.returncode != 0:
        raise RunFailed((done.stderr.strip().splitlines() or [f"{command[0]}: exit status {done.returncode}"])[-1])
    return json.loads(done.stdout)


def note(text):
    print(text, file=sys.stderr, flush=True)


def of(key):
    """The figure that a run has by this name."""
    return lambda run: run.get(key)


@dataclasses.dataclass(frozen=True)
class Scenario:
    title: str
    nodes: int
    run: typing.Callable  # Of a Rival and the options: a dictionary, its "errors" among others.
    figures: tuple        # (what it is, a function of such a dictionary).
    rounds: int = 3
    who: tuple = tuple(COLUMNS)


class Rival:
    """One of the two, with as many nodes as the scenario wants; started when it is first asked for."""

    def __init__(self, key, options, folder, nodes, port, settings, own=()):
        """`own` are settings of Millrace alone."""
        self.key, self.nodes = key, nodes
        self.load = options.load or str(pathlib.Path(options.millrace).parent / "test/bench/millrace_load")
        place = port, f"{folder}/{key}-{nodes}", self.load
        if key == "kafka":
            self.cluster = clusters.Kafka("Kafka", *place, options.kafka, settings, nodes)
        else:
            replicas = [f"offsets.topic.replication.factor={nodes}", f"default.replication.factor={nodes}"]
            self.cluster = clusters.Millrace("Millrace", *place, options.millrace, [*settings, *replicas, *own], nodes)
        self.running, self.warm = False, set()

    def start(self):
        if not self.running:
            self.cluster.start()
            self.running, self.warm = True, set()
            time.sleep(SETTLE_SECONDS)

    def stop(self):
        if self.running:
            self.cluster.stop()
        self.running = False

    def warm_up(self, what, run, speed):
        """Lets a JVM become as fast at it as it gets."""
        if self.key != "kafka" or what in self.warm:
            return
        best = 0
        for _ in range(WARM_UPS_MAX):
            rate = speed(run())
            note(f"Kafka warms up to {what}: {rate:,.1f}")
            if rate < best * 1.1:
                break
            best = rate
        self.warm.add(what)


class Bench:
    """`make_rival` takes a key of COLUMNS and a number of nodes."""

    def __init__(self, options, scenarios, make_rival):
        self.options, self.scenarios, self.make_rival = options, scenarios, make_rival
        self.keys = [key for key in COLUMNS if key != "kafka" or options.kafka != "none"]
        self.rivals, self.results = [], {}
        self.failures = []  # Lines: which run of whom gave no figures, and why.

    def measure(self, name):
        scenario = self.scenarios[name]
        if not self.rivals or self.rivals[0].nodes != scenario.nodes:
            self.stop()
            self.rivals = [self.make_rival(key, scenario.nodes) for key in self.keys]
        rounds = self.options.rounds or scenario.rounds
        for turn in range(rounds):
            for rival in self.rivals:
                if rival.key not in scenario.who:
                    continue
                which = f"{name} {turn + 1}/{rounds} {rival.cluster.name}"
                rival.start()
                begin = time.monotonic()
                try:
                    run = scenario.run(rival, self.options)
                except Exception as why:  # Of nodes that do not start, or of ours: what was measured so far is not lost for it.
                    note(f"{which} failed: {why}" if isinstance(why, RunFailed) else traceback.format_exc())
                    self.failures.append(f"{which}: {why or type(why).__name__}")
                    rival.stop()  # What comes next begins with nodes that are whole.
                    continue
                self.results.setdefault(f"{name}/{rival.key}", []).append(run)
                figures = ", ".join(f"{what} {report.number(figure(run))}" for what, figure in scenario.figures)
                note(f"{which} ({time.monotonic() - begin:.0f} s): {figures}, "
                     f"{run['errors']} errors")

    def stop(self):
        for rival in self.rivals:
            rival.stop()

    def rows(self, names):
        rows = []
        for name in names:
            for what, figure in self.scenarios[name].figures:
                runs = [self.results.get(f"{name}/{key}", []) for key in self.keys]
                medians = [report.median([figure(run) for run in some]) for some in runs]
                ratio = f"{medians[1] / medians[0]:.2f}" if len(medians) == 2 and all(medians) else "–"
                rows.append([f"{self.scenarios[name].title}: {what}", *(report.cell(some, figure) for some in runs), ratio])
        return rows

    def text(self, program, names, minutes, load, folder):
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        words = " ".join([f"test/bench/{program}", *(word for word in sys.argv[1:] if word in ("--write", "--force"))])
        lines = [f"Made by `{words}` on {when}, commit {report.version()}, in {minutes:.1f} minutes; load average before it "
                 f"{load:.1f}. Machine: {report.machine(folder)}.", ""]
        head = ["", *(COLUMNS[key] for key in self.keys), *(["ours / Kafka's"] if len(self.keys) == 2 else [])]
        lines += report.table(head, [row[:len(head)] for row in self.rows(names)])
        if self.failures:
            lines += ["", "Runs that failed, and are in no figure:", "", *(f"- {failure}" for failure in self.failures)]
        return "\n".join(lines) + "\n"


def parser(doc, scenarios):
    """With the options that all have."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", help="scenarios, by commas: " + ",".join(scenarios))
    made.add_argument("--rounds", type=int, help="instead of each scenario's own number")
    made.add_argument("--millrace", default=str(brokers.ROOT / "build/release/millrace"), help="the binary")
    made.add_argument("--load", help="the load program for produce, instead of the one beside the binary")
    made.add_argument("--kafka", default=str(brokers.ROOT.parent / "shared/oracle/kafka"), help="the oracle's script, or none")
    made.add_argument("--data", help="a folder on the file system to measure")
    made.add_argument("--write", action="store_true", help="into docs/performance.md")
    made.add_argument("--force", action="store_true", help="write although the machine was busy")
    made.add_argument("--json", help="where the raw results go, after each scenario")
    return made


def run(program, options, scenarios, marks, make_rival):
    """Measures what is asked for, prints the table, and puts it between the two marks of docs/performance.md with --write. A run
    that fails is told beneath the table, and in the exit status. `make_rival` takes a key of COLUMNS, a number of nodes and a
    folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{program}: told to stop"))  # The nodes go too.
    load = os.getloadavg()[0]
    if options.write and load > LOAD_MAX and not options.force:
        sys.exit(f"{program}: the load average is {load:.1f}: figures would be noise (--force writes them all the same)")
    names = [name for name in scenarios if not options.only or name in options.only.split(",")]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=options.data) as folder:
        bench = Bench(options, scenarios, lambda key, nodes: make_rival(key, nodes, folder))
        try:
            for name in names:
                bench.measure(name)
                if options.json:
                    pathlib.Path(options.json).write_text(json.dumps(bench.results, indent=1))
            content = bench.text(program, names, (time.monotonic() - begin) / 60, load, folder)
        finally:
            bench.stop()
    print(content)
    if options.write:
        report.put(*marks, content)
    sys.exit(1 if bench.failures else 0)

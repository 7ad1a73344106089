"""One node of each broker, side by side: started, driven through the workloads in turns (A B A B), and looked at."""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import time

import brokers
import limits
import page_cache
import report
from standing import STANDING
from workloads import LARGE, LARGE_BATCH_BYTES, SMALL, WORKLOADS, batches_per_s, mb_per_s, size

PORTS = {"kafka": 25000, "millrace": 25500, "millrace-epoll": 25501}
# Column: its title, the broker, the topic's own configuration.
COLUMNS = {
    "kafka-cache": ("Kafka, page cache", "kafka", {}),
    "millrace-disk": ("Millrace, disk (default)", "millrace", {}),
    "kafka-disk": ("Kafka, disk", "kafka", {"flush.messages": "1"}),
    "millrace-cache": ("Millrace, page cache", "millrace", {"millrace.durability": "page-cache"}),
    "millrace-epoll": ("Millrace, disk, io_uring denied", "millrace-epoll", {}),
}
CORES = os.cpu_count()
TOPIC_SECONDS_MAX = 60  # To create one, and to delete it.
FILL_SECONDS_MAX = 300
READ_SECONDS_MAX = 120
WRITTEN_SECONDS = 2     # What was acknowledged is in our files a second later.


def reason(error):
    if isinstance(error, subprocess.CalledProcessError):
        words = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        return words[-1] if words else f"{pathlib.Path(error.cmd[0]).name} ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{pathlib.Path(error.cmd[0]).name} took more than {error.timeout:.0f} s"
    return f"{type(error).__name__}: {error}"


class Bench:
    """A measurement that fails is named in `failures`, and the others go on."""

    def __init__(self, options, scale, folder, note):
        """`note` tells a line of progress."""
        self.options, self.scale, self.folder, self.note = options, scale, pathlib.Path(folder), note
        self.load = options.load or str(pathlib.Path(options.millrace).parent / "test/bench/millrace_load")
        self.columns = {name: column for name, column in COLUMNS.items()
                        if (not options.columns or name in options.columns.split(","))
                        and (options.kafka != "none" or not name.startswith("kafka"))}
        self.titles_of_columns = {name: title for name, (title, _, _) in self.columns.items()}
        self.results = {}
        self.failures = []
        self.limits = {}
        self.rates = {"large": options.rate_large, "small": options.rate_small}
        self.client_share = 0.0
        self.topics = itertools.count()
        self.made, self.brokers = {}, {}  # All, and those that have not been lost.
        self.peaks = {}
        self.standing = {}
        self.fills = {}
        self.filler = None
        self.until = time.monotonic() + options.minutes * 60

    @contextlib.contextmanager
    def attempt(self, what):
        """Yields a list that has the failure afterwards, if there was one."""
        failed = []
        try:
            yield failed
        except Exception as error:  # Whatever it was: the rest is worth as much as before.
            failed.append(f"{what}: {reason(error)}")
            self.failures += failed
            self.note(f"FAILED {failed[0]}")
            self.revive()

    def revive(self):
        for name, broker in list(self.brokers.items()):
            try:
                if broker.revive():
                    self.note(f"{broker.name} had ended, and was started again: pid {broker.pid}")
            except Exception as error:
                self.lose(name, f"{broker.name} had ended and does not start: {reason(error)}")

    def lose(self, name, why):
        """What this broker was to be measured for is not."""
        self.failures.append(why)
        self.note(f"FAILED {why}")
        self.columns = {column: about for column, about in self.columns.items() if about[1] != name}
        with contextlib.suppress(Exception):
            self.brokers.pop(name).stop()

    def in_time(self, what):
        if time.monotonic() < self.until:
            return True
        self.failures.append(f"{what}: {self.options.minutes:g} minutes were over")
        return False

    def measure_limits(self):
        path = self.folder / "limit"
        for measure in (limits.disk_writes, limits.disk_reads, limits.synced_writes):
            with self.attempt(measure.__name__):
                self.limits |= measure(path)
        path.unlink(missing_ok=True)
        with self.attempt("loopback"):
            self.limits |= limits.loopback()
        self.note("the machine: " + ", ".join(f"{limits.LIMITS[key][0]} {report.number(value)} {limits.LIMITS[key][1]}"
                                              for key, value in self.limits.items()))

    def make(self, name):
        place = PORTS[name], self.folder / name, self.load
        if name == "kafka":
            return brokers.Kafka("Kafka", *place, self.options.kafka)
        if name == "millrace":
            return brokers.Millrace("Millrace", *place, self.options.millrace)
        return brokers.Millrace("Millrace, io_uring denied", *place, self.options.millrace, without_io_uring=True)

    def start(self):
        for name in sorted({broker for _, broker, _ in self.columns.values()}):
            broker = self.made[name] = self.brokers[name] = self.make(name)
            try:
                broker.start(times=2 if name == "kafka" else 5)
            except Exception as error:
                self.lose(name, f"{broker.name} does not start: {reason(error)}")
                continue
            self.note(f"{broker.name}: pid {broker.pid}, starts {[round(ms) for ms in broker.starts_ms]} ms, "
                      f"restarts {[round(ms) for ms in broker.restarts_ms]} ms")
        time.sleep(1)
        with self.attempt("memory when idle"):
            for broker in self.brokers.values():
                broker.idle_mb = broker.memory_mb()

    def stop(self):
        for broker in self.brokers.values():
            with contextlib.suppress(OSError):
                broker.stop()
        if self.filler is not None:
            self.filler.close()

    def fill_memory(self):
        if self.options.no_fill:
            return
        if self.filler is None:
            self.filler = page_cache.Filler(self.folder / "hole")
        self.filler.fill()

    def broker(self, column):
        return self.brokers[self.columns[column][1]]

    def load_words(self, broker, topic, *words):
        return [self.load, "--port", str(broker.port), "--topic", topic, *words]

    def run_load(self, words, pinned, seconds):
        if pinned and CORES > 1:
            words = ["taskset", "-c", "1", *words]
        out = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=seconds + TOPIC_SECONDS_MAX).stdout
        run = json.loads(out)
        self.client_share = max(self.client_share, run["client_cpu_s"] / run["seconds"])
        return run

    def produce(self, column, shape, seconds, warm_up, batches_per_s=0.0, pinned=True):
        broker, configs = self.broker(column), self.columns[column][2]
        broker.pin({0} if pinned and CORES > 1 else set(range(CORES)))
        words = self.load_words(broker, f"bench-{next(self.topics)}", *shape, "--seconds", str(seconds),
                                "--warm-up", str(warm_up), "--pid", str(broker.pid))
        if batches_per_s > 0:
            words += ["--rate", str(batches_per_s)]
        for key, value in {**brokers.TOPIC_CONFIGS, **configs}.items():
            words += ["--config", f"{key}={value}"]
        return self.run_load(words, pinned, seconds + warm_up)

    def filled(self, column, megabytes):
        """A topic with so much in it; made once for each broker."""
        broker = self.broker(column)
        key = broker.port, megabytes
        if key not in self.fills:
            topic = f"filled-{next(self.topics)}"
            begin = time.monotonic()
            broker.pin(set(range(CORES)))
            subprocess.run(self.load_words(broker, topic, *LARGE, "--fill", str(megabytes * 1000000)), check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=FILL_SECONDS_MAX)
            time.sleep(WRITTEN_SECONDS)
            os.sync()
            self.fills[key] = topic
            self.note(f"{size(megabytes)} written to {broker.name} in {time.monotonic() - begin:.0f} s")
        return self.fills[key]

    def fetch_words(self, column, workload, *more):
        topic = self.filled(column, getattr(self.scale, workload.fill))
        broker = self.broker(column)
        if workload.evict:
            page_cache.evict(f"{broker.folder}/**/{topic}-*/*.log")
        return self.load_words(broker, topic, "--partitions", "6", "--fetch", "--pid", str(broker.pid), *more)

    def fetch(self, column, workload):
        words = self.fetch_words(column, workload)
        self.broker(column).pin({0})
        if not workload.evict:
            words += ["--seconds", str(self.scale.seconds), "--warm-up", str(self.scale.warm_up)]
            return self.run_load(words, True, self.scale.seconds + self.scale.warm_up)
        words += ["--once", "--warm-up", "0", "--seconds", str(READ_SECONDS_MAX)]
        run = self.run_load(words, True, READ_SECONDS_MAX)
        if run["bytes"] < getattr(self.scale, workload.fill) * 1000000:
            raise RuntimeError(f"only {run['bytes']:,} bytes were read in {run['seconds']:.0f} s")
        return run

    def catch_up(self, column, workload):
        """Producing without, and then from the moment at which another client begins to read what the disk alone has."""
        words = self.fetch_words(column, workload, "--once", "--warm-up", "0", "--seconds", "600")
        produce = (column, workload.shape, self.scale.seconds, self.scale.warm_up, workload.rate, False)
        alone = self.produce(*produce)
        reader = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            run = self.produce(*produce)
            if reader.poll() is not None:
                self.failures.append(f"catch-up, {column}: the reader had ended (code {reader.returncode}) before the producer")
                self.note(f"FAILED {self.failures[-1]}")
        finally:
            reader.kill()
            reader.wait()
        return run | {"alone_p99_ms": alone["p99_ms"]}

    def rate(self, workload):
        """Batches a second; nothing when the workload it depends on has not been measured."""
        if not isinstance(workload.rate, str):
            return workload.rate or 0.0
        known = self.rates[workload.rate]
        if known is None:
            return None
        return known * (1e6 / LARGE_BATCH_BYTES if workload.rate == "large" else 1)

    def warm_up_jvm(self):
        """Lets it become as fast at producing and at consuming as it gets."""
        column = next((name for name, (_, broker, _) in self.columns.items() if broker == "kafka"), None)
        if column is None:
            return
        with self.attempt("warming Kafka up"):
            for shape, share in ((LARGE, 1), ((*SMALL, "--partitions", "60"), 0.5)):
                self.produce(column, shape, self.scale.warm_up_jvm * share, 0)
            words = self.fetch_words(column, WORKLOADS["fetch-tail"], "--warm-up", "0", "--seconds",
                                     str(self.scale.warm_up_jvm / 2))
            self.run_load(words, True, self.scale.warm_up_jvm)

    def once(self, workload, column, rate):
        self.fill_memory()
        if workload.kind == "fetch":
            return self.fetch(column, workload)
        if workload.rate:
            for broker in self.brokers.values():
                broker.wait_for_removals()
        if workload.kind == "catch-up":
            return self.catch_up(column, workload)
        return self.produce(column, workload.shape, self.scale.seconds, self.scale.warm_up, rate, pinned=workload.pinned)

    def measure(self, name):
        workload = WORKLOADS[name]
        rate = self.rate(workload)
        if rate is None:
            self.failures.append(f"{name}: no rate (it wants {workload.rate} with kafka-cache in the same run, or "
                                 f"--rate-{workload.rate})")
            self.note(self.failures[-1])
            return
        broken = set()
        for turn in range(self.scale.rounds):
            for column in workload.columns or tuple(COLUMNS):
                if column not in self.columns or column in broken:
                    continue
                if not self.in_time(f"{name}, round {turn + 1}, {column}"):
                    return
                with self.attempt(f"{name}, round {turn + 1}, {column}") as failed:
                    run = self.once(workload, column, rate)
                    self.results.setdefault(f"{name}/{column}", []).append(run)
                    figures = ", ".join(f"{what} {report.number(figure(run))}" for what, figure in workload.figures)
                    self.note(f"{name} {turn + 1}/{self.scale.rounds} {column}: {figures}, {run['errors']} errors, "
                              f"{run['late']} late")
                if failed:
                    broken.add(column)
        kafka = self.results.get(f"{name}/kafka-cache")
        if kafka and name in self.rates and self.rates[name] is None:
            figure = mb_per_s if name == "large" else batches_per_s
            self.rates[name] = max(1.0, report.median([figure(run) for run in kafka]) / 2)

    def note_peaks(self):
        """Before anything is measured that is not load."""
        with self.attempt("peaks of memory"):
            self.peaks = {name: broker.memory_mb("VmHWM") for name, broker in self.brokers.items()}

    def stand(self, name):
        """For each broker but the one without io_uring; after everything else, because they are not as before then."""
        for key in ("millrace", "kafka"):
            if key not in self.brokers or not self.in_time(f"{name}, {key}"):
                continue
            broker, figures = self.brokers[key], {}
            with self.attempt(f"{name}, {broker.name}"):
                broker.pin(set(range(CORES)))
                STANDING[name](broker, self.scale, figures)
            self.standing.setdefault(key, {}).update(figures)
            told = ", ".join(f"{what} {[round(value, 1) for value in values]}" for what, values in figures.items())
            self.note(f"{name} {broker.name}: {told or 'nothing'}")

    def titles(self, names):
        units = {"large": "MB/s", "small": "batches/s"}
        titles = {}
        for name in names:
            workload = WORKLOADS[name]
            rate = f"{self.rates.get(workload.rate) or 0:,.0f} {units[workload.rate]}" if workload.rate in units else ""
            titles[name] = workload.title.format(rate=rate, fill=size(getattr(self.scale, workload.fill or "tail_mb")))
        return titles

    def facts(self):
        return {"limits": self.limits, "client_share": self.client_share, "failures": self.failures,
                "brokers": {name: {"name": broker.name, "idle_mb": broker.idle_mb, "peak_mb": self.peaks.get(name),
                                   "starts_ms": broker.starts_ms, "restarts_ms": broker.restarts_ms,
                                   "standing": self.standing.get(name, {})}
                            for name, broker in self.made.items()}}

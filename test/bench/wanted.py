"""What is wanted of one node (the issue that wanted the complete log), beside what was measured: the table that says how far we are."""

import dataclasses
import typing

import standing
from report import median, number
from workloads import mb_per_s, p99, p99_against_alone, per_batch_us, per_gb

THEIRS, OURS = "kafka-cache", "millrace-disk"


def workload(name, figure):
    """A figure of a workload, of Kafka's page cache and of our disk."""
    return lambda facts, results: [median([figure(run) for run in results.get(f"{name}/{column}", [])])
                                   for column in (THEIRS, OURS)]


def against(name, other, figure):
    """How many times as much as in the other workload."""
    def both(facts, results):
        pairs = zip(workload(name, figure)(facts, results), workload(other, figure)(facts, results))
        return [mine / its if mine and its else None for mine, its in pairs]
    return both


def fact(key):
    """What is known of a broker: Kafka's, ours."""
    return lambda facts, results: [facts["brokers"].get(broker, {}).get(key) for broker in ("kafka", "millrace")]


def still(key):
    return lambda facts, results: [median(facts["brokers"].get(broker, {}).get("standing", {}).get(key, []))
                                   for broker in ("kafka", "millrace")]


@dataclasses.dataclass(frozen=True)
class Want:
    title: str
    figures: typing.Callable   # Of facts and results: Kafka's, ours.
    bound: float
    of_kafka: bool = False     # The bound is for ours divided by Kafka's.
    at_least: bool = False     # Not: at most.
    relative: bool = False     # To another figure of the same broker: Kafka's says nothing about it.

    def wanted(self):
        return ("≥ " if self.at_least else "≤ ") + (f"{self.bound:.2f} of Kafka's" if self.of_kafka else f"{self.bound:,g}")

    def met(self, theirs, ours):
        if ours is None or (self.of_kafka and not theirs):
            return "–"
        value = ours / theirs if self.of_kafka else ours
        return "yes" if (value >= self.bound if self.at_least else value <= self.bound) else "no"


def wants(scale):
    return [
        Want("1 KB, saturated: MB/s", workload("large", mb_per_s), 1, of_kafka=True, at_least=True),
        Want("1 KB, saturated: broker CPU s/GB", workload("large", per_gb), 1 / 3, of_kafka=True),
        Want("100 B × 10, saturated: broker CPU µs/batch", workload("small", per_batch_us), 0.1, of_kafka=True),
        Want("1,000 partitions against 1: broker CPU per batch", against("partitions-1000", "partitions-1", per_batch_us), 1.3,
             relative=True),
        Want("1,000 requests/s: p99 ms", workload("latency", p99), 1 / 3, of_kafka=True),
        Want("consuming from the tail: broker CPU s/GB", workload("fetch-tail", per_gb), 1, of_kafka=True),
        Want("consuming from the page cache: broker CPU s/GB", workload("fetch-cached", per_gb), 1, of_kafka=True),
        Want("consuming from the disk: broker CPU s/GB", workload("fetch-cold", per_gb), 1, of_kafka=True),
        Want("p99 while a reader catches up, against without", workload("catch-up", p99_against_alone), 1.5,
             relative=True),
        Want("RSS idle: MB", fact("idle_mb"), 50),
        Want("RSS peak under load: MB", fact("peak_mb"), 200),
        Want(standing.FIGURES["many_rss_mb"](scale), still("many_rss_mb"), 300),
        Want(standing.FIGURES["many_idle_cpu"](scale), still("many_idle_cpu"), 1),
        Want(standing.FIGURES["many_restart_ms"](scale), still("many_restart_ms"), 2000),
        Want(standing.FIGURES["many_written_restart_ms"](scale), still("many_written_restart_ms"), 2000),
        Want(standing.FIGURES["log_restart_ms"](scale), still("log_restart_ms"), 1000),
    ]


def rows(facts, results, scale):
    """Of what was measured: title, Kafka's, ours, ours / Kafka's, what is wanted, whether that is met."""
    found = []
    for want in wants(scale):
        theirs, ours = want.figures(facts, results)
        if theirs is None and ours is None:
            continue
        ratio = f"{ours / theirs:.2f}" if theirs and ours is not None and not want.relative else "–"
        found.append([want.title, number(theirs), number(ours), ratio, want.wanted(), want.met(theirs, ours)])
    return found

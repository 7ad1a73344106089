"""The tables of test/bench/run: what was measured, what is wanted, the machine beside it, and what could not be measured."""

import datetime

import report
import standing
import wanted
from limits import LIMITS
from report import cell, median, number, table
from workloads import WORKLOADS

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
AGAINST = [  # What is compared: Kafka's column, ours.
    ("page cache against page cache", "kafka-cache", "millrace-cache"),
    ("disk against disk", "kafka-disk", "millrace-disk"),
    ("ours on disk against Kafka's page cache", "kafka-cache", "millrace-disk"),
]


def workload_rows(results, titles, columns, limits):
    rows = []
    for workload, title in titles.items():
        runs = {column: results.get(f"{workload}/{column}", []) for column in columns}
        if not any(runs.values()):
            continue
        for name, figure in WORKLOADS[workload].figures:
            limit = limits.get(WORKLOADS[workload].limits.get(name))
            rows.append([f"{title}: {name}", *(cell(runs[column], figure) for column in columns),
                         "" if limit is None else number(limit)])
    return rows


def ratio_rows(results, titles):
    rows = []
    for workload, title in titles.items():
        cost = WORKLOADS[workload].cost
        if cost is None:
            continue
        row = [title]
        for _, theirs, ours in AGAINST:
            a = median([cost(run) for run in results.get(f"{workload}/{theirs}", [])])
            b = median([cost(run) for run in results.get(f"{workload}/{ours}", [])])
            row.append(f"{a / b:.1f}" if a and b else "–")
        if set(row[1:]) != {"–"}:
            rows.append(row)
    return rows


def start_rows(brokers):
    return [[fact["name"], number(fact["idle_mb"]), number(fact["peak_mb"]), number(median(fact["starts_ms"])),
             number(median(fact["restarts_ms"]))] for fact in brokers.values()]


def standing_rows(brokers, scale):
    """Of those that were asked to."""
    told = [fact for fact in brokers.values() if fact["standing"]]
    rows = [[title(scale), *(number(median(fact["standing"].get(key, []))) for fact in told)]
            for key, title in standing.FIGURES.items() if any(fact["standing"].get(key) for fact in told)]
    return [fact["name"] for fact in told], rows


def section(sentence, head, rows):
    return ["", sentence, "", *table(head, rows)] if rows else []


def text(facts, results, titles, columns, scale):
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"Made by `{facts['command']}` on {when}, commit {facts['commit']}, in {facts['minutes']:.1f} minutes; "
        f"load average before it {facts['load']:.1f}.",
        f"Machine: {facts['machine']}; the load program used {number(facts['client_share'] * 100)} % of its core at most."]
    lines += [f"\nNot measured: {failure}." for failure in facts["failures"]]
    lines += section("What is wanted of our default, durable on disk, beside Kafka's, the page cache:",
                     ["", "Kafka", "Millrace", "ours / Kafka's", "wanted", "met"], wanted.rows(facts, results, scale))
    lines += section("Medians; beside them the machine's limit, measured before:", ["", *columns.values(), "limit"],
                     workload_rows(results, titles, columns, facts["limits"]))
    lines += section("The machine's limits:", ["", ""],
                     [[f"{LIMITS[key][0]}: {LIMITS[key][1]}", number(value)] for key, value in facts["limits"].items()])
    lines += section("How many times less CPU ours needs for the same (medians):", ["", *(name for name, _, _ in AGAINST)],
                     ratio_rows(results, titles))
    lines += section("Memory in MB; milliseconds from before the process exists to the first accepted produce:",
                     ["", "RSS idle", "RSS peak", "start, empty directory", "start, used directory"],
                     start_rows(facts["brokers"]))
    names, rows = standing_rows(facts["brokers"], scale)
    lines += section("Standing still, and coming back:", ["", *names], rows)
    return "\n".join(lines) + "\n"


def write(content):
    report.put(BEGIN, END, content)

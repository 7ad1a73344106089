"""Turns the measurements of test/bench/run into the tables of docs/performance.md."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess

import standing
from workloads import WORKLOADS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(runs, figure):
    """The median over the rounds; a figure is a function of one run's JSON."""
    if not runs:
        return "–"
    bad = sum(run["errors"] for run in runs)
    return number(median([figure(run) for run in runs])) + (f" ({bad} errors)" if bad else "")


def spread(runs, figure):
    values = [figure(run) for run in runs]
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})" if values else "–"


AGAINST = [  # What is compared: Kafka's column, ours.
    ("page cache against page cache", "kafka-cache", "millrace-cache"),
    ("disk against disk", "kafka-disk", "millrace-disk"),
    ("ours on disk against Kafka's page cache", "kafka-cache", "millrace-disk"),
]


def file_system(path):
    out = subprocess.run(["df", "--output=fstype,source", path], capture_output=True, text=True, check=True).stdout
    return " on ".join(out.splitlines()[1].split())


def machine(path):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="ascii")
                if line.startswith("model name")), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GB, kernel {platform.release().split('-')[0]}, "
            f"{file_system(path)}")


def version():
    out = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return out.stdout.strip() or "unknown"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def workload_rows(results, titles, columns):
    rows = []
    for workload, title in titles.items():
        runs = {column: results.get(f"{workload}/{column}", []) for column in columns}
        for name, figure in WORKLOADS[workload].figures:
            rows.append([f"{title}: {name}", *(cell(runs[column], figure) for column in columns)])
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
        rows.append(row)
    return rows


def start_rows(facts):
    rows = []
    for name, fact in facts["brokers"].items():
        rows.append([name, number(fact["idle_mb"]), number(fact["peak_mb"]), number(median(fact["starts_ms"])),
                     number(median(fact["restarts_ms"]))])
    return rows


def text(facts, results, titles, columns):
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"Made by `{facts['command']}` on {when}, commit {facts['commit']}, in {facts['minutes']:.1f} minutes; "
        f"load average before it {facts['load']:.1f}.",
        f"Machine: {facts['machine']}.",
        f"Its limits beside it: synced direct writes of 512 KiB {number(facts['disk_mb_s'])} MB/s; the load program "
        f"used {number(facts['client_share'] * 100)} % of its core at most.", ""]
    lines += table(["", *columns.values()], workload_rows(results, titles, columns))
    lines += ["", "How many times less CPU ours needs for the same (medians):", ""]
    lines += table(["", *(name for name, _, _ in AGAINST)], ratio_rows(results, titles))
    lines += ["", "Memory in MB; milliseconds from before the process exists to the first accepted produce:", ""]
    lines += table(["", "RSS idle", "RSS peak", "start, empty directory", "start, used directory"], start_rows(facts))
    if facts["standing"]:
        lines += ["", "Standing still, and coming back:", ""]
        lines += table(["", *facts["standing"]], [[title, *(number(figures[key]) for figures in facts["standing"].values())]
                                                  for key, title in standing.FIGURES.items()])
    return "\n".join(lines) + "\n"


def put(begin, end, content):
    """Replaces what stands between the two marks of the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n\n{content.strip()}\n\n{end}{after}", encoding="utf-8")


def write(content):
    put(BEGIN, END, content)

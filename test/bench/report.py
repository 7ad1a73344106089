"""What the programs of test/bench tell alike: medians, tables, the machine, and where they stand in docs."""

import os
import pathlib
import platform
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/performance.md"


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


def put(begin, end, content, page=PAGE):
    """Replaces what stands between the two marks of the page."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{content.strip()}\n\n{end}{after}", encoding="utf-8")

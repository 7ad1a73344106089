"""What a broker costs that stands still, and how long it takes to come back: much log, and many partitions, after kill -9."""

import contextlib
import glob
import os
import subprocess
import time

from workloads import size

PARTITIONS_EACH = 1000
FILL_SECONDS_MAX = 300
# Whoever is back at once is asked again.
RESTARTS_MAX = 3
RESTART_SECONDS = 15


def partitions(scale):
    return f"{scale.topics * PARTITIONS_EACH:,} partitions"


# Figure: its title, by the scale.
FIGURES = {
    "many_rss_mb": lambda scale: f"{partitions(scale)}: RSS MB",
    "many_idle_cpu": lambda scale: f"{partitions(scale)}: idle CPU, % of a core",
    "many_restart_ms": lambda scale: f"{partitions(scale)}: kill -9 to first accepted produce, ms",
    "many_written_restart_ms": lambda scale: f"{partitions(scale)}, all just written to: kill -9 to first accepted produce, ms",
    "log_restart_ms": lambda scale: f"{size(scale.log_mb)} of log: kill -9 to first accepted produce, ms",
}


def fill(broker, topic, *words):
    subprocess.run([broker.load, "--port", str(broker.port), "--topic", topic, *words], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=FILL_SECONDS_MAX)


def log_bytes(broker):
    total = 0
    for path in glob.iglob(f"{broker.folder}/**/*.log", recursive=True):
        with contextlib.suppress(FileNotFoundError):  # Of a topic that is being deleted.
            total += os.stat(path).st_size
    return total


def restart(broker, took, before):
    """Milliseconds of each restart into `took`; `before` is called with its number, in front of each kill -9."""
    while len(took) < RESTARTS_MAX and sum(took) < RESTART_SECONDS * 1000:
        before(len(took))
        took.append(broker.restart_killed())


def restart_with_log(broker, scale, figures):
    """Beside what other workloads left; the broker has `scale.log_mb` at least when it is killed, the last of it just written."""
    missing = scale.log_mb * 1_000_000 - log_bytes(broker)

    def burst(number):
        much = max(missing if number == 0 else 0, scale.burst_mb * 1_000_000)
        fill(broker, f"much-{number}", "--partitions", "6", "--fill", str(much))

    restart(broker, figures.setdefault("log_restart_ms", []), burst)


def many_partitions(broker, scale, figures):
    """Killed when nothing has been written for a while, and right after each of them has been written to."""
    def touch(_):
        for number in range(scale.topics):
            fill(broker, f"many-{number}", "--partitions", str(PARTITIONS_EACH), "--record-bytes", "100", "--batch-records",
                 "1", "--fill", "1")

    touch(0)
    time.sleep(scale.settle)
    before = broker.cpu_seconds()
    time.sleep(scale.idle)
    figures["many_idle_cpu"] = [(broker.cpu_seconds() - before) / scale.idle * 100]
    figures["many_rss_mb"] = [broker.memory_mb()]
    restart(broker, figures.setdefault("many_restart_ms", []), lambda _: None)
    restart(broker, figures.setdefault("many_written_restart_ms", []), touch)


# By the name that --only knows; each puts what it measured into `figures` (lists, by the keys of FIGURES) as soon as it is known.
STANDING = {"restart-log": restart_with_log, "standing": many_partitions}

#!/usr/bin/env python3
"""Measures what a kill -9 costs: the producer's longest silence, and when each step of the failover came.

    test/chaos/failover.py [--rounds 5] [--binary build/release/millrace]

Three local nodes, a topic with replicas on all, an idempotent producer (load.py). Each round kills a broker that leads and is not
the active controller, then one that is both. Steps are read from the nodes' logs, in ms since the signal was sent.
"""

import argparse
import contextlib
import datetime
import pathlib
import re
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent / "conformance")]

from checker import Load  # noqa: E402
from cluster import Cluster  # noqa: E402
from harness import ROOT, fresh_topic  # noqa: E402

PARTITIONS = 6
STEPS = {  # What the log says -> the step. The first line after the kill counts, but the last leader.
    "stream broken": r"the session of broker \d+ broke|the session with the controller has ended|lost its connection to the active",
    "elected": r"is the active controller of term",
    "fenced": r"fencing broker",
    "last leader": r"leads epoch",
}


def line_times(cluster, killed_at):
    for one in cluster:
        for line in one.log_file.read_text(errors="replace").splitlines():
            stamp = line.split(" ", 1)[0]
            with contextlib.suppress(ValueError):
                when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
                if when >= killed_at:
                    yield (when - killed_at) * 1000, line


def round_of(cluster, active):
    topic = fresh_topic("failover")
    cluster.create_topic(topic, PARTITIONS)
    cluster.until_in_sync(topic, PARTITIONS)
    controller = cluster.controller()
    victim = controller if active else next(one for one in cluster if one is not controller)
    led = [number for number in range(PARTITIONS) if cluster.leader(topic, number) is victim]
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more(500)
        time.sleep(0.5)
        killed_at = time.time()
        victim.process.kill()
        for number in led:
            cluster.until_led(topic, number, other_than=victim)
        load.more(1000)
        lines = sorted(line_times(cluster, killed_at))
        victim.kill()
        victim.start()
        cluster.until_in_sync(topic, PARTITIONS)
    load.check()
    steps = {}
    for when, line in lines:
        for step, pattern in STEPS.items():
            if re.search(pattern, line) and (step not in steps or step == "last leader"):
                steps[step] = round(when)
    gaps = {number: round(load.gap_ms[number]) for number in led}
    return steps, gaps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/millrace")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    cluster = Cluster(options)
    cluster.start()
    try:
        for _ in range(options.rounds):
            for active in (False, True):
                steps, gaps = round_of(cluster, active)
                print(f"{'active controller' if active else 'leader':18} longest gap {max(gaps.values(), default=0):5d} ms  {steps}  "
                      f"by partition {gaps}", flush=True)
    finally:
        cluster.kill()


if __name__ == "__main__":
    main()

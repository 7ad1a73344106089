#!/usr/bin/env python3
"""The stages of test/run, in order: build, unit, seeds, and the suites that drive a running node."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

from seccomp import deny_io_uring
from tally import Tally

ROOT = pathlib.Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") in ("true", "1")

UNIT_SECONDS_MAX = 480  # One test binary. The slowest takes a fifth of this under a sanitizer.
SUITE_SECONDS_MAX = {"conformance": 1100, "hostile": 420, "chaos": 1500, "compose": 660}
SUITES = list(SUITE_SECONDS_MAX)
# Seeds of each scenario of the simulator. One with a planted bug ends at the first seed that finds it.
SEEDS = {"cluster-quiet": 5, "cluster-cuts": 10, "cluster-kill": 10, "cluster-power": 30, "cluster-shards": 30, "cluster-full": 10, "cluster-slow": 10,
         "cluster": 30, "cluster-disks": 40, "cluster-hunted": 15,
         "cluster-control": 10, "cluster-control-apart": 10, "cluster-control-quiet": 5, "groups": 30, "groups-power": 10,
         "groups-hunted": 30,
         "node-power": 200, "storage-power": 200, "compaction": 100, "compaction-power": 100, "raft": 2000, "quorum": 300,
         "quorum-join": 500}
SEEDS_OTHERWISE = 50
SEEDS_PLANTED = {"toy-": 200, "raft-": 1000, "quorum-": 1000, "groups-bug-": 1000, "cluster-bug-": 400, "storage-bug-": 1000,
                 "compaction-bug-": 1000}
SEEDS_SECONDS_MAX = 600  # 115 CPU seconds at most; a shared machine takes five times that.
REPLAYED = ["toy", "storage", "compaction", "node", "node-shards", "cluster", "cluster-power", "cluster-shards", "cluster-control", "groups",
            "raft", "quorum"]
STAGES = ["build", "unit", "seeds", *SUITES]


def environment():
    """In CI nothing is written outside build/ and the temporary directory."""
    env = dict(os.environ)
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    if CI:
        caches = pathlib.Path(tempfile.gettempdir()) / "millrace-cache"
        for name in ("CCACHE_DIR", "PIP_CACHE_DIR", "npm_config_cache", "GOCACHE", "GOMODCACHE"):
            env.setdefault(name, str(caches / name.lower()))
        env.setdefault("MILLRACE_MAVEN_REPOSITORY", str(caches / "maven"))
        env.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    return env


def run(command, seconds, **keywords):
    """The completed process, or None when it ran out of time."""
    try:
        return subprocess.run(command, cwd=ROOT, env=environment(), timeout=seconds, **keywords)
    except subprocess.TimeoutExpired:
        return None


def build(preset, targets, tally, seconds):
    configure = run(["cmake", "--preset", preset], 300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if configure is None or configure.returncode != 0:
        print(configure.stdout if configure else "timed out")
        tally.fail(f"build: {preset} configures", "see above")
        return False
    made = run(["ninja", "-C", f"build/{preset}", *targets], seconds)
    if made is None or made.returncode != 0:
        tally.fail(f"build: {preset} compiles", "see above" if made else f"not done in {seconds} s")
        return False
    tally.pass_(f"build: {preset} compiles")
    return True


def ctest_commands(preset):
    listing = run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"], 60, stdout=subprocess.PIPE)
    tests = json.loads(listing.stdout)["tests"] if listing and listing.returncode == 0 else []
    return [(test["name"], test["command"]) for test in tests if "command" in test]


def test_program(name, command, tally):
    """A test of CTest: a Catch2 binary is named *_test and counts its cases, anything else is one test."""
    if pathlib.Path(command[0]).name.endswith("_test"):
        catch_binary(name, command, tally)
        return
    finished = run(command, UNIT_SECONDS_MAX, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if finished is not None and finished.returncode == 0:
        tally.pass_(f"{name} (CTest)")
    else:
        print(finished.stdout[-4000:] if finished else "")
        tally.fail(f"{name} (CTest)", "see above" if finished else f"not done in {UNIT_SECONDS_MAX} s")


def unit(preset, tally):
    """Two at a time, the largest first: the slow ones are among them, and none is left over for the end."""
    commands = sorted(ctest_commands(preset), key=lambda named: -pathlib.Path(named[1][0]).stat().st_size)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda named: test_program(*named, tally), commands))


def catch_binary(name, command, tally, seconds=UNIT_SECONDS_MAX):
    """Runs one Catch2 binary and counts its test cases. A crash loses none: it fails by the name it had."""
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".xml") as report, tempfile.TemporaryFile() as output:
        finished = run([*command, "-r", "xml", "-o", report.name], seconds, stdout=output, stderr=output)
        text = report.read().decode(errors="replace")
        output.seek(0)
        console = output.read().decode(errors="replace")[-6000:]
    failed = 0
    parser = xml.XMLPullParser(["start", "end"])
    current = None
    try:
        parser.feed(text)
        for event, element in parser.read_events():
            if element.tag == "TestCase":
                current = element.get("name") if event == "start" else None
            elif element.tag == "OverallResult" and event == "end":
                if element.get("success") == "true":
                    tally.pass_(current)
                else:
                    failed += 1
                    tally.fail(current, f"run {command[0]} '{current}' to see it")
    except xml.ParseError:
        pass  # Cut short by a crash: `current` says where.
    status = finished.returncode if finished else None
    if status is None or (status != 0 and failed == 0) or current is not None:
        why = f"not done in {seconds} s" if status is None else f"exit status {status}"
        tally.fail(f"{name}: {current or 'the whole binary'}", f"{why}\n{console}")
        print(console)
    elif failed:
        again = run([*command, "-r", "compact"], seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print((again.stdout if again else b"").decode(errors="replace")[-6000:])
    print(f"unit: {name} {time.monotonic() - started:.1f} s", flush=True)


def is_planted(scenario):
    """Whether it has a bug that is to be found."""
    return scenario.startswith(tuple(SEEDS_PLANTED)) and scenario not in SEEDS


def seeds(preset, tally, scale):
    """The simulated node from its seeds (test/sim/main.cc): one test per scenario, and one that a replay is the same."""
    program = ROOT / f"build/{preset}/test/sim/millrace_simtest"
    if not program.exists():
        tally.fail("simulator: it is built", f"{program} is not there")
        return
    listing = run([program, "--list"], 60, stdout=subprocess.PIPE, text=True).stdout
    scenarios = [line.split()[0] for line in listing.splitlines() if line.strip()]
    if scale < 1:
        # A bug that is planted is found with the whole number of seeds, or not at all: that is for the full run.
        scenarios = [name for name in scenarios if not is_planted(name)]

    def one(scenario):
        # Three nodes cost ten times what one does.
        count = max(2 if scenario.startswith(("cluster", "groups")) else 5, int(SEEDS.get(scenario, SEEDS_OTHERWISE) * scale))
        for prefix, planted in SEEDS_PLANTED.items():
            if is_planted(scenario) and scenario.startswith(prefix):
                count = planted
        started = time.monotonic()
        finished = run([program, "--seeds", f"1..{count}", "--scenario", scenario], SEEDS_SECONDS_MAX,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"seeds: {scenario} 1..{count} {time.monotonic() - started:.1f} s", flush=True)
        return scenario, count, finished

    def same(scenario):
        command = [program, "--seeds", "1..3", "--scenario", scenario, "--trace-hash"]
        traces = [run(command, SEEDS_SECONDS_MAX, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        lines = [[line for line in trace.stdout.splitlines() if " trace=" in line] if trace else [] for trace in traces]
        return scenario, lines[0] == lines[1] and len(lines[0]) == 3, lines

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for scenario, count, finished in pool.map(one, scenarios):
            name = f"simulator: {scenario}, seeds 1 to {count}"
            if finished is not None and finished.returncode == 0:
                tally.pass_(name)
                continue
            print(finished.stdout[-4000:] if finished else "", flush=True)
            tally.fail(name, "see above" if finished else f"not done in {SEEDS_SECONDS_MAX} s")
        for scenario, equal, lines in pool.map(same, [name for name in REPLAYED if name in scenarios]):
            name = f"simulator: two processes give the same trace of {scenario}"
            if equal:
                tally.pass_(name)
            else:
                tally.fail(name, str(lines))


def suite(name, preset, tally, pattern, without_io_uring):
    with tempfile.NamedTemporaryFile(suffix=".json") as results:
        command = [sys.executable, "test/conformance/harness.py", f"test/{name}", "--results", results.name,
                   "--binary", f"build/{preset}/millrace"]
        if pattern:
            command += ["--match", pattern]
        finished = run(command, SUITE_SECONDS_MAX[name], preexec_fn=deny_io_uring if without_io_uring else None)
        written = results.read()
        if written:
            tally.add(Tally.load(results.name))
        if finished is None:
            tally.fail(f"{name}: done in time", f"not in {SUITE_SECONDS_MAX[name]} s")
        elif not written:
            tally.fail(f"{name}: the suite runs", f"exit status {finished.returncode}")


def suite_files(name):
    return sorted(path.stem for path in (ROOT / "test" / name).glob("*_test.py"))


def main():
    parser = argparse.ArgumentParser(prog="test/run", description="Builds Millrace and runs every test.")
    parser.add_argument("--only", default="", help="stages, or parts of suite names, separated by commas")
    parser.add_argument("--preset", default="release")
    parser.add_argument("--list", action="store_true", help="name the stages and suites, run nothing")
    parser.add_argument("--results", help="write the results there too, as JSON")
    parser.add_argument("--targets", default="all,unit_tests", help="what to build")
    parser.add_argument("--seed-scale", type=float, default=1, help="run this share of the simulator's seeds")
    parser.add_argument("--without-io-uring", action="store_true", help="the suites' nodes are denied it, and use epoll")
    parser.add_argument("--build-seconds", type=int, default=2400)
    options = parser.parse_args()
    if options.list:
        for stage in STAGES:
            print(stage, *suite_files(stage) if stage in SUITES else [])
        return 0
    only = [part for part in options.only.split(",") if part]
    tally = Tally()

    def wanted(stage):
        return not only or stage in only

    def save():
        if options.results:
            tally.save(options.results)

    def go():
        # Every stage needs the build; it is quick when nothing changed.
        if not build(options.preset, options.targets.split(","), tally, options.build_seconds):
            return
        if wanted("unit"):
            unit(options.preset, tally)
        if wanted("seeds"):
            seeds(options.preset, tally, options.seed_scale)
        for name in SUITES:
            parts = [part for part in only if part not in STAGES and any(part in file for file in suite_files(name))]
            if wanted(name):
                suite(name, options.preset, tally, "", options.without_io_uring)
            elif parts:
                suite(name, options.preset, tally, "|".join(parts), options.without_io_uring)
            save()

    go()
    save()
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())

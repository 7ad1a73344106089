#!/usr/bin/env python3
"""The stages of test/run, in order: build, unit, seeds, and the suites that drive a running node."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

from tally import Tally

ROOT = pathlib.Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") in ("true", "1")

UNIT_SECONDS_MAX = 300  # One test binary. Under a sanitizer the slowest takes a tenth of this.
SUITE_SECONDS_MAX = {"conformance": 480, "hostile": 240, "chaos": 300}
SUITES = list(SUITE_SECONDS_MAX)
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


def seeds_binary(preset):
    path = ROOT / f"build/{preset}/test/sim/millrace_seeds"
    return path if path.exists() else None


def seeds(preset, tally, seconds):
    """The simulated node, from seeds (test/sim). The program prints `seed N: ok` or what failed."""
    program = seeds_binary(preset)
    if program is None:
        return
    finished = run([program], seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if finished is None:
        tally.fail("seeds: done in time", f"not in {seconds} s")
        return
    for line in finished.stdout.splitlines():
        if line.startswith("ok "):
            tally.pass_(line[3:])
        elif line.startswith("FAIL "):
            name, _, why = line[5:].partition(": ")
            tally.fail(name, why)
    if finished.returncode != 0:
        print(finished.stdout[-6000:])
        tally.fail("seeds: all end well", f"exit status {finished.returncode}")


def suite(name, preset, tally, pattern):
    with tempfile.NamedTemporaryFile(suffix=".json") as results:
        command = [sys.executable, "test/conformance/harness.py", f"test/{name}", "--results", results.name,
                   "--binary", f"build/{preset}/millrace"]
        if pattern:
            command += ["--match", pattern]
        finished = run(command, SUITE_SECONDS_MAX[name])
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
            for name, command in ctest_commands(options.preset):
                catch_binary(name, command, tally)
        if wanted("seeds"):
            seeds(options.preset, tally, 300)
        for name in SUITES:
            parts = [part for part in only if part not in STAGES and any(part in file for file in suite_files(name))]
            if wanted(name):
                suite(name, options.preset, tally, "")
            elif parts:
                suite(name, options.preset, tally, "|".join(parts))
            save()

    go()
    save()
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())

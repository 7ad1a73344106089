#!/usr/bin/env python3
"""clang-tidy 19 with .clang-tidy over our sources.

    tools/check_tidy.py --build build/release                     every source
    tools/check_tidy.py --build build/release --since COMMIT      sources changed since COMMIT
    tools/check_tidy.py --build build/release --minutes 12        stop taking new files after 12 minutes
    tools/check_tidy.py --build build/release --coroutines        the coroutine checks on every source with one

Measured: the whole set costs 6 to 12 CPU seconds a file, the coroutine checks alone 1. So CI runs those on
everything, and the whole set on what changed last until its time is over. With --minutes the files changed
last come first, and what was left out is said: a run that was cut short never reads as a full one. Headers
are seen through the sources that include them. Generated code is not ours to mend and is left out.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import time

import check_sources

TOOL = "clang-tidy-19"
# A test's fixtures and macros are no place for these; the coroutine and bug checks stay on.
TEST_CHECKS = "-bugprone-chained-comparison,-performance-*,-clang-analyzer-*"
COROUTINE_CHECKS = ("-*,cppcoreguidelines-avoid-capturing-lambda-coroutines,misc-coroutine-hostile-raii,"
                    "cppcoreguidelines-avoid-reference-coroutine-parameters,cppcoreguidelines-no-suspend-with-lock")


def tidy(name, build, deadline, coroutines):
    if time.monotonic() > deadline:
        return None
    command = [TOOL, "-p", str(build), "--quiet", name]
    if coroutines:
        command.insert(1, f"--checks={COROUTINE_CHECKS}")
    elif name.endswith("_test.cc"):
        command.insert(1, f"--checks={TEST_CHECKS}")
    run = subprocess.run(command, cwd=check_sources.ROOT, capture_output=True, text=True)
    found = [line for line in run.stdout.splitlines() if re.search(r": (?:warning|error): ", line)]
    if run.returncode != 0 and not found:  # Not looked at is not clean.
        found = [f"{name}: {TOOL} could not read it: {(run.stdout + run.stderr).strip()[:300]}"]
    return found


REFERENCE = "[cppcoreguidelines-avoid-reference-coroutine-parameters"


def function_at(lines, number):
    """The name of the coroutine whose parameter stands on line `number` (from 1), or None."""
    for first in range(number - 1, max(-1, number - 13), -1):
        head = " ".join(lines[first:number])
        match = re.search(r"\bTask<.*?>+\s+([\w:]+)\s*\(", head)
        if match:
            return match[1].split("::")[-1]
    return None


def includes_of(texts):
    """{file: every header of ours that it sees}, itself among them."""
    direct = {name: [include for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M) if include in texts]
              for name, text in texts.items()}

    def seen_from(name):
        seen, waiting = {name}, [name]
        while waiting:
            new = set(direct[waiting.pop()]) - seen
            seen |= new
            waiting += new
        return seen

    return {name: seen_from(name) for name in texts}


def who_may_call(function, source, texts, seen):
    """The files that see a declaration of `function`, which `source` defines or declares. Another class's
    function of the same name in a file that sees none of them says nothing about this one."""
    call = re.compile(r"\b" + re.escape(function) + r"\s*\(")
    declared_in = {header for header in seen[source] if header.endswith(".h") and call.search(texts[header])}
    return [name for name in texts if name == source or declared_in & seen[name]]


def awaited_in_place(name, texts):
    """STYLE: a reference parameter is allowed where every caller co_awaits in the same expression, so that
    what is lent outlives the call. True when each call of `name` in `texts` stands behind a co_await of
    its own statement, or in a test's Run(), which returns when the task has ended; a Spawn() or a stored
    Task makes it false."""
    calls = 0
    for text, in_test in texts:
        for match in re.finditer(r"\b" + re.escape(name) + r"\s*\(", text):
            start = max(text.rfind(mark, 0, match.start()) for mark in ";{}")
            before = re.sub(r"//[^\n]*", "", text[start + 1:match.start()])
            if re.search(r"\bTask<", before) and "co_await" not in before:
                continue  # Its declaration or definition.
            if re.search(r"[\w>&*]\s+(?:\w+::)*$", before) and not re.search(r"(return|co_await|\?|:|=|,|\()\s*(?:\w+(?:\.|->|::))*$", before):
                continue  # Another declaration of the same name.
            calls += 1
            if "co_await" not in before and not (in_test and re.search(r"\bRun\(", before)):
                return False
    return calls > 0


def without_borrowed(findings, sources):
    """Leaves out the reference parameters of coroutines that are only ever awaited in place. `sources`: {file: text}."""
    texts = {name: re.sub(r"//[^\n]*", "", text) for name, text in sources.items()}
    seen = includes_of(texts)
    verdicts = {}
    kept = []
    for finding in findings:
        place = re.match(r"([^:]+):(\d+):", finding)
        if REFERENCE not in finding or not place:
            kept.append(finding)
            continue
        name = function_at(sources[place[1]].splitlines(), int(place[2]))
        key = (name, place[1])
        if name is not None and key not in verdicts:
            verdicts[key] = awaited_in_place(name, [
                (texts[caller], caller.startswith("test/") or check_sources.is_test(caller))
                for caller in who_may_call(name, place[1], texts, seen)])
        if name is None or not verdicts[key]:
            kept.append(f"{finding} ({name} is not only awaited in place)")
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=check_sources.ROOT / "build/release")
    parser.add_argument("--since")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--coroutines", action="store_true")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    known = (options.build / "compile_commands.json").read_text()
    files = options.files or check_sources.cpp_files(suffixes=(".cc",))
    files = [name for name in files if str(check_sources.ROOT / name) in known]
    if options.since:
        changed = subprocess.run(["git", "diff", "--name-only", options.since], cwd=check_sources.ROOT,
                                 capture_output=True, text=True, check=True).stdout.split()
        files = [name for name in files if name in changed]
    if options.coroutines:
        files = [name for name in files if re.search(r"\bco_(?:await|return|yield)\b", (check_sources.ROOT / name).read_text())]
    deadline = time.monotonic() + options.minutes * 60
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        results = list(pool.map(lambda name: tidy(name, options.build.resolve(), deadline, options.coroutines),
                                check_sources.newest_first(files)))
    skipped = results.count(None)
    findings = sorted({line.replace(f"{check_sources.ROOT}/", "") for lines in results if lines for line in lines})
    findings = without_borrowed(findings, {name: (check_sources.ROOT / name).read_text()
                                           for name in check_sources.cpp_files(suffixes=(".cc", ".h"))})
    if skipped:
        print(f"tidy: {skipped} of {len(files)} files left out, the oldest ones: out of time", file=sys.stderr)
    return check_sources.report("tidy", len(files) - skipped, findings)


if __name__ == "__main__":
    sys.exit(main())

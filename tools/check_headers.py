#!/usr/bin/env python3
"""Every header compiles alone: it includes what it needs, and whoever includes it first is not punished.

    tools/check_headers.py --build build/release [-j N] [--minutes N] [header ...]

One generated source per header lies in BUILD/checkheaders/; each is compiled with the flags of our own
sources and no precompiled header. ccache, where it is installed, makes a second run a matter of seconds.
Headers of generated code must exist, so build first.

Cold, all of them cost 20 CPU minutes. With --minutes the headers that were changed last come first, and what was
left out is said.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import time

import check_sources

COMPILER = "clang++-19"
PACKAGES = ["liburing", "libisal", "libzstd", "liblz4"]


def flags(build):
    packages = subprocess.run(["pkg-config", "--cflags", *PACKAGES], capture_output=True, text=True)
    return ["-std=c++23", "-O0", "-Wall", "-Wextra", "-Wswitch", "-Werror", "-fno-strict-aliasing",
            f"-I{check_sources.ROOT}", f"-I{build / 'generated'}", *packages.stdout.split()]


LEFT_OUT = ""


def compile_one(header, build, common, deadline):
    if time.monotonic() > deadline:
        return LEFT_OUT
    source = build / "checkheaders" / (header.replace("/", "__") + ".cc")
    text = f'#include "{header}"\n#include "{header}"  // Twice: the guard holds.\n'
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    ccache = [shutil.which("ccache")] if shutil.which("ccache") else []
    run = subprocess.run([*ccache, COMPILER, *common, "-c", str(source), "-o", str(source.with_suffix(".o"))],
                         cwd=check_sources.ROOT, capture_output=True, text=True)
    if run.returncode == 0:
        return None
    error = next((line for line in run.stderr.splitlines() if "error:" in line), run.stderr.strip()[:300])
    return f"{header}: does not compile alone: {error}. Include or forward-declare what it names"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=check_sources.ROOT / "build/release")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("headers", nargs="*")
    options = parser.parse_args()
    build = options.build.resolve()
    (build / "checkheaders").mkdir(parents=True, exist_ok=True)
    headers = options.headers or check_sources.cpp_files(suffixes=(".h",))
    common = flags(build)
    deadline = time.monotonic() + options.minutes * 60
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        results = list(pool.map(lambda header: compile_one(header, build, common, deadline),
                                check_sources.newest_first(headers)))
    left_out = results.count(LEFT_OUT)
    if left_out:
        print(f"headers: {left_out} of {len(headers)} left out, those changed longest ago: out of time", file=sys.stderr)
    return check_sources.report("headers", len(headers) - left_out, [finding for finding in results if finding])


if __name__ == "__main__":
    sys.exit(main())

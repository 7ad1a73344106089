#!/usr/bin/env python3
"""Our C++ files look as clang-format 19 with .clang-format leaves them. `--fix` makes them so."""

import subprocess
import sys

import check_sources

TOOL = "clang-format-19"


def main():
    files = check_sources.cpp_files()
    if not files:
        return check_sources.report("format", 0, [])
    if "--fix" in sys.argv[1:]:
        return subprocess.run([TOOL, "-i", *files], cwd=check_sources.ROOT).returncode
    run = subprocess.run([TOOL, "--dry-run", "-Werror", *files], cwd=check_sources.ROOT,
                         capture_output=True, text=True)
    bad = sorted({line.split(":")[0] for line in run.stderr.splitlines() if ": error:" in line})
    findings = [f"{name}: not as {TOOL} leaves it. Run tools/check_format.py --fix" for name in bad]
    if run.returncode != 0 and not findings:
        findings = [run.stderr.strip()]
    return check_sources.report("format", len(files), findings)


if __name__ == "__main__":
    sys.exit(main())

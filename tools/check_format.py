#!/usr/bin/env python3
"""Our C++ files look as clang-format 19 with .clang-format leaves them. `--fix` makes them so.

Files that were found sound are remembered by their content (build/check_format.seen): clang-format takes half a
minute for the whole tree, and a change touches a few files.
"""

import hashlib
import subprocess
import sys

import check_sources

TOOL = "clang-format-19"
SEEN = check_sources.ROOT / "build/check_format.seen"


def digest(style, name):
    return hashlib.sha256(style + (check_sources.ROOT / name).read_bytes()).hexdigest()


def main():
    files = check_sources.cpp_files()
    style = (check_sources.ROOT / ".clang-format").read_bytes()
    seen = set(SEEN.read_text().split()) if SEEN.exists() else set()
    new = [name for name in files if digest(style, name) not in seen]
    findings = []
    if new and "--fix" in sys.argv[1:]:
        subprocess.run([TOOL, "-i", *new], cwd=check_sources.ROOT, check=True)
    elif new:
        run = subprocess.run([TOOL, "--dry-run", "-Werror", *new], cwd=check_sources.ROOT, capture_output=True, text=True)
        bad = sorted({line.split(":")[0] for line in run.stderr.splitlines() if ": error:" in line})
        findings = [f"{name}: not as {TOOL} leaves it. Run tools/check_format.py --fix" for name in bad]
        if run.returncode != 0 and not findings:
            findings = [run.stderr.strip()]
    if not findings:
        SEEN.parent.mkdir(exist_ok=True)
        SEEN.write_text("\n".join(sorted(digest(style, name) for name in files)) + "\n")
    return check_sources.report("format", len(files), findings)


if __name__ == "__main__":
    sys.exit(main())

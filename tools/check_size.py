#!/usr/bin/env python3
"""Size is a smell, so it is a ratchet: what is small may not quietly grow large.

A file above FILE_LINES_MAX or a function above FUNCTION_LINES_MAX needs a line in tools/size_baseline.txt
(`path lines` or `path:Function lines`), and may not grow past it. A line there that is no longer needed
is a finding too: the ratchet only turns one way.
"""

import re
import sys

import check_sources

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 100
BASELINE = "tools/size_baseline.txt"

_NOT_A_FUNCTION = re.compile(r"\b(?:namespace|class|struct|union|enum|extern|if|for|while|switch|do|else|try)\b")


def functions(code):
    """Yields (name, first line, lines) of each function body, the outermost only."""
    head_start = 0
    position = 0
    while position < len(code):
        character = code[position]
        if character in ";}":
            head_start = position + 1
        elif character == "{":
            head = re.sub(r"^\s*#.*$", "", code[head_start:position], flags=re.M).strip()
            name = re.search(r"([\w:~]+)\s*\(", head)
            if name and not _NOT_A_FUNCTION.search(re.sub(r"\([^()]*\)", "", head)):
                end = check_sources.matching_brace(code, position)
                first = check_sources.line_of(code, position - len(code[head_start:position].lstrip()))
                yield name.group(1), first, check_sources.line_of(code, end) - first + 1
                position = end
                head_start = end
                continue
            head_start = position + 1
        position += 1


def baseline(root):
    path = root / BASELINE
    if not path.exists():
        return {}
    entries = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return {name: int(lines) for name, lines in filter(None, entries)}


def check(root):
    known = baseline(root)
    unused = set(known)
    findings = []

    def judge(name, where, lines, limit, advice):
        allowed = known.get(name)
        if lines <= limit:
            return
        unused.discard(name)
        if allowed is None or lines > allowed:
            was = f" (it was {allowed})" if allowed else ""
            findings.append(f"{where}: {lines} lines, at most {limit}{was}. {advice}")

    files = check_sources.cpp_files(root)
    for source in files:
        text = (root / source).read_text()
        judge(source, source, text.count("\n"), FILE_LINES_MAX, "Does it hold more than one concept? One per file")
        for name, first, lines in functions(check_sources.code_only(text)):
            if name not in ("TEST_CASE", "SCENARIO"):
                judge(f"{source}:{name}", f"{source}:{first} {name}", lines, FUNCTION_LINES_MAX,
                      "Keep the branches here and move pure work into leaves")
    findings += [f"{BASELINE}: {name} is small now. Delete its line" for name in sorted(unused)]
    return check_sources.report("size", len(files), findings)


if __name__ == "__main__":
    sys.exit(check(check_sources.ROOT))

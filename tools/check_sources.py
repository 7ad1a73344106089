"""What the checks share: which files are ours, and their text without comments and literals.

A check reads the C++ as text, not as a compiler would: it is meant to be quick, and to say what to do
instead. What needs a compiler's eye is clang-tidy's (tools/check_tidy.py).
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
_DIGIT_SEPARATOR = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")


def cpp_files(root=ROOT, suffixes=(".h", ".cc")):
    """Our C++ files, as paths relative to `root`: tracked ones and new ones, never ignored ones."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root, capture_output=True, check=True).stdout.decode()
    names = sorted({name for name in listing.split("\0") if name.endswith(suffixes)})
    return [name for name in names if (root / name).exists()]


def newest_first(files):
    """`files`, those that a commit changed last first; for a check that may run out of time."""
    log = subprocess.run(["git", "log", "--format=", "--name-only", "-n", "400"], cwd=ROOT,
                         capture_output=True, text=True).stdout.splitlines()
    rank = {}
    for name in log:
        rank.setdefault(name, len(rank))
    return sorted(files, key=lambda name: rank.get(name, -1))


def is_test(name):
    """A unit test, or what unit tests share."""
    return bool(re.search(r"_test\.cc$|_test_\w+\.(?:h|cc)$|/contract_world\.(?:h|cc)$|_fixture\.(?:h|cc)$", name))


def code_only(text):
    """`text` with comments gone and literals emptied; every line keeps its number."""
    text = _DIGIT_SEPARATOR.sub("", text)

    def blank(match):
        token = match.group(0)
        lines = "\n" * token.count("\n")
        if token.startswith(("//", "/*")):
            return lines or " "
        return '""' + lines if token[0] in '"R' else "' '"

    # An include's quotes are not a string literal: the layer check reads them elsewhere.
    return _TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def matching_brace(code, opening):
    """Position just behind the brace that closes the one at `opening`."""
    depth = 0
    for position in range(opening, len(code)):
        if code[position] == "{":
            depth += 1
        elif code[position] == "}":
            depth -= 1
            if depth == 0:
                return position + 1
    return len(code)


def report(name, checked, findings):
    """Prints the findings and one line of summary, and returns the exit status."""
    for finding in findings:
        print(finding)
    print(f"{name}: {checked} checked, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0

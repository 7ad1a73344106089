"""Counts test results, and writes the one line every runner of ours ends with."""

import json
import pathlib


class Tally:
    """Results by name. A name counts once; what failed or was skipped carries the reason."""

    def __init__(self):
        self.passed = []
        self.failed = []  # (name, why)
        self.skipped = []  # (name, why)

    def pass_(self, name):
        self.passed.append(name)

    def fail(self, name, why):
        self.failed.append((name, why))
        print(f"FAIL  {name}: {why}", flush=True)

    def skip(self, name, why):
        self.skipped.append((name, why))
        print(f"skip  {name}: {why}", flush=True)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def line(self):
        text = f"{len(self.passed)} passed, {len(self.failed)} failed"
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")

    def finish(self):
        """Names once more what did not pass, prints the line, returns the exit status."""
        for name, why in self.skipped:
            print(f"skipped: {name}: {why}")
        for name, why in self.failed:
            print(f"failed: {name}: {why.splitlines()[0] if why else why}")
        print(self.line(), flush=True)
        return 1 if self.failed or not self.passed else 0

    def save(self, path):
        pathlib.Path(path).write_text(json.dumps(vars(self)))

    @staticmethod
    def load(path):
        tally = Tally()
        for field, values in json.loads(pathlib.Path(path).read_text()).items():
            setattr(tally, field, [tuple(value) if isinstance(value, list) else value for value in values])
        return tally

"""The test clients that are written in JavaScript: beside the packages that their lock file names, in the build folder."""

import functools
import shutil

from harness import ROOT, build_folder, need, run


@functools.cache
def javascript(name, file):
    """FILE of test/conformance/NAME, where its packages are installed."""
    here = ROOT / "test/conformance" / name
    npm = need("npm")
    folder = build_folder(name)
    lock = (here / "package-lock.json").read_text()
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != lock:
        for copied in ("package.json", "package-lock.json"):
            shutil.copy(here / copied, folder)
        run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, seconds=180)
        installed.write_text(lock)
    shutil.copy(here / file, folder)
    return folder / file

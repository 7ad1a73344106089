"""The test clients that are written in Go: built once, from the modules that their go.sum names."""

import functools
import re
import shutil

from harness import ROOT, Skip, build_folder, need, run


@functools.cache
def go_program(name, under="test/conformance"):
    """The binary of UNDER/NAME."""
    here = ROOT / under / name
    go = need("go")
    wanted = re.search(r"^go (\d+)\.(\d+)", (here / "go.mod").read_text(), re.M)
    installed = re.search(r"go(\d+)\.(\d+)", run([go, "version"]))
    if [int(part) for part in installed.groups()] < [int(part) for part in wanted.groups()]:
        raise Skip(f"{name} needs Go {wanted.group(1)}.{wanted.group(2)}, here is {installed.group(1)}.{installed.group(2)}")
    folder = build_folder(name)
    for source in here.iterdir():
        shutil.copy(source, folder)
    binary = folder / name
    run([go, "build", "-mod=readonly", "-o", binary, "."], cwd=folder, seconds=300, env={"GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"})
    return binary

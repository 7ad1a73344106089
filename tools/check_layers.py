#!/usr/bin/env python3
"""Arrows between folders point downward only (docs/architecture.md, Layers).

The same arrows stand in CMakeLists.txt as link dependencies; this check sees what linking does not:
an include of a header-only thing, and a cycle before it links.
"""

import re
import sys

import check_sources

_BASE = ["common", "common/log"]
_RUNTIME = [*_BASE, "common/runtime"]
_NODE = [*_RUNTIME, "common/metrics", "common/config"]

MAY_INCLUDE = {  # folder -> folders it may include besides itself; the longest match wins
    "common": [],
    "common/log": ["common"],
    "common/json": ["common"],
    "common/http": ["common"],
    "common/config": ["common"],
    "common/metrics": ["common"],
    "common/runtime": _BASE,
    # One library: the reactors stand on descriptors and operations of sys, and sys builds the world of them.
    "common/sys": [*_RUNTIME, "common/runtime/uring", "common/runtime/epoll"],
    "common/runtime/uring": [*_RUNTIME, "common/sys"],
    "common/runtime/epoll": [*_RUNTIME, "common/sys"],
    "common/runtime/sim": _RUNTIME,
    "proto": ["common"],
    "storage": _NODE,
    "replication": [*_NODE, "storage"],
    "controller/image": ["common", "proto"],
    "controller/raft": ["common"],
    "controller/transport": _RUNTIME,
    # Real descriptors are what gRPC takes: it stands on the machine.
    "controller/grpc": [*_RUNTIME, "common/sys", "controller/transport"],
    "controller/quorum": [*_NODE, "proto", "storage", "controller", "controller/image", "controller/raft",
                          "controller/transport"],
    "controller": [*_NODE, "proto", "storage", "replication", "controller/image", "controller/transport"],
    "controller/session": [*_NODE, "proto", "controller", "controller/image", "controller/transport"],
    "broker": [*_NODE, "broker/groups", "broker/coordinator", "common/http", "common/json", "proto", "storage", "replication", "controller/image", "controller/transport"],
    "broker/groups": ["common", "common/config", "proto", "controller/image"],
    "broker/coordinator": [*_RUNTIME, "proto", "storage", "replication", "controller/image", "broker/groups"],
    "cli": None,  # The root of the tree: it builds the world and may name everything.
    "test": None,
}

# The interfaces of the world speak in tasks: they stand in common/ for their readers and belong to the runtime.
WORLD_INTERFACES = re.compile(r"common/(?:disk|network|env)(?:_test)?\.(?:h|cc)")

# The broker reaches the controller of its own process through these and nothing else: they are what a
# connection to a remote controller will stand behind.
CONTROLLER_SEAM = {"controller/config_decisions.h", "controller/controller.h", "controller/quorum/raft_quorum.h",
                   "controller/session/session_message.h"}
# This one puts the process together: the controller and its quorum beside the broker.
COMPOSITION = ("broker/node.h", "broker/node.cc", "broker/node_test.cc", "broker/node_controller.h",
               "broker/node_controller.cc", "broker/quorum_settings.h",
               "broker/quorum_settings.cc", "broker/node_link.h", "broker/node_link.cc")

# A unit test may build a world, the simulated one or the machine's, and read golden files of test/.
FOR_TESTS = ["common/runtime/sim", "common/runtime/uring", "common/runtime/epoll", "common/sys", "test"]


def home(path):
    if WORLD_INTERFACES.fullmatch(path):
        return "common/runtime"
    matches = [folder for folder in MAY_INCLUDE if path.startswith(folder + "/")]
    return max(matches, key=len, default=None)


def check(root):
    findings = []
    files = check_sources.cpp_files(root)
    for source in files:
        layer = home(source)
        if layer is None:
            findings.append(f"{source}: no layer of its own. Move it into a folder of MAY_INCLUDE, or add its "
                            "folder there and in CMakeLists.txt: a new folder is an architectural decision")
            continue
        allowed = MAY_INCLUDE[layer]
        if allowed is None:
            continue
        if check_sources.is_test(source):
            allowed = [*allowed, *FOR_TESTS]
        text = (root / source).read_text()
        for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
            include = match.group(1)
            if layer == "broker" and include in CONTROLLER_SEAM:
                continue
            if source in COMPOSITION and home(include).startswith("controller"):
                continue
            where = f"{source}:{check_sources.line_of(text, match.start(1))}"
            if home(include) is None:
                findings.append(f'{where}: "{include}" is not a path from the root of the repository. Write the '
                                "whole path; library headers go in <>")
            elif home(include) not in (layer, *allowed):
                findings.append(f"{where}: {layer} may not include {include}. Move what you need down into a "
                                "folder both may include, or hand it in through an interface")
    return check_sources.report("layers", len(files), findings)


if __name__ == "__main__":
    sys.exit(check(check_sources.ROOT))

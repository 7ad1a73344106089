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
_LOGS = ["storage", "storage/record", "storage/producer", "storage/kv"]
_BROKER = [*_NODE, "proto", *_LOGS, "replication", "controller/image", "broker/groups", "broker/coordinator", "broker/server",
           "broker/fetch"]

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
    # One library in rooms. What a record, a journal, the files of a segment and the state of producers are does not know the
    # logs that are made of them; the journal, segments and compaction are nobody else's.
    "storage/record": _RUNTIME,
    "storage/journal": _NODE,
    "storage/kv": _NODE,
    "storage/segment": [*_NODE, "storage/record"],
    "storage/producer": [*_NODE, "storage/record", "storage/segment"],
    "storage/compaction": [*_NODE, "storage/record", "storage/segment", "storage/producer"],
    "storage": [*_NODE, "storage/record", "storage/journal", "storage/kv", "storage/segment", "storage/producer",
                "storage/compaction"],
    "replication": [*_NODE, *_LOGS],
    "controller/image": ["common", "proto"],
    "controller/raft": ["common"],
    "controller/transport": _RUNTIME,
    # Real descriptors are what gRPC takes: it stands on the machine.
    "controller/grpc": [*_RUNTIME, "common/sys", "controller/transport"],
    "controller/quorum": [*_NODE, "proto", "storage/kv", "controller", "controller/image", "controller/raft",
                          "controller/transport"],
    "controller": [*_NODE, "proto", "replication", "controller/image", "controller/transport"],
    "controller/session": [*_NODE, "proto", "controller", "controller/image", "controller/transport"],
    # One library in rooms: connections and the memory they take, then what a broker does, the APIs that ask for it, what it has
    # the controller do, and the node that is made of all of them.
    "broker/server": [*_NODE, "proto", "controller/transport"],
    "broker/fetch": [*_NODE, "proto", "broker/server"],
    "broker": _BROKER,
    "broker/api": [*_BROKER, "broker"],
    "broker/admin": [*_NODE, "common/http", "common/json", "broker"],
    "broker/control": [*_BROKER, "broker", "broker/api", "controller/transport"],
    "broker/node": [*_BROKER, "broker", "broker/api", "broker/admin", "broker/control", "controller/transport"],
    "broker/groups": ["common", "common/config", "proto", "controller/image"],
    "broker/coordinator": [*_RUNTIME, "proto", "storage", "storage/record", "replication", "controller/image", "broker/groups"],
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
COMPOSITION = ("broker/node/node.h", "broker/node/node.cc", "broker/node/node_controller.h",
               "broker/node/node_controller.cc", "broker/node/quorum_settings.h",
               "broker/node/quorum_settings.cc", "broker/node/node_link.h", "broker/node/node_link.cc")

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
            if layer.startswith("broker") and include in CONTROLLER_SEAM:
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

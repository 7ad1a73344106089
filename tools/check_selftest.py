#!/usr/bin/env python3
"""The checks find what they are for: each is shown a small tree with one sin, and one without."""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile

import check_banned
import check_layers
import check_size
import check_tidy

CASES = [  # (check, file, text, part of the finding; None: clean)
    (check_layers, "storage/log.h", '#include "broker/server/server.h"\n', "storage may not include broker/server/server.h"),
    (check_layers, "controller/image/topic.h", '#include "storage/log.h"\n', "may not include storage/log.h"),
    (check_layers, "broker/server/server.h", '#include "controller/raft/raft.h"\n', "may not include controller/raft"),
    (check_layers, "broker/server/server.h", '#include "server_impl.h"\n', "not a path from the root"),
    (check_layers, "util/x.h", "", "no layer of its own"),
    (check_layers, "storage/segment/segment.h", '#include "storage/log.h"\n', "storage/segment may not include storage/log.h"),
    (check_layers, "broker/server/server.h", '#include "broker/broker.h"\n', "broker/server may not include broker/broker.h"),
    (check_layers, "broker/broker.h", '#include "storage/log.h"\n#include "controller/image/image.h"\n', None),
    (check_layers, "storage/log_test.cc", '#include "common/runtime/sim/sim_reactor.h"\n', None),
    (check_banned, "storage/a.cc", "auto t = std::chrono::steady_clock::now();\n", "clock"),
    (check_banned, "storage/a.cc", "int fd = ::open(path, 0);\n", "Disk&"),
    (check_banned, "storage/a.cc", "std::thread t;\n", "thread"),
    (check_banned, "broker/a.h", "namespace millrace {\nstruct A {};\nclass A final : B {};\n}\n", "one name"),
    (check_banned, "broker/a.h", "namespace millrace {\nstruct A {};\nstruct B;\n}\nnamespace millrace::x {\nstruct A {};\n}\n", None),
    (check_banned, "storage/a.cc", "std::this_thread::sleep_for(1s);\n", "sleep"),
    (check_banned, "broker/a.cc", "int x = rand();\n", "random"),
    (check_banned, "broker/a.cc", "task.detach();\n", "TaskScope"),
    (check_banned, "broker/a.cc", "#include <spdlog/spdlog.h>\n", "spdlog"),
    (check_banned, "storage/a.cc", "#include <rocksdb/db.h>\n", "RocksDB"),
    (check_banned, "cli/a_command.cc", "#include <CLI/CLI.hpp>\n", "CLI11"),
    (check_banned, "cli/command_parser.h", "#include <CLI/CLI.hpp>\n", "CLI11"),
    (check_banned, "cli/command_parser.cc", "#include <CLI/CLI.hpp>\n", None),
    (check_banned, "replication/a.h", "std::unordered_map<int, int> m;\n", "order"),
    (check_banned, "controller/a.h", "std::map<Broker*, int> m;\n", "addresses"),
    (check_banned, "replication/isr.cc", "co_await Sync();\n", "decide in the core"),
    (check_banned, "broker/a.cc", "auto f = [this](int x) -> Task<void> { co_await Go(x); };\n", "coroutine lambda"),
    (check_banned, "broker/a.cc", "Spawn([&] { auto g = [] { return 1; }; co_return; });\n", "coroutine lambda"),
    (check_banned, "broker/a.cc", "auto f = [](int x) -> Task<void> { co_await Go(x); };\n", None),
    (check_banned, "broker/a.cc", "auto f = [this] { Use([](int x) -> Task<void> { co_return; }); };\n", None),
    (check_banned, "broker/a.cc", "// std::thread, rand(), sleep_for\nconst char* s = \"std::thread\";\n", None),
    (check_banned, "common/sys/a.cc", "std::thread t; int fd = ::open(path, 0);\n", None),
    (check_banned, "broker/a.cc", "if (values[i]) { co_return; }\n", None),
    (check_size, "broker/a.cc", "int x;\n" * 601, "at most 600"),
    (check_size, "broker/a.cc", "void A::F(int x) {\n" + "  x++;\n" * 120 + "}\n", "at most 100"),
    (check_size, "broker/a.cc", "namespace m {\n" + "int F() { return 1; }\n" * 300 + "}\n", None),
    (check_size, "broker/a.cc", "class A {\n" + "  int F() { return 1; }\n" * 200 + "};\n", None),
]


BORROWED = "[cppcoreguidelines-avoid-reference-coroutine-parameters]"
TIDY_TREE = {  # One coroutine that borrows and is awaited in place, and a namesake elsewhere that is a plain function.
    "a.h": "Task<void> Go(const int& x);\n",
    "a.cc": '#include "a.h"\nTask<void> Go(const int& x) { co_return; }\n',
    "user.cc": '#include "a.h"\nTask<void> Use() { co_await Go(1); }\n',
    "namesake.cc": "void Other() { Go(2); }\n",
}


def tidy_is_wrong():
    """What is wrong with the check of borrowed parameters, as lines."""
    wrong = []
    for callers, expected in (({}, 0), ({"user.cc": '#include "a.h"\nvoid Use() { Spawn(Go(1)); }\n'}, 1)):
        kept = check_tidy.without_borrowed([f"a.cc:2:17: error: a reference {BORROWED}"], TIDY_TREE | callers)
        if len(kept) != expected:
            wrong.append(f"check_tidy with {callers}: wanted {expected} findings, found {kept}")
    return wrong


def findings(check, name, text):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        subprocess.run(["git", "init", "-q", folder], check=True)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            check.check(root)
        return output.getvalue()


def main():
    wrong = tidy_is_wrong()
    for check, name, text, wanted in CASES:
        seen = findings(check, name, text)
        if (wanted is None and seen) or (wanted is not None and wanted not in seen):
            wrong.append(f"{check.__name__} on {name} {text[:60]!r}: wanted {wanted!r}, found {seen!r}")
    for line in wrong:
        print(line)
    print(f"selftest: {len(CASES) + 2} checked, {len(wrong)} findings", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

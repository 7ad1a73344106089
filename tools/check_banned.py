#!/usr/bin/env python3
"""What our code does not call or include, and what to use instead (docs/testing.md, Checks).

The world is injected: a seed can only replay what goes through Env. Pure cores keep their elements in
an order that is the same in every process, or a replay diverges. A library is named in one adapter.
"""

import re
import sys

import check_sources

# Where the machine itself is touched.
MACHINE = ("common/sys/", "common/runtime/uring/", "common/runtime/epoll/")
# Programs that are no part of a node: they drive one, or measure.
PROGRAMS = ("test/bench/", "test/fuzz/", "test/chaos/", "test/golden/", "test/scripts/")

# (what, pattern, instead, paths that may)
CALLS = [
    ("clock", r"\b\w+_clock::now\b|\b(?:clock_gettime|gettimeofday|timespec_get)\s*\(|::time\s*\(|\babsl::Now\b",
     "ask the Clock& of Env, or take `now` as an argument", (*MACHINE, *PROGRAMS)),
    ("random", r"\brandom_device\b|(?<![\w.>])s?rand\s*\(|\bgetrandom\s*\(|\babsl::(?:Insecure)?BitGen\b",
     "draw from the Random& of Env; a test seeds a generator of its own", (*MACHINE, *PROGRAMS)),
    ("generator", r"\b(?:mt19937|minstd_rand)\w*", "draw from the Random& of Env", (*MACHINE, *PROGRAMS, "test")),
    ("sleep", r"\bsleep_(?:for|until)\b|(?<![\w.>])(?:u|nano)?sleep\s*\(|\babsl::SleepFor\b",
     "await a timer of the Clock& (a test waits for a condition, on virtual time)", (*MACHINE, *PROGRAMS)),
    ("thread", r"\bstd::(?:j?thread|async)\b(?!::id)|\bpthread_create\b",
     "run on a shard, or hand a blocking call to the helper pool", (*MACHINE, *PROGRAMS)),
    ("file", r"(?<![\w])::(?:open|openat|creat|read|pread|preadv2?|write|pwrite|pwritev2?|fsync|fdatasync|rename|renameat2?|unlink|unlinkat|mkdir|rmdir|ftruncate|truncate|fallocate|stat|fstat|lstat|opendir)\s*\(|(?<![\w.>:])(?:std::)?f(?:re)?open\s*\(|\bstd::(?:basic_)?[io]?fstream\b|\bstd::filesystem\b",
     "go through the Disk& of Env", (*MACHINE, *PROGRAMS)),
    ("socket", r"(?<![\w])::(?:socket|bind|listen|accept4?|connect|send|sendto|sendmsg|recv|recvfrom|recvmsg|shutdown|getaddrinfo)\s*\(",
     "go through the Network& of Env", (*MACHINE, *PROGRAMS)),
    ("environment", r"(?<![\w.>])(?:std::|::)?(?:secure_)?getenv\s*\(",
     "read it in cli/ and pass the value", (*MACHINE, *PROGRAMS, "cli/")),
    ("exit", r"(?<![\w.>])(?:std::|::)?(?:_?exit|quick_exit)\s*\(",
     "return a Status to main()", ("cli/", "common/sys/", *PROGRAMS)),
    ("detach", r"(?:\.|->)detach\s*\(\s*\)", "spawn into a TaskScope that somebody stops", ()),
    ("throw", r"\bthrow\b", "return absl::Status; what a library throws ends in its adapter", ()),
]

# (library, include pattern, its adapter, paths that may)
LIBRARIES = [
    ("spdlog", r"<spdlog/", "common/log", ("common/log/",)),
    ("RocksDB", r"<rocksdb/", "storage/kv/kv_store.h", ("storage/kv/kv_store_rocksdb",)),
    ("gRPC", r"<grpc", "controller/transport", ("controller/grpc/grpc_library",)),
    ("liburing", r"<liburing", "Reactor", ("common/runtime/uring/",)),
    ("CLI11", r"<CLI/", "cli/command_parser.h", ("cli/command_parser.cc",)),
    ("a codec", r"<(?:zstd|lz4|lz4frame|snappy|snappy-c|zlib)\.h>", "storage/record/codec.h",
     ("storage/record/codec", "storage/record/compress", "test/bench/")),
    ("ISA-L", r"<isa-l|<isal|<crc\.h>", "common/bytes/crc32c.h", ("common/bytes/crc32c",)),
    ("std::thread", r"<(?:thread|future)>", "the helper pool", (*MACHINE, *PROGRAMS)),
    ("the file system", r"<(?:filesystem|fstream)>", "Disk&", (*MACHINE, *PROGRAMS)),
]

# Pure cores: same input, same output, same order, in every process. A path here is a prefix.
PURE_CORES = (
    "controller/", "replication/", "storage/producer/producer_state", "storage/leader_epoch_cache", "broker/fetch/fetch_session",
    "broker/groups/", "broker/transactions/", "broker/shares/", "broker/quotas/",
)
ORDER = [
    ("order", r"\b(?:std::unordered_\w+|absl::(?:flat|node)_hash_\w+)\b",
     "std::map, std::set, absl::btree_map or a sorted vector: the order of a hash differs between processes"),
    ("order", r"\b(?:map|set|btree_map|btree_set)<\s*(?:const\s+)?[\w:]+\s*\*",
     "key it by an id: addresses differ between processes"),
]

# Files of a pure core's folder that are its shell: they may await. A new name here is a decision.
SHELLS = ("controller/controller.", "controller/quorum/", "controller/transport/", "controller/grpc/", "controller/session/session_server",
          "replication/partition.", "replication/partition_table", "replication/isr_channel", "replication/high_watermarks",
          "replication/follower_feed", "replication/leader_link", "replication/replication_shard", "replication/stream_reader")
AWAIT = ("await", r"\bco_(?:await|return|yield)\b",
         "decide in the core, do in the shell: return what is to be done as a value (a shell is named in SHELLS)")

LAMBDA = re.compile(r"\[([^\[\]\n]*)\]\s*(?:\([^{};]*?\)\s*)?(?:mutable\s*)?(?:noexcept\s*)?(?:->\s*[\w:<>,\s]+?)?\s*\{")
COROUTINE = re.compile(r"\bco_(?:await|return|yield)\b")


def coroutine_lambdas(code):
    """Yields the position of each lambda with captures whose own body is a coroutine.

    The frame outlives the lambda object: a capture read after the first suspension is freed memory.
    """
    lambdas = []
    for match in LAMBDA.finditer(code):
        before = code[:match.start()].rstrip()
        if before and (before[-1].isalnum() or before[-1] in "_])>") and not before.endswith("return"):
            continue  # An index or an attribute, not a lambda.
        opening = match.end() - 1
        lambdas.append((match.start(), match.group(1).strip(), opening, check_sources.matching_brace(code, opening)))
    for start, captures, opening, end in lambdas:
        if not captures:
            continue
        body = code[opening:end]
        for _, _, inner_opening, inner_end in sorted(lambdas, reverse=True):
            if opening < inner_opening and inner_end <= end:
                body = body[:inner_opening - opening] + " " * (inner_end - inner_opening) + body[inner_end - opening:]
        if COROUTINE.search(body):
            yield start


NAMESPACE = re.compile(r"^namespace ([\w:]+) \{", re.M)
TYPE = re.compile(r"^(?:struct|class|enum class) (\w+)(?: final)?(?:\s+:(?!:)[^;{]*)?\s*\{", re.M)


def named_twice(sources):
    """Yields what is found of types that two headers define under one name: the linker would take either for both."""
    known = {}
    for source, code in sources:
        namespaces = list(NAMESPACE.finditer(code))
        for match in TYPE.finditer(code):
            around = [found.group(1) for found in namespaces if found.start() < match.start()]
            name = f"{around[-1] if around else ''}::{match.group(1)}"
            where = f"{source}:{check_sources.line_of(code, match.start())}"
            if name in known:
                yield f"{where}: one name: {name} is also defined in {known[name]}. Instead: another name, or a namespace of its own"
            known.setdefault(name, where)


def check(root):
    findings = []
    files = check_sources.cpp_files(root)
    headers = ((source, check_sources.code_only((root / source).read_text())) for source in files if source.endswith(".h"))
    findings += named_twice(headers)
    for source in files:
        text = (root / source).read_text()
        code = check_sources.code_only(text)

        def find(what, pattern, instead):
            for match in re.finditer(pattern, code):
                line = check_sources.line_of(code, match.start())
                findings.append(f"{source}:{line}: {what}: `{match.group(0).strip()}`. Instead: {instead}")

        is_test = check_sources.is_test(source)
        for what, pattern, instead, allowed in CALLS:
            # "test" among the paths also stands for unit tests: what they draw is seeded in them.
            if not source.startswith(allowed) and not (is_test and "test" in allowed):
                find(what, pattern, instead)
        for library, pattern, adapter, allowed in LIBRARIES:
            if source.startswith(allowed):
                continue
            for match in re.finditer(r"^\s*#\s*include\s+(" + pattern + ")", text, re.M):
                line = check_sources.line_of(text, match.start(1))
                findings.append(f"{source}:{line}: include: {library} is named in its adapter only. Instead: {adapter}")
        if source.startswith(PURE_CORES):
            for what, pattern, instead in ORDER:
                find(what, pattern, instead)
            if not source.startswith(SHELLS) and not is_test:
                find(*AWAIT)
        for position in coroutine_lambdas(code):
            findings.append(f"{source}:{check_sources.line_of(code, position)}: a coroutine lambda with captures. "
                            "Instead: a named function or member that takes what it needs by value")
    return check_sources.report("banned", len(files), findings)


if __name__ == "__main__":
    sys.exit(check(check_sources.ROOT))

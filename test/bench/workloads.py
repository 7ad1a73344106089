"""What test/bench/run measures: each workload, how it is driven, which figures of it are told, and how much of everything."""

import dataclasses
import typing

LARGE = ("--record-bytes", "1024", "--batch-records", "64", "--partitions", "6")
SMALL = ("--record-bytes", "100", "--batch-records", "10")
SINGLE = ("--record-bytes", "1024", "--batch-records", "1", "--partitions", "6")
ONE_CONNECTION = (*SMALL, "--connections", "1", "--in-flight", "30")  # As many as one partition can have.
LARGE_BATCH_BYTES = 64 * 1024
# Where durability makes no difference, two columns say it all.
DEFAULTS = ("kafka-cache", "millrace-disk")


@dataclasses.dataclass(frozen=True)
class Scale:
    """How long and how much. `tail_mb` fits into our tail cache (24 MB on a machine of 3 GB or more), `cached_mb` does not."""
    rounds: int = 3
    seconds: float = 2.5
    warm_up: float = 0.5
    warm_up_jvm: float = 6
    tail_mb: int = 12
    cached_mb: int = 1500
    behind_mb: int = 6000  # More than anybody reads while the producer runs.
    log_mb: int = 10000
    burst_mb: int = 1000   # Written right before a kill -9, so that there is something to recover.
    topics: int = 10       # Of a thousand partitions each.
    settle: float = 25     # Until what is done behind the answers is done.
    idle: float = 10


# Shows that everything works; its figures say little.
QUICK = Scale(rounds=1, seconds=0.5, warm_up=0.1, warm_up_jvm=1, cached_mb=200, behind_mb=1000, log_mb=1500, burst_mb=100,
              topics=1, settle=2, idle=2)


def per_gb(run):
    return run["broker_cpu_s"] / (run["bytes"] / 1e9) if run["bytes"] else None


def per_batch_us(run):
    return run["broker_cpu_s"] / run["batches"] * 1e6 if run["batches"] else None


def mb_per_s(run):
    return run["bytes"] / run["seconds"] / 1e6


def batches_per_s(run):
    return run["batches"] / run["seconds"]


def written(run):
    return run["broker_written_bytes"] / run["bytes"] if run["bytes"] else None


def read(run):
    return run["broker_read_bytes"] / run["bytes"] if run["bytes"] else None


def p99(run):
    return run["p99_ms"]


def p99_against_alone(run):
    return run["p99_ms"] / run["alone_p99_ms"] if run["alone_p99_ms"] else None


MB_PER_S = ("MB/s", mb_per_s)
PER_GB = ("broker CPU s/GB", per_gb)
WRITTEN = ("written to disk per byte", written)
READ = ("read from disk per byte", read)
BATCHES_PER_S = ("batches/s", batches_per_s)
PER_BATCH = ("broker CPU µs/batch", per_batch_us)
P50 = ("p50 ms", lambda run: run["p50_ms"])
P99 = ("p99 ms", p99)
AGAINST_ALONE = ("p99 against without", p99_against_alone)
READ_MEANWHILE = ("MB/s from disk meanwhile", lambda run: run["broker_read_bytes"] / run["seconds"] / 1e6)


@dataclasses.dataclass(frozen=True)
class Workload:
    title: str
    shape: tuple
    figures: tuple
    cost: typing.Callable | None = None  # What the table of ratios compares.
    kind: str = "produce"                # "produce", "fetch" (what was filled before), or "catch-up" (both at once).
    rate: float | str | None = None      # Batches/s; or the workload at half of whose throughput by Kafka it goes.
    pinned: bool = True                  # The broker on core 0, the client on core 1.
    columns: tuple = ()                  # Nothing: all.
    fill: str = ""                       # Fetch, catch-up: so much is there to read, a field of Scale.
    evict: bool = False                  # Nothing of it is in the page cache; fetch: read once.
    limits: dict = dataclasses.field(default_factory=dict)  # Of the machine (limits.py), by the figure beside which it stands.


WORKLOADS = {
    "large": Workload("1 KB, saturated", LARGE, (MB_PER_S, PER_GB, WRITTEN), per_gb, limits={"MB/s": "write"}),
    "large-rate": Workload("1 KB, at {rate}", LARGE, (PER_GB, P50, P99), per_gb, rate="large", pinned=False),
    "small": Workload("100 B × 10, saturated", (*SMALL, "--partitions", "60"), (BATCHES_PER_S, PER_BATCH), per_batch_us),
    "small-rate": Workload("100 B × 10, at {rate}", (*SMALL, "--partitions", "60"), (PER_BATCH, P50, P99), per_batch_us,
                           rate="small", pinned=False),
    "latency": Workload("1 KB × 1, at 1,000 requests/s", SINGLE, (PER_BATCH, P50, P99), per_batch_us, rate=1000,
                        pinned=False, limits={"p50 ms": "sync_p50", "p99 ms": "sync_p99"}),
    "partitions-1": Workload("100 B × 10, 1 partition, 1 connection", (*ONE_CONNECTION, "--partitions", "1"),
                             (BATCHES_PER_S, PER_BATCH), columns=DEFAULTS),
    "partitions-1000": Workload("100 B × 10, 1,000 partitions, 1 connection", (*ONE_CONNECTION, "--partitions", "1000"),
                                (BATCHES_PER_S, PER_BATCH), columns=DEFAULTS),
    "fetch-tail": Workload("consuming the last {fill}", LARGE, (MB_PER_S, PER_GB), per_gb, kind="fetch", fill="tail_mb",
                           columns=DEFAULTS, limits={"MB/s": "loopback"}),
    "fetch-cached": Workload("consuming {fill} from the page cache", LARGE, (MB_PER_S, PER_GB, READ), per_gb, kind="fetch",
                             fill="cached_mb", columns=DEFAULTS, limits={"MB/s": "loopback"}),
    "fetch-cold": Workload("consuming {fill} from the disk", LARGE, (MB_PER_S, PER_GB, READ), per_gb, kind="fetch",
                           fill="cached_mb", evict=True, columns=DEFAULTS, limits={"MB/s": "read"}),
    "catch-up": Workload("1 KB × 1, at 1,000 requests/s, while {fill} are read from the disk", SINGLE,
                         (P50, P99, AGAINST_ALONE, READ_MEANWHILE), kind="catch-up", rate=1000, pinned=False,
                         fill="behind_mb", evict=True, columns=DEFAULTS, limits={"MB/s from disk meanwhile": "read"}),
}


def size(megabytes):
    return f"{megabytes / 1000:g} GB" if megabytes >= 1000 else f"{megabytes} MB"

"""What test/bench/run measures: each workload, how it is driven, and which figures of it are told."""

import dataclasses
import typing

LARGE = ("--record-bytes", "1024", "--batch-records", "64", "--partitions", "6")
SMALL = ("--record-bytes", "100", "--batch-records", "10")
SINGLE = ("--record-bytes", "1024", "--batch-records", "1", "--partitions", "6")
LARGE_BATCH_BYTES = 64 * 1024
# Where durability makes no difference, two columns say it all.
DEFAULTS = ("kafka-cache", "millrace-disk")


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


MB_PER_S = ("MB/s", mb_per_s)
PER_GB = ("broker CPU s/GB", per_gb)
WRITTEN = ("written to disk per byte", written)
BATCHES_PER_S = ("batches/s", batches_per_s)
PER_BATCH = ("broker CPU µs/batch", per_batch_us)
P50 = ("p50 ms", lambda run: run["p50_ms"])
P99 = ("p99 ms", lambda run: run["p99_ms"])


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
    fill_mb: int = 0                     # Fetch, catch-up: so much is there to read.
    evict: bool = False                  # Fetch: nothing of it is in the page cache; read once.


WORKLOADS = {
    "large": Workload("1 KB, saturated", LARGE, (MB_PER_S, PER_GB, WRITTEN), per_gb),
    "large-rate": Workload("1 KB, at {rate}", LARGE, (PER_GB, P50, P99), per_gb, rate="large", pinned=False),
    "small": Workload("100 B × 10, saturated", (*SMALL, "--partitions", "60"), (BATCHES_PER_S, PER_BATCH), per_batch_us),
    "small-rate": Workload("100 B × 10, at {rate}", (*SMALL, "--partitions", "60"), (PER_BATCH, P50, P99), per_batch_us,
                           rate="small", pinned=False),
    "latency": Workload("1 KB × 1, at 1,000 requests/s", SINGLE, (PER_BATCH, P50, P99), per_batch_us, rate=1000,
                        pinned=False),
    "partitions-1": Workload("100 B × 10, 1 partition", (*SMALL, "--partitions", "1", "--in-flight", "30"),
                             (BATCHES_PER_S, PER_BATCH), columns=DEFAULTS),
    "partitions-1000": Workload("100 B × 10, 1,000 partitions", (*SMALL, "--partitions", "1000"),
                                (BATCHES_PER_S, PER_BATCH), columns=DEFAULTS),
    "fetch-tail": Workload("consuming the last 24 MB", LARGE, (MB_PER_S, PER_GB), per_gb, kind="fetch", fill_mb=24,
                           columns=DEFAULTS),
    "fetch-cached": Workload("consuming 1.5 GB from the page cache", LARGE, (MB_PER_S, PER_GB), per_gb, kind="fetch",
                             fill_mb=1500, columns=DEFAULTS),
    "fetch-cold": Workload("consuming 1.5 GB from the disk", LARGE, (MB_PER_S, PER_GB), per_gb, kind="fetch",
                           fill_mb=1500, evict=True, columns=DEFAULTS),
    "catch-up": Workload("1 KB × 1, at 1,000 requests/s, while 1.5 GB are read from the disk", SINGLE, (P50, P99),
                         kind="catch-up", rate=1000, pinned=False, fill_mb=1500, columns=DEFAULTS),
}

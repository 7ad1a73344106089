"""What every hostile test asserts besides its own point: nobody else noticed, and memory stayed bounded."""

import contextlib
import pathlib
import re
import urllib.request

from harness import expect, expect_equal, fresh_topic
import wire

# What one test may add to the node's peak: its request budget and what the allocator keeps for itself.
PEAK_GROWTH_KIB_MAX = 96 * 1024


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


@contextlib.contextmanager
def unharmed(node, growth_kib_max=PEAK_GROWTH_KIB_MAX):
    """Around the attack: a neighbour's connection keeps working and the node's peak memory stays in bounds.

    Yields the neighbour. The bound is checked on our node alone: a JVM takes what it is given.
    """
    with wire.Connection(node.port) as neighbour:
        topic = fresh_topic("neighbour")
        expect_equal(neighbour.create_topic(topic), 0, "error of the neighbour's CreateTopics")
        expect_equal(neighbour.produce(topic, wire.batch([b"before"]))["error"], 0, "error of the neighbour's Produce")
        before = node.rss_kib()
        with contextlib.suppress(PermissionError):
            pathlib.Path(f"/proc/{node.pid}/clear_refs").write_text("5")  # Resets the peak.
        yield neighbour
        part = neighbour.produce(topic, wire.batch([b"after"]))
        expect_equal((part["error"], part["base_offset"]), (0, 1), "the neighbour's Produce afterwards")
        values = [value for _, _, value in neighbour.read_all(topic)]
        expect_equal(values, [b"before", b"after"], "what the neighbour reads")
        if node.ours:
            growth = peak_kib(node.pid) - before
            expect(growth <= growth_kib_max, f"the node's peak grew by {growth} KiB, at most {growth_kib_max}")


def disconnects(node, data, seconds=5):
    """Sends `data` on a connection of its own; fails unless the node closes it without an answer."""
    with wire.Connection(node.port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.send(data)
        expect(connection.closed_within(seconds), f"still open, or answered, {seconds} s after {data[:60]!r}")


def metric(node, name):
    """What our node's admin endpoint says of a metric, labels and all."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.rsplit(" ", 1)[0] == name), 0)


def topic_of(node, partitions=1, **configs):
    name = fresh_topic("hostile")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions, configs=configs), 0, "error of CreateTopics")
    return name

"""What a broker costs that stands still, and how long it takes to come back: many partitions, and much log, after kill -9."""

import subprocess
import time

TOPICS, PARTITIONS_EACH = 10, 1000
SETTLE_SECONDS = 15  # Until what is done behind the answers is done.
IDLE_SECONDS = 5
LOG_MB = 5000
FIGURES = {
    "rss_mb": "10,000 partitions: RSS MB",
    "idle_cpu": "10,000 partitions: idle CPU, % of a core",
    "restart_partitions_ms": "10,000 partitions: kill -9 to first accepted produce, ms",
    "restart_log_ms": f"{LOG_MB / 1000:.0f} GB of log: kill -9 to first accepted produce, ms",
}


def fill(broker, topic, *words):
    subprocess.run([broker.load, "--port", str(broker.port), "--topic", topic, *words], check=True,
                   stdout=subprocess.DEVNULL, timeout=900)


def measure(broker, note):
    """A dictionary with the keys of FIGURES. The broker has more partitions and more data afterwards."""
    figures = {}
    fill(broker, "much", "--partitions", "6", "--fill", str(LOG_MB * 1_000_000))
    figures["restart_log_ms"] = broker.restart_killed("after-much")
    for number in range(TOPICS):
        fill(broker, f"many-{number}", "--partitions", str(PARTITIONS_EACH), "--record-bytes", "100", "--batch-records",
             "1", "--fill", "1")
    time.sleep(SETTLE_SECONDS)
    before = broker.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    figures["idle_cpu"] = (broker.cpu_seconds() - before) / IDLE_SECONDS * 100
    figures["rss_mb"] = broker.memory_mb()
    figures["restart_partitions_ms"] = broker.restart_killed("after-many")
    note(f"standing {broker.name}: " + ", ".join(f"{FIGURES[key]} {value:.1f}" for key, value in figures.items()))
    return figures

"""Topics with long settings, to have megabytes of metadata without a thousand topics."""

import itertools

from harness import expect_equal, fresh_topic

TOPICS = 8
VALUE = 2900  # Pairs of a broker and a partition, 11 bytes each: a text has at most 32 KiB.
LOG_KEPT = 16 << 20  # Behind a snapshot, for those who lack the end of it (bytes_kept of RaftOptions).
TOPIC = 2  # A type of resource.


class HeavyMetadata:
    def __init__(self, cluster):
        self.cluster = cluster
        self.numbers = itertools.count()
        self.names = [fresh_topic("heavy") for _ in range(TOPICS)]
        for name in self.names:
            cluster.create_topic(name, replication_factor=1)

    def change(self, seconds=10):
        """A quarter of a megabyte; the errors. Without a controller nobody answers for half a minute."""
        # Another value each time: what changes nothing is no entry.
        value = ",".join(f"{next(self.numbers) % 1000:03d}{one:05d}:1" for one in range(VALUE))
        changes = [{"name": "leader.replication.throttled.replicas", "op": 0, "value": value}]
        with self.cluster.connection() as connection:
            connection.socket.settimeout(seconds)
            answer = connection.ask("incremental_alter_configs", validate_only=False,
                                    resources=[{"type": TOPIC, "name": name, "configs": changes} for name in self.names])
        return {one["error"] for one in answer["responses"]}

    def outgrow_the_log(self):
        """Who is away can only be given a snapshot afterwards."""
        for _ in range(LOG_KEPT // (TOPICS * VALUE * 11) + 2):
            expect_equal(self.change(), {0}, "errors of IncrementalAlterConfigs")

"""A node whose descriptors are few, and that is not let have more: what it keeps open is bounded, also while it recovers."""

from harness import expect_equal, fresh_topic, test
import wire

DESCRIPTORS = 512
SHARDS = 4
PARTITIONS = 1000


@test(f"chaos: with {DESCRIPTORS} descriptors, {SHARDS} shards and {PARTITIONS} partitions all just written to a node comes back from kill -9",
      own_node=True, ours_only="it is our way of keeping files open")
def few_descriptors(node):
    node.under = ("bash", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "bash")
    node.settings.append(f"millrace.shards={SHARDS}")
    node.start()
    topic = fresh_topic("many")
    with wire.Connection(node.port, timeout=60) as connection:
        expect_equal(connection.create_topic(topic, PARTITIONS), 0, "error of CreateTopics")
        for partition in range(PARTITIONS):
            produced = connection.produce(topic, wire.batch([b"%d" % partition]), partition=partition)
            expect_equal(produced["error"], 0, f"error of Produce to {partition}")
    node.kill()
    node.start()
    with wire.Connection(node.port, timeout=60) as connection:
        for partition in range(PARTITIONS):
            read = connection.read_all(topic, partition)
            expect_equal([value for _, _, value in read], [b"%d" % partition], f"records of {partition}")
    expect_equal(node.stop(), 0, "status")

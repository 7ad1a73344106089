"""KIP-392: consumers that name their rack read from the replica there, on three nodes in three racks."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import Cluster
from harness import expect, expect_equal, fresh_topic, need, run, test, tool, until

RECORDS = 2000
SIZE = 500


def NODE(options, settings=()):
    cluster = Cluster(options, ["replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector", *settings])
    for one in cluster:
        one.extra.append(f"broker.rack=r{one.id}")
    return cluster


def filled(cluster):
    topic = fresh_topic("rack")
    cluster.create_topic(topic, 1)
    cluster.until_in_sync(topic)
    values = [f"{number:0{SIZE}}" for number in range(RECORDS)]
    run([need("kcat"), "-b", cluster.bootstrap, "-P", "-t", topic], input="\n".join(values))
    return topic, values


def fetched(one):
    """Bytes that went out of this node in answers to Fetch."""
    return one.metric('millrace_reply_bytes_total{api="Fetch"}') or 0


def kcat_from(cluster, topic, *settings):
    words = [word for setting in settings for word in ("-X", setting)]
    return run(["kcat", "-b", cluster.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", *words]).split()


@test("racks: librdkafka and Java consumers read from the follower in their rack, and all there is")
def follower(cluster):
    topic, values = filled(cluster)
    leader, near = cluster.leader(topic), cluster.followers(topic)[0]
    readers = {"librdkafka": lambda: kcat_from(cluster, topic, f"client.rack=r{near.id}"),
               "java": lambda: tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", topic, "--from-beginning",
                                          "--max-messages", RECORDS, "--timeout-ms", "30000", "--command-property",
                                          f"client.rack=r{near.id}").split()}
    for name, read in readers.items():
        before = {one.id: fetched(one) for one in cluster}
        expect(read() == values, f"{name}: not all records, once and in order")
        sent = {one.id: fetched(one) - before[one.id] for one in cluster}
        expect(sent[near.id] > RECORDS * SIZE and sent[leader.id] < RECORDS * SIZE / 10,
               f"{name} in rack {near.id}, leader {leader.id}: bytes fetched by node {sent}")


@test("racks: without a rack, and from one where no replica is, the leader is read")
def leader_only(cluster):
    topic, values = filled(cluster)
    leader = cluster.leader(topic)
    for settings in ((), ("client.rack=nowhere",)):
        before = fetched(leader)
        expect_equal(kcat_from(cluster, topic, *settings), values, f"records, {settings}")
        expect(fetched(leader) - before > RECORDS * SIZE, f"{settings}: not read from the leader")


@test("racks: when the replica that is read from dies, the consumer goes on at the leader")
def gone(cluster):
    topic, values = filled(cluster)
    near = cluster.followers(topic)[0]
    expect_equal(kcat_from(cluster, topic, f"client.rack=r{near.id}"), values, "records before")
    near.kill()
    until(lambda: near.id not in cluster.partition(topic)["isr"], "the dead replica is out of the ISR", 30)
    expect_equal(kcat_from(cluster, topic, f"client.rack=r{near.id}"), values, "records after")
    near.start()
    cluster.until_in_sync(topic)

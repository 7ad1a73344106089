"""No controller answers (RELIABILITY 54): brokers serve with what they last knew, and nothing about the cluster changes."""

import select
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from harness import expect, expect_equal, fresh_topic, need, run, test, until
import wire

BROKERS = 3
NODE = cluster_of(BROKERS + 1, roles=[*["broker"] * BROKERS, "controller"])
RATE = 500
SESSION_SECONDS = 3  # Of the default settings.


def leaderships(cluster, topic):
    return [(one["leader"], one["leader_epoch"], sorted(one["isr"]))
            for one in (cluster.partition(topic, number) for number in range(BROKERS))]


def exists(cluster, topic):
    with cluster.connection() as connection:
        return connection.metadata([topic])["topics"][0]["error"] == 0


@test("no controller: brokers take and serve records for longer than a session, old clients' and new ones', and change nothing")
def killed(cluster):
    topic, other = fresh_topic("alone"), fresh_topic("other")
    for name in (topic, other):
        cluster.create_topic(name, BROKERS)
        cluster.until_in_sync(name, BROKERS)
    before = leaderships(cluster, topic)
    controller = cluster.members[-1]
    asked = fresh_topic("asked")
    with Load(cluster.bootstrap, topic, BROKERS, rate=RATE) as load, wire.Connection(cluster.port, timeout=30) as connection:
        load.more()
        controller.kill()
        connection.send(wire.encode("create_topics", 1, timeout_ms=10000, validate_only=False, topics=[
            {"name": asked, "partitions": 1, "replication_factor": 3, "assignments": [], "configs": []}]))
        load.more(SESSION_SECONDS * RATE * 3 // 2)
        # Clients that come now find all they need.
        run([need("kcat"), "-b", cluster.bootstrap, "-P", "-t", other, "-p", "-1"], input="".join(f"new-{one}\n" for one in range(30)))
        read = run([need("kcat"), "-b", cluster.bootstrap, "-C", "-t", other, "-o", "beginning", "-e", "-q"]).splitlines()
        expect_equal(sorted(read), sorted(f"new-{one}" for one in range(30)), "what a new consumer reads of a new producer")
        expect_equal(leaderships(cluster, topic), before, "leaders, epochs and replicas in sync without a controller")
        expect(not select.select([connection.socket], [], [], 0)[0], "CreateTopics was answered without a controller")
        expect(not exists(cluster, asked), "a topic was created without a controller")
        controller.start()
        cluster.await_ready()
        # Who asked meanwhile has waited: until a controller is there, or for half a minute.
        expect_equal(connection.answer("create_topics")["topics"][0]["error"], 0, "error of CreateTopics")
        until(lambda: exists(cluster, asked), "the topic is there")
        load.more(RATE)
    load.check()
    expect_equal(leaderships(cluster, topic), before, "leaders, epochs and replicas in sync with the controller back")
    longest = max(load.gap_ms.values())
    print(f"      longest gap {longest:.0f} ms", flush=True)


@test("no controller: a broker's consumers read on, and each of the three brokers serves what it leads")
def each_broker(cluster):
    topic = fresh_topic("alone")
    cluster.create_topic(topic, BROKERS)
    cluster.until_in_sync(topic, BROKERS)
    leaders = [cluster.leader(topic, number) for number in range(BROKERS)]
    expect_equal(len({one.id for one in leaders}), BROKERS, "brokers that lead")
    cluster.members[-1].kill()
    for number, leader in enumerate(leaders):
        with wire.Connection(leader.port) as connection:
            for one in range(20):
                answer = connection.produce(topic, wire.batch([b"%d" % one]), number)
                expect_equal((answer["error"], answer["base_offset"]), (0, one), "error and offset of acks=all")
            expect_equal([value for _, _, value in connection.read_all(topic, number)], [b"%d" % one for one in range(20)], "records")
    cluster.members[-1].start()
    cluster.await_ready()

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


def create_everywhere(cluster, topic):
    """Created, and known to each broker: one that looks for the controller still when the topic is made is not told by a dead one."""
    cluster.create_topic(topic, BROKERS)
    cluster.until_in_sync(topic, BROKERS)
    for broker in cluster.members[:BROKERS]:
        with wire.Connection(broker.port) as connection:
            until(lambda: connection.metadata([topic])["topics"][0]["error"] == 0, f"broker {broker.id} knows {topic}")


def exists(cluster, topic):
    with cluster.connection() as connection:
        return connection.metadata([topic])["topics"][0]["error"] == 0


@test("no controller: brokers take and serve records for longer than a session, old clients' and new ones', and change nothing")
def killed(cluster):
    topic, other = fresh_topic("alone"), fresh_topic("other")
    for name in (topic, other):
        create_everywhere(cluster, name)
    before = leaderships(cluster, topic)
    controller = cluster.members[-1]
    asked = fresh_topic("asked")
    with Load(cluster.bootstrap, topic, BROKERS, rate=RATE) as load, wire.Connection(cluster.port, timeout=30) as connection:
        load.more()
        controller.kill()
        connection.send(wire.encode("create_topics", 1, timeout_ms=60000, validate_only=False, topics=[
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


IMPATIENT = {  # Each API that says how long it may take.
    "create_topics": {"topics": [{"name": "asked", "partitions": 1, "replication_factor": 3, "assignments": [], "configs": []}],
                      "validate_only": False},
    "delete_topics": {"names": ["asked"]},
    "create_partitions": {"topics": [{"name": "asked", "count": 2, "assignments": None}], "validate_only": False},
    "elect_leaders": {"type": 0, "topics": [{"name": "asked", "partitions": [0]}]},
    "alter_partition_reassignments": {"may_change_factor": True, "topics": [{"name": "asked", "partitions": [{"index": 0, "replicas": [1]}]}]},
    "list_partition_reassignments": {"topics": None},
    "update_features": {"updates": [{"name": "metadata.version", "level": 20, "type": 1}], "validate_only": True},
    "add_raft_voter": {"cluster_id": None, "id": 9, "directory": bytes(15) + b"1", "listeners": [], "ack": True},
}
TIMED_OUT = 7


def errors(answer):
    """The error of the whole, or those of what was asked for."""
    parts = next((answer[name] for name in ("topics", "results") if answer.get(name)), None)
    return {answer["error"]} if answer.get("error") or parts is None else {one["error"] for one in parts}


@test("no controller: a request waits no longer than it allows itself, and is told REQUEST_TIMED_OUT")
def impatient(cluster):
    cluster.members[-1].kill()
    with wire.Connection(cluster.port, timeout=25) as connection:  # Less than what waits for 30 s.
        for number, (name, fields) in enumerate(IMPATIENT.items()):
            connection.send(wire.encode(name, number + 1, timeout_ms=100, **fields))
        seen = {name: errors(connection.answer(name)) for name in IMPATIENT}
    expect_equal(seen, {name: {TIMED_OUT} for name in IMPATIENT}, "errors")
    cluster.members[-1].start()
    cluster.await_ready()


@test("no controller: a broker's consumers read on, and each of the three brokers serves what it leads")
def each_broker(cluster):
    topic = fresh_topic("alone")
    create_everywhere(cluster, topic)
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

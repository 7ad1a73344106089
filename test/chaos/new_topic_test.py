"""A topic that was just created: its leader hears of it before it has made the logs, and serves whoever asks as soon as it has."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from harness import expect_equal, fresh_topic, test, until
import wire

NODE = cluster_of(3)
TOPICS = 60
PARTITIONS = 3
UNKNOWN_TOPIC_OR_PARTITION = 3


def created(connection):
    """Each (topic, partition, leader) of a new topic, as the answer to the first question says."""
    topic = fresh_topic("new")
    asked = {"name": topic, "partitions": PARTITIONS, "replication_factor": 3, "assignments": [], "configs": []}
    answer = connection.ask("create_topics", topics=[asked], timeout_ms=10000, validate_only=False)["topics"][0]
    expect_equal(answer["error"], 0, "error of CreateTopics")
    return [(topic, one["index"], one["leader"]) for one in connection.metadata([topic])["topics"][0]["partitions"]]


def list_offsets(topic, partition):
    part = {"index": partition, "leader_epoch": 0, "timestamp": -2}
    return {"replica_id": -1, "isolation": 0, "topics": [{"name": topic, "partitions": [part]}], "timeout_ms": 1000}


def fetch(topic, partition):
    fields = wire.fetch_values([(topic, partition, 0)], wait_ms=0)
    fields["topics"][0]["partitions"][0]["leader_epoch"] = 0
    return fields


ASKED = {
    "produce": lambda topic, partition: wire.produce_values(topic, wire.batch([b"first"]), partition),
    "list_offsets": list_offsets,
    "fetch": fetch,
}


def first_told(link, name, topic, partition):
    """The error by a leader that has heard of the topic: CreateTopics is answered when the broker that was asked has."""
    def told():
        error = link.ask(name, **ASKED[name](topic, partition))["topics"][0]["partitions"][0]["error"]
        return None if error == UNKNOWN_TOPIC_OR_PARTITION else (error,)
    return until(told, f"the leader of {topic}-{partition} has heard of it")[0]


@test("new topic: its leaders refuse none of those that produce, look up an offset or fetch at once")
def at_once(cluster):
    links = {one.id: wire.Connection(one.port) for one in cluster.members}
    for number in range(TOPICS):
        # Who asks first differs: a wait for the log by one of them would hide what the others are told.
        name = list(ASKED)[number % len(ASKED)]
        for topic, partition, leader in created(links[1]):
            expect_equal(first_told(links[leader], name, topic, partition), 0, f"error of {name} to {topic}-{partition}")
    for link in links.values():
        link.close()

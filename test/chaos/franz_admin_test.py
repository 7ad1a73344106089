"""franz-go's admin client administers three nodes: quorum, elections, moves, features, configuration of each broker, log directories."""

import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from cluster_moves_test import topic_on
from go_program import go_program
from harness import expect, expect_equal, run, test
import wire

NODE = cluster_of(3)


@test("franz-go: admin elects leaders, moves replicas and cancels that, changes features, and asks each of three brokers for its own")
def administer(cluster):
    program = go_program("franz_go")
    topic = topic_on(cluster, [2, 1], [1, 2], min_insync_replicas=1)
    leader = cluster.leader(topic, 1)
    with wire.Connection(leader.port, host=leader.host) as connection:
        for _ in range(20):
            expect_equal(connection.produce(topic, wire.batch([b"x" * 100_000]), partition=1)["error"], 0, "error of Produce")
    cluster.member(2).restart()
    cluster.until_in_sync(topic, count=2)
    expect(cluster.partition(topic, 0)["leader"] != 2, "a node that was stopped leads")
    seen = json.loads(run([program, cluster.bootstrap, "administer", topic]))
    expect_equal(seen, {"quorum": cluster.controller().id, "voters": [1, 2, 3], "elections": ["", "ELECTION_NOT_NEEDED"],
                        "move": {"topic": True, "replicas": [1, 3, 2], "adding": [3], "removing": [2]},
                        "moves": ["", "", "NO_REASSIGNMENT_IN_PROGRESS"], "left": 0, "again": "",
                        "features": ["", "", "INVALID_UPDATE_VERSION"], "nodes": ["1", "2", "3"], "directories": 3}, "outcome")
    expect_equal((cluster.partition(topic, 0)["leader"], cluster.partition(topic, 1)["replicas"]), (2, [1, 3]), "leader and replicas")

"""kafka-metadata-quorum against a controller and a broker that are two nodes: who votes, and who observes."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))

from cluster import cluster_of
from harness import expect, expect_equal, expect_in, test, tool, until

NODE = cluster_of(2, roles=["broker,controller", "broker"])


def quorum(cluster, *arguments):
    return tool("quorum", "--bootstrap-server", cluster.member(1).bootstrap, "describe", *arguments)


def rows(cluster):
    """{node id: (directory id, log end, lag, last fetch, last caught up, status)}"""
    seen = quorum(cluster, "--replication")
    lines = [line.split() for line in seen.splitlines()]
    expect_equal(lines[0], ["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"],
                 "columns")
    return {int(line[0]): (line[1], *map(int, line[2:6]), line[6]) for line in lines[1:] if line}


@test("java: kafka-metadata-quorum shows the leader, and a broker that is no controller as an observer that keeps up")
def replication(cluster):
    # A broker says with its heartbeats how far it is.
    until(lambda: rows(cluster)[2][2] == 0, "the broker has all of the log", 30)
    seen = rows(cluster)
    expect_equal({one: (row[0], row[-1]) for one, row in seen.items()},
                 {1: (cluster.member(1).directory_id, "Leader"), 2: (cluster.member(2).directory_id, "Observer")}, "replicas")
    _, log_end, _, fetched, caught_up, _ = seen[2]
    expect(log_end > 0 and fetched > 1_700_000_000_000 and fetched >= caught_up > 1_700_000_000_000, f"the observer: {seen[2]}")


@test("java: kafka-metadata-quorum --status names voters and observers")
def status(cluster):
    seen = quorum(cluster, "--status")
    expect(re.search(r"LeaderId:\s+1\n", seen), seen)
    voters = re.search(r"CurrentVoters:\s+(.*)", seen).group(1)
    observers = re.search(r"CurrentObservers:\s+(.*)", seen).group(1)
    expect_in('"id": 1', voters)
    expect_in('"id": 2', observers)
    expect_in(cluster.member(2).directory_id, observers)


@test("java: a broker that has gone is an observer of whom nothing new is heard")
def gone(cluster):
    broker = cluster.member(2)
    heard = rows(cluster)[2][3]
    broker.stop()
    left = rows(cluster)[2]
    expect_equal(left[-1], "Observer", "status of a broker that was stopped")
    expect(left[3] >= heard, f"{left} after {heard}")
    expect_equal(rows(cluster)[2][3], left[3], "when it was heard last")
    broker.start()
    until(lambda: rows(cluster)[2][3] > left[3], "it is heard again", 30)

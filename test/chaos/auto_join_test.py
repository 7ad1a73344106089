"""Controllers that make themselves voters (controller.quorum.auto.join.enable), as processes."""

import base64
import functools
import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import DynamicCluster
from harness import expect, expect_equal, expect_in, fresh_topic, test, until
import wire

NODE = functools.partial(DynamicCluster, nodes=3, roles="broker,controller")
SETTINGS = ["controller.quorum.auto.join.enable=true"]


def replicas(cluster):
    """What the active controller says: ({voter id: directory id}, {observer id: directory id})"""
    with cluster.connection() as connection:
        answer = connection.ask("describe_quorum", topics=[{"name": "__cluster_metadata", "partitions": [{"index": 0}]}])
    seen = answer["topics"][0]["partitions"][0]
    return tuple({one["id"]: one["directory"] for one in seen[kind]} for kind in ("voters", "observers"))


def until_voters(cluster, wanted, seconds=40):
    """Until those vote, each with the directory that it has now."""
    def reached():
        try:
            seen = replicas(cluster)[0]
        except (OSError, wire.Disconnected):
            return False
        return seen == {one.id: uuid_bytes(one.directory_id) for one in wanted}
    until(reached, f"the voters are {[one.id for one in wanted]}", seconds)


def uuid_bytes(text):
    return base64.urlsafe_b64decode(text + "==")


def works(cluster):
    cluster.create_topic(fresh_topic("works"), replication_factor=len(cluster.living()))


def lines(member, part):
    return [line for line in member.log_file.read_text(errors="replace").splitlines() if part in line]


@test("auto join: controllers formatted without initial controllers become voters, and then one of three may die")
def join(cluster):
    until_voters(cluster, cluster.members)
    for one in cluster.members[1:]:
        expect_equal(len(lines(one, "to make it a voter")), 1, f"lines of node {one.id} that it asks")
        until(lambda one=one: lines(one, ") votes"), f"node {one.id} has seen that it votes")
        expect_equal(len(lines(one, ") votes")), 1, f"lines of node {one.id} that it votes")
    works(cluster)
    leader = cluster.controller()
    leader.kill()
    until(lambda: cluster.controller().id != leader.id, "another is active", 20)
    works(cluster)
    leader.start()
    until_voters(cluster, cluster.members)


@test("auto join: a controller that lost its disk replaces its former self")
def wiped(cluster):
    until_voters(cluster, cluster.members)
    lost = next(one for one in cluster.members[1:] if one.id != cluster.controller().id)
    before = lost.directory_id
    lost.kill()
    shutil.rmtree(lost.log_dir)
    lost.config.unlink()  # Formatted again at its start, without initial controllers.
    lost.start()
    expect(lost.directory_id != before, "it has the directory id that it had")
    until_voters(cluster, cluster.members)
    expect_in(f"remove its former self {before}", lost.log_file.read_text(errors="replace"))


@test("auto join: who is removed while it runs votes again, and who was stopped before does not")
def removed(cluster):
    until_voters(cluster, cluster.members)
    out = next(one for one in cluster.members[1:] if one.id != cluster.controller().id)
    until(lambda: lines(out, f"({out.directory_id}) votes"), "it has seen that it votes")

    def remove():
        with cluster.connection() as connection:
            answer = connection.ask("remove_raft_voter", cluster_id=None, id=out.id, directory=uuid_bytes(out.directory_id))
        expect_equal((answer["error"], answer["message"]), (0, None), "RemoveRaftVoter")
    asked = len(lines(out, "is no voter any more"))
    remove()
    until(lambda: len(lines(out, "is no voter any more")) > asked, "it has seen that it was removed", 20)
    until_voters(cluster, cluster.members)
    out.stop()
    remove()
    until_voters(cluster, [one for one in cluster.members if one is not out])
    works(cluster)
    out.start()
    until_voters(cluster, cluster.members)

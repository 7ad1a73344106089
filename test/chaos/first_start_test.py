"""What `millrace storage format` decides for the first start of several controllers: features, and who votes."""

import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

import wire
from cluster import cluster_of
from harness import expect, expect_equal, expect_in, run, test, tool, until

NODE = cluster_of(3)


def features(cluster):
    """{feature: finalised level}"""
    seen = tool("features", "--bootstrap-server", cluster.bootstrap, "describe")
    return {one: level for one, level in re.findall(r"Feature: (\S+)\s.*FinalizedVersionLevel: (.*?)\s+Epoch", seen)}


@test("first start: a quorum of three begins with the release and the features that it was formatted with", own_node=True)
def formatted(cluster):
    cluster.flags = ["--release-version", "4.0", "--feature", "group.version=0", "--feature",
                     "eligible.leader.replicas.version=1"]
    cluster.start()
    seen = features(cluster)
    expect_equal(seen["metadata.version"], "4.0-IV3", "metadata.version")
    # A level of 0 is not finalised. Voters that are named are kraft.version 0.
    expect_equal([seen.get(one, "0") for one in ("group.version", "eligible.leader.replicas.version", "kraft.version")],
                 ["0", "1", "0"], "features")
    with wire.Connection(cluster.member(1).port) as connection:
        answer = connection.ask("remove_raft_voter", cluster_id=None, id=2, directory=b"\1" * 16)
    expect_equal((answer["error"], answer["message"]),
                 (35, "Cluster doesn't support removing voter because the kraft.version feature is 0"), "voters that are named")
    # Nobody begins anew when another leads, or when all were away.
    controller = cluster.controller()
    controller.kill()
    until(lambda: cluster.controller().id != controller.id, "another is active", 20)
    expect_equal(features(cluster), seen, "features under another controller")
    cluster.kill()
    cluster.start()
    expect_equal(features(cluster), seen, "features after a restart")


@test("first start: without flags a quorum of three begins with all that is served", own_node=True)
def defaults(cluster):
    cluster.start()
    seen = features(cluster)
    expect_equal([seen.get(one, "0") for one in ("group.version", "eligible.leader.replicas.version")], ["1", "1"], "features")


@test("first start: features that this version does not serve do not become a cluster, and are no matter later", own_node=True)
def unserved(cluster):
    first = cluster.member(1)
    for one in cluster:
        one.configure()
    file = first.formatted("bootstrap.properties")
    good = file.read_text()
    file.write_text(re.sub(r"feature\.metadata\.version=\d+", "feature.metadata.version=999", good))
    first.spawn()
    until(lambda: not first.alive(), "it does not start", 20)
    expect_in("feature.metadata.version=999: this version does not serve that level", first.log_tail())
    file.write_text(good)
    cluster.start()
    cluster.stop()
    file.write_text("version=1\nquorum=nonsense\n")
    cluster.start()


@test("first start: controllers that were formatted with each other as voters elect", own_node=True)
def initial_controllers(cluster):
    ids = [run([cluster.options.binary, "storage", "random-uuid"]).strip() for _ in cluster]
    named = [f"{one.id}@{one.host}:{one.controller_port}:{uuid}" for one, uuid in zip(cluster, ids)]
    cluster.flags = ["--initial-controllers", ",".join(named)]
    servers = ",".join(f"{one.host}:{one.controller_port}" for one in cluster)
    cluster.quorum = lambda: {"controller.quorum.bootstrap.servers": servers}
    cluster.start()
    expect_equal([one.directory_id for one in cluster], ids, "directory ids")
    expect_equal(features(cluster)["kraft.version"], "1", "kraft.version")
    seen = tool("quorum", "--bootstrap-server", cluster.bootstrap, "describe", "--status")
    voters = re.search(r"CurrentVoters:\s+(.*)", seen).group(1)
    expect(all(f'"id": {one.id}, "directoryId": "{uuid}"' in voters for one, uuid in zip(cluster, ids)), voters)
    # A majority of them is enough, and whoever was away follows again.
    controller = cluster.controller()
    controller.kill()
    until(lambda: cluster.controller().id != controller.id, "another is active", 20)
    controller.start()

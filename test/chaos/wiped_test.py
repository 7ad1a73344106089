"""A broker whose disk was replaced, or whose metadata store is damaged or gone (RELIABILITY 26-44, 32)."""

import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from fault_test import follower, loaded
from harness import expect_equal, test

NODE = cluster_of(3)


def times_voted_again(cluster):
    return sum(one.log_file.read_text(errors="replace").count("votes again") for one in cluster)


def without_its_log(cluster, damage):
    """A follower's controller loses its log: until the others took the new one for a voter, they need each other."""
    before = times_voted_again(cluster)
    loaded(cluster, follower, damage, lambda cluster: times_voted_again(cluster) > before)


@test("fault: a broker that was wiped comes back as a new incarnation and is filled again")
def wiped(cluster):
    def damage(node, topic):
        shutil.rmtree(node.log_dir)
        node.config.unlink()  # Formatted again at its start.
    without_its_log(cluster, damage)


@test("fault: a metadata store with a flipped bit is set aside, and restored from the other controllers")
def rotten(cluster):
    def damage(node, topic):
        (log,) = (node.log_dir / "millrace-state").glob("*.log")
        data = bytearray(log.read_bytes())
        written = len(data.rstrip(b"\0"))  # Whoever was killed has left zeros behind it.
        data[written // 3] ^= 0x04
        log.write_bytes(data)
    without_its_log(cluster, damage)
    kept = [node for node in cluster if (node.log_dir / "millrace-state.damaged.1").is_dir()]
    expect_equal(len(kept), 1, "stores set aside")
    expect_equal(kept[0].metric("millrace_metadata_stores_set_aside"), 1, "stores set aside, by the metric")


@test("fault: a controller whose metadata store was removed does not come back as the voter it was")
def removed(cluster):
    def damage(node, topic):
        shutil.rmtree(node.log_dir / "millrace-state")
    without_its_log(cluster, damage)

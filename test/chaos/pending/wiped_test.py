"""A broker whose disk was replaced. docs/testing.md, Not yet, says what is missing."""

import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])

from cluster import cluster_of
from fault_test import follower, loaded
from harness import test

NODE = cluster_of(3)


@test("fault: a broker that was wiped comes back as a new incarnation and is filled again")
def wiped(cluster):
    def damage(node, topic):
        shutil.rmtree(node.log_dir)
        node.config.unlink()  # Formatted again at its start.
    loaded(cluster, follower, damage)

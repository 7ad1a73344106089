"""A broker whose disk was replaced (RELIABILITY 26-44)."""

import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from fault_test import follower, loaded
from harness import test

NODE = cluster_of(3)


@test("fault: a broker that was wiped comes back as a new incarnation and is filled again")
def wiped(cluster):
    def damage(node, topic):
        shutil.rmtree(node.log_dir)
        node.config.unlink()  # Formatted again at its start.

    def votes_again(cluster):
        # Its controller lost its log too. Until the others took the new one for a voter, they need each other.
        return any("votes again" in one.log_file.read_text(errors="replace") for one in cluster)
    loaded(cluster, follower, damage, votes_again)

"""The stories of kill_stories.py on three local processes."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from kill_stories import tell

NODE = cluster_of(3)
tell("kill a broker", globals())

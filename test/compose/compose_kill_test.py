"""The stories of test/chaos/kill_stories.py on the three containers of deploy/docker-compose.yml: docker kill, stop, pause, start."""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/chaos")

from containers import Compose
from kill_stories import tell

NODE = Compose
tell("compose, kill a broker", globals())

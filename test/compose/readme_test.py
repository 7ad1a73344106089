"""The second thing that README asks a newcomer to try, word for word: deploy/quickstart --docker, and docker kill in a million records."""

import os
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/chaos")

from containers import FIRST_PORT, IMAGE, image
from docker_daemon import compose_command
from harness import ROOT, expect, expect_equal, expect_in, run, test

# Other ports, names and volumes than those of somebody who does try it on this machine.
NAME = f"millrace-readme-{os.getpid()}"
PORTS = [FIRST_PORT + 41 + number for number in range(3)]
VARIABLES = {"MILLRACE_NAME": NAME, "COMPOSE_PROJECT_NAME": NAME, "MILLRACE_IMAGE": f"{IMAGE}-readme",
             **{f"MILLRACE_PORT_{number + 1}": str(port) for number, port in enumerate(PORTS)},
             **{f"MILLRACE_ADMIN_PORT_{number + 1}": str(port + 10) for number, port in enumerate(PORTS)}}


def block():
    """What stands in README, for these ports and names."""
    text = re.search(r"```sh\n(deploy/quickstart --docker.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    for stock, own in (*zip(("29092", "39092", "49092"), map(str, PORTS)), ("millrace-kafka", f"{NAME}-kafka")):
        expect_in(stock, text, "README")
        text = text.replace(stock, own)
    return text


@test("README: docker kill of the leader in the middle of a million idempotent records: nothing lost, nothing doubled, the gap printed",
      own_node=True, ours_only="it is our README")
def second_thing_to_try(node):
    image(node.options.binary)  # Its layers: a daemon of ours lends a build no network.
    binary = str(node.options.binary)
    environment = {**os.environ, **VARIABLES, "MILLRACE_BINARY": binary}
    try:
        commands = block().replace("build/release/millrace", binary)
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", commands], cwd=ROOT, env=environment, capture_output=True, text=True,
                              timeout=240, check=False)
        said = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        expect_equal(done.returncode, 0, f"exit status: {said}")
        expect_in(",".join(f"localhost:{port}" for port in PORTS), done.stdout)
        summary = re.search(r"^1000000 records .* each exactly once, longest gap (\d+) ms$", done.stderr, re.M)
        expect(summary, f"no summary of a million records: {said}")
        expect_in("1000000\n", done.stdout, "records that are there once")
        bootstrap = ("--bootstrap-server", ",".join(f"localhost:{port}" for port in PORTS))
        expect_equal(run([binary, "topic", "offsets", "payments", "-o", "json", *bootstrap]).count('"offset":1000000'), 1, "records")
        killed = re.search(rf"^{NAME}-kafka-(\d)$", done.stderr, re.M)
        expect(killed, f"nobody was killed: {said}")
        expect(f"Leader: {killed.group(1)}\t" not in run([binary, "topic", "describe", "payments", *bootstrap]), "the one killed leads")
        print(f"      leader killed: longest gap {summary.group(1)} ms", flush=True)
        run([ROOT / "deploy/quickstart", "--docker", "--stop"], env=environment, seconds=120)
    finally:
        run([*compose_command(), "-f", ROOT / "deploy/docker-compose.yml", "down", "-v", "-t", "5"], env=environment, seconds=120, status=None)
        run(["docker", "image", "rm", VARIABLES["MILLRACE_IMAGE"]], status=None)

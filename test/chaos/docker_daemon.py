"""A Docker daemon for tests: the machine's where one answers, else one that is started here and ends with the tests.

Ours lives in a mount and a process namespace of its own. So it sees nothing of what other daemons left on the machine (a pid
file, a socket of containerd), and whatever ends it, also kill -9 of the tests, ends its containers and their mounts too: there
is nothing to clean up. It leaves the firewall and the forwarding of packets alone, because other suites need them as they are.
Images stay between runs, in a folder of the temporary directory, as other caches do.
"""

import atexit
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from harness import Skip, need, run, until

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
# What other daemons write, and ours must neither see nor touch.
HIDDEN = ["/run/containerd", "/run/docker", "/etc/docker", "/opt/containerd"]
ENTER = 'for place in %s; do mkdir -p $place && mount -t tmpfs none $place || exit; done; exec dockerd --config-file "$0"'


class NoDocker(Skip):
    """This machine cannot run containers, or is not allowed to."""


def daemon():
    """Sees to it that a Docker daemon answers."""
    refusal = _attempt()
    if refusal is not None:
        raise refusal


@functools.cache
def _attempt():
    """Once for all files of a run: what refuses to start takes its time. The refusal, if it is one."""
    try:
        need("docker")
        if not answers():
            if os.geteuid() != 0:
                raise NoDocker("no Docker daemon answers, and starting one needs root")
            for program in ("dockerd", "unshare", "setpriv"):
                need(program)
            Own(pathlib.Path(tempfile.gettempdir()) / "millrace-cache/docker").start()
    except Skip as refusal:
        return refusal
    return None


def answers():
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@functools.cache
def compose_command():
    """Compose is a plug-in of newer clients, and a program of its own beside older ones."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return [need("docker-compose")]


class Own:
    """A daemon whose images are in `folder`. One of them at a time: another waits until the first has ended."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.socket = folder / "socket"
        self.log = folder / "log"
        self.config = folder / "daemon.json"
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hold()
        self.config.write_text(json.dumps({
            "data-root": str(self.data), "hosts": [f"unix://{self.socket}"], "pidfile": "/run/docker/pid",
            "bridge": "none", "iptables": False, "ip-forward": False, "ip-masq": False}))
        os.environ["DOCKER_HOST"] = f"unix://{self.socket}"
        atexit.register(self.stop)
        if not self.serves():
            # Its images may be what it fails on: they can be made again.
            self.stop()
            shutil.rmtree(self.data, ignore_errors=True)
            if not self.serves():
                raise self.refusal()
        if self.clear():
            # A daemon that finds containers which died with the one before holds their ports for as long as it lives.
            self.stop()
            if not self.serves():
                raise self.refusal()

    def hold(self):
        self.lock = open(self.folder / "lock", "w", encoding="utf-8")

        def held():
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        until(held, f"another run of the tests has ended that uses {self.folder}", 120)

    def serves(self):
        self.socket.unlink(missing_ok=True)
        enter = ENTER % " ".join(HIDDEN)
        with open(self.log, "wb") as out:
            # --kill-child: the daemon dies with unshare, and being the first of its process namespace takes all others with it.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                 enter, self.config], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def clear(self):
        """Removes what a run that was killed left behind: the folder is ours, so everything in it is. Whether there was any."""
        any_left = False
        for found, gone in ((["container", "ls", "-aq"], ["container", "rm", "-f"]), (["volume", "ls", "-q"], ["volume", "rm", "-f"]),
                            (["network", "ls", "-q", "--filter", "type=custom"], ["network", "rm"])):
            left = run(["docker", *found]).split()
            if left:
                run(["docker", *gone, *left])
                any_left = True
        return any_left

    def refusal(self):
        return NoDocker(f"dockerd does not start here: {self.log.read_text(errors='replace')[-800:]}")

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGTERM)
            self.process.wait(STOP_SECONDS_MAX)
        self.process.kill()
        self.process.wait()

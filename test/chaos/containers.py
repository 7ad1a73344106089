"""Docker for tests: a daemon, the image of the binary under test, and the three nodes of deploy/docker-compose.yml."""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from cluster import READY_SECONDS_MAX, Admin, View
from harness import ROOT, Failure, Skip, expect, run

FIRST_PORT = 21900  # Published: clients 21901 to 21903, admin endpoints 21911 to 21913; above what free_port() gives.
IMAGE = "millrace:test"


class NoDocker(Skip):
    """This machine cannot run containers, or is not allowed to."""


@functools.cache
def daemon():
    """Sees to it that a Docker daemon answers; starts one where root may, which ends with the tests."""
    for program in ("docker", "docker-compose"):
        if not shutil.which(program):
            raise NoDocker(f"{program} is not installed (deploy/install-deps --tests)")
    if answers():
        return
    if not shutil.which("dockerd") or os.geteuid() != 0:
        raise NoDocker("no Docker daemon answers, and none can be started here")
    log = pathlib.Path(tempfile.mkdtemp(prefix="millrace-dockerd-")) / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(["dockerd"], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    atexit.register(lambda: (process.terminate(), process.wait(20)))
    deadline = time.monotonic() + 30
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoDocker(f"dockerd does not start here: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.2)


def answers():
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@functools.cache
def image(binary):
    """The image of that binary."""
    daemon()
    run([ROOT / "deploy/image/build", "--tag", IMAGE, "--binary", binary], seconds=600)
    return IMAGE


@functools.cache
def kcat_image():
    """The image with kcat in it, for clients inside a network."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "Dockerfile").write_text(
            f"FROM {IMAGE}\nUSER root\nRUN apt-get update -q && apt-get install -y -q --no-install-recommends kcat\n")
        run(["docker", "build", "-q", "-t", "millrace-kcat:test", folder], seconds=300)
    return "millrace-kcat:test"


@contextlib.contextmanager
def without_io_uring(options):
    """The name of a node of its own under a seccomp profile that forbids io_uring, as newer Docker's default one does."""
    calls = ["io_uring_setup", "io_uring_enter", "io_uring_register"]
    name = f"millrace-test-{os.getpid()}-epoll"
    image(options.binary)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as profile:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": calls, "action": "SCMP_ACT_ERRNO"}]}, profile)
        profile.flush()
        run(["docker", "run", "-d", "--name", name, "--security-opt", f"seccomp={profile.name}", IMAGE])
    try:
        yield name
    finally:
        run(["docker", "rm", "-f", name])


class Container(Admin):
    """One service of the compose file."""

    host = "127.0.0.1"
    paused = False

    def __init__(self, compose, number):
        self.id = number
        self.name = f"{compose.name}-kafka-{number}"
        self.port = FIRST_PORT + number
        self.admin_port = FIRST_PORT + 10 + number

    def alive(self):
        found = subprocess.run(["docker", "inspect", "-f", "{{.State.Running}}", self.name], capture_output=True, text=True,
                               check=False)
        return found.stdout.strip() == "true"

    def kill(self):
        """docker kill: SIGKILL to the process."""
        run(["docker", "kill", self.name])

    def stop(self):
        run(["docker", "stop", "-t", "30", self.name])

    def start(self):
        run(["docker", "start", self.name])
        self.await_ready()

    def await_ready(self, seconds=READY_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not self.ready():
            expect(time.monotonic() < deadline and self.alive(), f"{self.name} is not ready: {self.page('/readyz')}: {self.log()}")
            time.sleep(0.05)

    def execute(self, *command, **options):
        return run(["docker", "exec", self.name, *command], **options)

    def log(self):
        found = subprocess.run(["docker", "logs", "--tail", "100", self.name], capture_output=True, text=True, check=False)
        return (found.stdout + found.stderr)[-3000:]


class Compose(View):
    """deploy/docker-compose.yml; looks like a Node to the harness."""

    ours = True

    def __init__(self, options, settings=()):
        expect(not settings, "the compose file is tested as it is")
        self.options = options
        self.pid = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-compose-"))
        self.name = f"millrace-test-{os.getpid()}"
        self.members = [Container(self, number) for number in (1, 2, 3)]

    @property
    def bootstrap(self):
        return ",".join(f"localhost:{one.port}" for one in self.members)

    @property
    def network(self):
        return f"{self.name}_default"

    def compose(self, *words, seconds=120):
        ports = {f"MILLRACE_PORT_{one.id}": str(one.port) for one in self.members}
        ports |= {f"MILLRACE_ADMIN_PORT_{one.id}": str(one.admin_port) for one in self.members}
        return run(["docker-compose", "-p", self.name, "-f", ROOT / "deploy/docker-compose.yml", *words], seconds=seconds,
                   env={"MILLRACE_IMAGE": IMAGE, "MILLRACE_NAME": self.name, **ports})

    def start(self):
        image(self.options.binary)
        self.compose("up", "-d")
        self.pid = os.getpid()
        for one in self.members:
            one.await_ready()

    def alive(self):
        return all(one.alive() for one in self.members)

    def stop(self):
        self.log_file.write_text(self.log_tail())
        self.compose("down", "-v", "-t", "30")
        return 0

    def end(self):
        return "; ".join(f"{one.name} has ended" for one in self.members if not one.alive())

    @property
    def log_file(self):
        path = self.folder / "all.log"
        if self.pid is not None and not path.exists():
            path.write_text(self.log_tail())
        return path

    def log_tail(self):
        return "\n".join(f"=== {one.name}\n{one.log()}" for one in self.members)

    def wipe(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self, *kcat, input=None, seconds=60):
        """kcat in a container of the same network."""
        return run(["docker", "run", "--rm", "-i", "--network", self.network, "--entrypoint", "kcat", kcat_image(), *kcat],
                   input=input, seconds=seconds)

    def program_inside(self, program, *arguments):
        """A program of this machine in a container of the same network."""
        return run(["docker", "run", "--rm", "--network", self.network, "-v", f"{program}:/program:ro", "--entrypoint", "/program",
                    IMAGE, *arguments])

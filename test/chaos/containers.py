"""Containers for tests: the image of the binary under test, and the three nodes of deploy/docker-compose.yml."""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from cluster import READY_SECONDS_MAX, Admin, View
from docker_daemon import compose_command, daemon
from harness import ROOT, expect, need, run
from network import passes

FIRST_PORT = 21900  # Published: clients 21901 to 21903, admin endpoints 21911 to 21913; above what free_port() gives.
IMAGE = "millrace:test"


@functools.cache
def image(binary):
    """The image of that binary."""
    daemon()
    # Its packages come through the machine's network: a daemon of our own lends containers none that leaves the machine.
    run([ROOT / "deploy/image/build", "--tag", IMAGE, "--binary", binary, "--network", "host"], seconds=600)
    return IMAGE


def compose(name, files, variables, *words):
    """Compose on files, as the project of that name."""
    flags = [word for file in files for word in ("-f", file)]
    return run([*compose_command(), "-p", name, *flags, *words], seconds=120, env={"MILLRACE_IMAGE": IMAGE, **variables})


@functools.cache
def portable(program):
    """A folder with a program of this machine and every library it needs: what runs it in any image, whatever that one has."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-portable-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # For the image's user.
    shutil.copy(program, folder / "program")
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", program])):
        shutil.copy(library, folder)
    return folder, next(folder.glob("ld-linux*")).name


@contextlib.contextmanager
def without_io_uring(options):
    """The name of a node of its own under a seccomp profile that forbids io_uring, as newer Docker's default one does."""
    calls = ["io_uring_setup", "io_uring_enter", "io_uring_register"]
    name = f"millrace-test-{os.getpid()}-epoll"
    image(options.binary)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as profile:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": calls, "action": "SCMP_ACT_ERRNO"}]}, profile)
        profile.flush()
        run(["docker", "run", "-d", "--name", name, "--network", "none", "--security-opt", f"seccomp={profile.name}", IMAGE])
    try:
        yield name
    finally:
        run(["docker", "rm", "-f", name])


class Container(Admin):
    """One service of the compose file."""

    host = "127.0.0.1"

    def __init__(self, compose, number):
        self.id = number
        self.name = f"{compose.name}-kafka-{number}"
        self.port = FIRST_PORT + number
        self.admin_port = FIRST_PORT + 10 + number
        self.paused = False

    def inspect(self, what):
        found = subprocess.run(["docker", "inspect", "-f", f"{{{{{what}}}}}", self.name], capture_output=True, text=True, check=False)
        return found.stdout.strip()

    def alive(self):
        return self.inspect(".State.Running") == "true"

    def health(self):
        """To Docker: "starting", "healthy" or "unhealthy"."""
        return self.inspect(".State.Health.Status")

    def kill(self):
        """docker kill: SIGKILL to the process."""
        run(["docker", "kill", self.name])

    def stop(self):
        """docker stop, and the exit status."""
        run(["docker", "stop", "-t", "30", self.name])
        return int(self.inspect(".State.ExitCode"))

    def pause(self):
        """docker pause: the process stands still, and its sockets stay."""
        run(["docker", "pause", self.name])
        self.paused = True

    def resume(self):
        run(["docker", "unpause", self.name])
        self.paused = False

    def start(self):
        self.spawn()
        self.await_ready()

    def spawn(self):
        """Starts it and does not wait until it serves."""
        run(["docker", "start", self.name])

    def await_ready(self, seconds=READY_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not self.ready():
            expect(time.monotonic() < deadline and self.alive(), f"{self.name} is not ready: {self.page('/readyz')}: {self.log_tail()}")
            time.sleep(0.05)

    def execute(self, *command, **options):
        return run(["docker", "exec", self.name, *command], **options)

    def said(self):
        """Its log since it was made."""
        found = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, errors="replace", check=False)
        return found.stdout + found.stderr

    def log_tail(self):
        return self.said()[-3000:]


class Compose(View):
    """deploy/docker-compose.yml; looks like a Node to the harness."""

    ours = True
    rounds = 1  # Of killing each one in turn.

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

    def compose(self, *words):
        ports = {f"MILLRACE_PORT_{one.id}": str(one.port) for one in self.members}
        ports |= {f"MILLRACE_ADMIN_PORT_{one.id}": str(one.admin_port) for one in self.members}
        # Docker asks a name server outside for the name of a container that is down. Where none can be reached, the node's own
        # resolver need not wait as long for the answer as it does by default, ten seconds and more.
        beside = self.folder / "name-server.json"
        patience = {"dns_opt": ["timeout:1", "attempts:1"]}
        beside.write_text(json.dumps({"services": {f"kafka-{one.id}": patience for one in self.members}}))
        return compose(self.name, [ROOT / "deploy/docker-compose.yml", beside], {"MILLRACE_NAME": self.name, **ports}, *words)

    def start(self):
        if self.pid is None:
            compose_command()
            image(self.options.binary)
            self.pid = os.getpid()
            self.compose("up", "-d")
            self.let_pass("-I")
        else:
            # The last first, so that addresses change hands: Docker gives them out in the order of starting.
            for one in reversed(self.members):
                one.spawn()
        for one in self.members:
            one.await_ready()

    def let_pass(self, action):
        """A daemon that was here once may have left a firewall that drops what is forwarded, on bridges too."""
        if os.geteuid() != 0 or not shutil.which("iptables"):
            return
        rules = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False).stdout
        if rules.strip() not in ("", "-P FORWARD ACCEPT"):
            network = run(["docker", "network", "inspect", "-f", "{{.Id}}", self.network], status=None)
            subprocess.run(["iptables", action, *passes(f"br-{network[:12]}")], capture_output=True, check=False)

    def kill(self):
        """docker kill of all at once."""
        run(["docker", "kill", *(one.name for one in self.members)])

    def running(self):
        """One question for all: the loops that wait for something ask it again and again."""
        names = run(["docker", "ps", "--format", "{{.Names}}", "--filter", f"name={self.name}-kafka"]).split()
        return [one for one in self.members if one.name in names]

    def living(self):
        return [one for one in self.running() if not one.paused]

    def alive(self):
        return len(self.running()) == len(self.members)

    def stop(self):
        self.let_pass("-D")
        self.compose("down", "-v", "-t", "30")
        return 0

    def end(self):
        return "; ".join(f"{one.name} has ended" for one in self.members if one not in self.running())

    @property
    def log_file(self):
        """All logs behind each other: what the harness keeps of a failure."""
        together = self.folder / "all.log"
        if self.pid is not None:
            together.write_text("".join(f"=== {one.name}\n{one.said()}\n" for one in self.members))
        return together

    def log_tail(self):
        return "\n".join(f"=== {one.name}\n{one.log_tail()}" for one in self.members)

    def wipe(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self, *kcat, input=None, seconds=60):
        """kcat in a container of the same network."""
        folder, loader = portable(need("kcat"))
        return run(["docker", "run", "--rm", "-i", "--network", self.network, "-v", f"{folder}:/portable:ro", "--entrypoint",
                    f"/portable/{loader}", IMAGE, "--library-path", "/portable", "/portable/program", *kcat],
                   input=input, seconds=seconds)

    def program_inside(self, program, *arguments):
        """A program of this machine in a container of the same network."""
        return run(["docker", "run", "--rm", "--network", self.network, "-v", f"{program}:/program:ro", "--entrypoint", "/program",
                    IMAGE, *arguments])

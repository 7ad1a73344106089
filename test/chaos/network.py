"""A cluster whose nodes each have a network namespace of their own, joined by a bridge, so that single links can be cut.

    NODE = separate_hosts(3)

    cluster.cut(1, 2)              # neither hears the other
    cluster.cut_one_way(1, 2)      # 2 does not hear 1
    cluster.cut_clients(1)         # the host, where the clients are, and node 1
    cluster.heal()

Cut means that packets vanish: connections stay and are silent. Needs root, iproute2 and iptables.
"""

import contextlib
import functools
import os
import subprocess

from cluster import Cluster, Member
from harness import Skip, expect, need, run

BRIDGE = "millrace-br"
NETWORK = "10.213.77"
CLIENTS = f"{NETWORK}.1"


def passes(bridge):
    """A rule for iptables: beside Docker, whose rules drop what is forwarded, on bridges too."""
    return ["FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"]


class Host(Member):
    """A node in the namespace millrace-NUMBER."""

    def __init__(self, cluster, number, roles, settings):
        super().__init__(cluster, number, roles, settings)
        self.host = f"{NETWORK}.{10 + number}"
        self.port, self.controller_port, self.admin_port = 9092, 9093, 9644

    @property
    def namespace(self):
        return f"millrace-{self.id}"

    def prefix(self):
        return ["ip", "netns", "exec", self.namespace]


class SeparateHosts(Cluster):
    member_of = Host

    def start(self):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        for program in ("ip", "iptables"):
            need(program)
        self.build()
        super().start()

    def build(self):
        self.tear_down()
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        run(["ip", "addr", "add", f"{CLIENTS}/24", "dev", BRIDGE])
        run(["ip", "link", "set", BRIDGE, "up"])
        run(["iptables", "-I", *passes(BRIDGE)])
        for one in self.members:
            end = f"mr-{one.id}"
            run(["ip", "netns", "add", one.namespace])
            run(["ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", one.namespace])
            run(["ip", "link", "set", end, "master", BRIDGE, "up"])
            run([*one.prefix(), "ip", "addr", "add", f"{one.host}/24", "dev", "eth0"])
            run([*one.prefix(), "ip", "link", "set", "eth0", "up"])
            run([*one.prefix(), "ip", "link", "set", "lo", "up"])

    def tear_down(self):
        for one in self.members:
            # Without its namespace it would go too, but later.
            subprocess.run(["ip", "link", "del", f"mr-{one.id}"], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "del", one.namespace], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)
        subprocess.run(["iptables", "-D", *passes(BRIDGE)], capture_output=True, check=False)

    def wipe(self):
        self.tear_down()
        super().wipe()

    def cut_one_way(self, speaker, listener):
        """What node `speaker` sends does not reach node `listener`."""
        run([*self.member(listener).prefix(), "iptables", "-A", "INPUT", "-s", self.member(speaker).host, "-j", "DROP"])

    def cut(self, one, other):
        self.cut_one_way(one, other)
        self.cut_one_way(other, one)

    def cut_clients(self, number):
        for chain, flag in (("INPUT", "-s"), ("OUTPUT", "-d")):
            run([*self.member(number).prefix(), "iptables", "-A", chain, flag, CLIENTS, "-j", "DROP"])

    def dropped(self, number):
        """How many packets this node would have got but for the cuts there are now."""
        rules = run([*self.member(number).prefix(), "iptables", "-nvxL", "INPUT"])
        return sum(int(line.split()[0]) for line in rules.splitlines() if " DROP " in line)

    def isolate(self, number):
        """From the other nodes; clients still reach it."""
        for one in self.members:
            if one.id != number:
                self.cut(number, one.id)

    @contextlib.contextmanager
    def healed(self):
        """What is cut inside the block is whole after it."""
        try:
            yield
        finally:
            self.heal()

    def heal(self):
        for one in self.members:
            run([*one.prefix(), "iptables", "-F"])


def separate_hosts(nodes=3, roles="broker,controller"):
    return functools.partial(SeparateHosts, nodes=nodes, roles=roles)

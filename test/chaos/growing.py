"""A cluster that begins with three nodes of four, for tests of what makes it larger and smaller."""

import base64

from cluster import DynamicCluster
from harness import until
import wire


class GrowingCluster(DynamicCluster):
    """Its quorum begins with the first node alone; the fourth node is started, and left, by tests."""

    def __init__(self, options, settings=()):
        super().__init__(options, settings, nodes=4)
        self.gone = {self.members[3].id}  # Not expected to run.

    @property
    def three(self):
        return self.members[:3]

    @property
    def fourth(self):
        return self.members[3]

    def start(self):
        for one in self.members:
            if one.id not in self.gone and not one.alive():
                one.spawn()
        self.pid = self.members[0].pid
        self.await_ready()

    def join(self, member):
        self.gone.discard(member.id)
        member.start()

    def leave(self, member):
        self.gone.add(member.id)
        return member.stop()

    def alive(self):
        return all(one.alive() for one in self.members if one.id not in self.gone)

    def end(self):
        return "; ".join(f"node {one.id}: {one.end()}" for one in self.members if one.process is not None and not one.alive())

    def voters(self):
        """{node id: directory id} of those that vote, and of those that observe."""
        with self.connection() as connection:
            answer = connection.ask("describe_quorum", topics=[{"name": "__cluster_metadata", "partitions": [{"index": 0}]}])
        seen = answer["topics"][0]["partitions"][0]
        return tuple({one["id"]: base64.urlsafe_b64encode(one["directory"]).decode().rstrip("=") for one in seen[kind]}
                     for kind in ("voters", "observers"))

    def add_voter(self, member):
        """On the wire, for tests whose subject is another."""
        if member.id in self.voters()[0]:
            return
        until(lambda: member.id in self.voters()[1], f"node {member.id} observes", 20)
        directory = base64.urlsafe_b64decode(member.directory_id + "==")
        listener = {"name": "CONTROLLER", "host": member.host, "port": member.controller_port}

        def added():
            with self.connection() as connection:
                try:
                    error = connection.ask("add_raft_voter", cluster_id=None, timeout_ms=10000, id=member.id, directory=directory,
                                           listeners=[listener], ack=True)["error"]
                except wire.Disconnected:
                    return False
            return error == 0 or member.id in self.voters()[0]
        until(added, f"node {member.id} votes", 30)

    def until_three_vote(self):
        for one in self.three[1:]:
            self.add_voter(one)

"""A client that creates, alters and deletes topics, one change after the other, and knows what it was promised.

A change that was acknowledged must be there from then on. One whose answer was lost may or may not be: its topic is left alone
from then on, and at the end either will do. Names are never used twice.
"""

import contextlib
import itertools
import random
import threading

from harness import Failure, expect, until
import wire

# What says nothing about the change itself: the controller has just gone, or is not known yet.
NOBODY_DECIDED = {7: "REQUEST_TIMED_OUT", 8: "BROKER_NOT_AVAILABLE", 41: "NOT_CONTROLLER"}
LIVE_AT_MOST = 40


class Topic:
    def __init__(self, partitions):
        self.id = None  # As CreateTopics told it.
        self.partitions = {partitions}  # What may be; one thing, unless an answer was lost.
        self.retention = {None}
        self.exists = {True}

    @property
    def sure(self):
        return len(self.partitions) == len(self.retention) == len(self.exists) == 1


class MetadataLedger:
    """with MetadataLedger(cluster) as ledger: ... ; ledger.check()"""

    def __init__(self, cluster, seed=1):
        self.cluster = cluster
        self.random = random.Random(seed)
        self.numbers = itertools.count(1)
        self.topics = {}
        self.acknowledged = 0
        self.lost_answers = 0
        self.problem = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, name="metadata ledger")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def more(self, changes):
        """Waits for so many further acknowledgements."""
        enough = self.acknowledged + changes

        def there():
            if self.problem:
                raise Failure(self.problem)
            return self.acknowledged >= enough
        until(there, f"{changes} more changes are acknowledged", 60)

    # The changes -------------------------------------------------------------------------------------

    def work(self):
        while not self.stopping.is_set() and not self.problem:
            settled = [name for name, topic in self.topics.items() if topic.sure and topic.exists == {True}]
            change = self.random.choice([self.create, self.delete, self.grow, self.alter]) if settled else self.create
            if len(settled) >= LIVE_AT_MOST:
                change = self.delete
            try:
                change(self.random.choice(settled) if settled else None)
            except Exception as problem:  # pylint: disable=broad-except
                self.problem = f"{type(problem).__name__}: {problem}"

    def ask(self, name, **values):
        """The answer; None when it was lost."""
        with contextlib.suppress(OSError, wire.Disconnected, Failure), self.cluster.connection() as connection:
            return connection.ask(name, **values)
        return None

    def settle(self, what, error, promised):
        """Notes what an answer means: `promised` is told whether it was acknowledged (None: who knows)."""
        if error == 0:
            self.acknowledged += 1
            promised(True)
        elif error is None or error in NOBODY_DECIDED:
            self.lost_answers += 1
            promised(None)
        else:
            raise Failure(f"{what} was refused with error {error}: what was acknowledged before is gone")

    def create(self, _):
        name = f"ledger-{next(self.numbers)}"
        topic = Topic(self.random.randint(1, 3))
        (partitions,) = topic.partitions
        answer = self.ask("create_topics", topics=[{"name": name, "partitions": partitions, "replication_factor": 1, "assignments": [],
                                                    "configs": []}], timeout_ms=5000, validate_only=False)
        one = answer["topics"][0] if answer else {"error": None}

        def promised(sure):
            topic.id = one["topic_id"] if sure else None
            topic.exists = {True} if sure else {True, False}
            self.topics[name] = topic
        self.settle(f"CreateTopics {name}", one["error"], promised)

    def delete(self, name):
        answer = self.ask("delete_topics", names=[name], timeout_ms=5000)

        def promised(sure):
            self.topics[name].exists = {False} if sure else {True, False}
        self.settle(f"DeleteTopics {name}", answer and answer["topics"][0]["error"], promised)

    def grow(self, name):
        (before,) = self.topics[name].partitions
        answer = self.ask("create_partitions", topics=[{"name": name, "count": before + 1, "assignments": None}], timeout_ms=5000,
                          validate_only=False)

        def promised(sure):
            self.topics[name].partitions = {before + 1} if sure else {before, before + 1}
        self.settle(f"CreatePartitions {name}", answer and answer["results"][0]["error"], promised)

    def alter(self, name):
        (before,) = self.topics[name].retention
        after = str(self.random.randint(10 ** 6, 10 ** 9))
        answer = self.ask("incremental_alter_configs", resources=[{"type": 2, "name": name, "configs": [
            {"name": "retention.ms", "op": 0, "value": after}]}], validate_only=False)

        def promised(sure):
            self.topics[name].retention = {after} if sure else {before, after}
        self.settle(f"IncrementalAlterConfigs {name}", answer and answer["responses"][0]["error"], promised)

    # The check ---------------------------------------------------------------------------------------

    def difference(self, node):
        """What a node says otherwise than the ledger; nothing when it agrees."""
        with wire.Connection(node.port, host=node.host) as connection:
            seen = {topic["name"]: topic for topic in connection.metadata(None)["topics"] if topic["name"].startswith("ledger-")}
            for name, topic in self.topics.items():
                if (name in seen) not in topic.exists:
                    return f"{name} is {'there' if name in seen else 'gone'}"
                if name not in seen:
                    continue
                if topic.id not in (None, seen[name]["topic_id"]):
                    return f"{name} is another topic of that name"
                if len(seen[name]["partitions"]) not in topic.partitions:
                    return f"{name} has {len(seen[name]['partitions'])} partitions instead of {topic.partitions}"
                value = connection.ask("describe_configs", resources=[{"type": 2, "name": name, "keys": ["retention.ms"]}],
                                       synonyms=False, documentation=False)["results"][0]["configs"][0]
                own = value["value"] if value["source"] == 1 else None
                if own not in topic.retention:
                    return f"{name} has retention.ms={own} instead of {topic.retention}"
        strangers = sorted(set(seen) - set(self.topics))
        return f"nobody made {strangers}" if strangers else None

    def check(self):
        """Every broker knows what was acknowledged, and nothing else."""
        expect(not self.problem, self.problem)
        for node in (one for one in self.cluster if "broker" in one.roles):
            try:
                until(lambda node=node: self.difference(node) is None, f"node {node.id} knows what was acknowledged", 30)
            except Failure as late:
                raise Failure(f"{late}: {self.difference(node)}") from late

"""What test/bench/controllers asks brokers for: topics, small changes of metadata, the state of the quorum.

On bare sockets (test/conformance/wire.py), so that both brokers are asked the very same. What is timed is encoded before and
decoded after: between the two there is no more than a system call each way.
"""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
import wire  # noqa: E402  (The path above makes it importable.)

ANSWER_SECONDS_MAX = 300  # A thousand partitions on a busy machine.
SETTLED_SECONDS_MAX = 600
TOPICS_AT_ONCE = 100
TOPIC = 2  # A kind of resource.
TOPIC_EXISTS = 36
METADATA_LOG = [{"name": "__cluster_metadata", "partitions": [{"index": 0}]}]


def connect(port):
    return wire.Connection(port, timeout=ANSWER_SECONDS_MAX)


def _parts(names):
    return [names[begin:begin + TOPICS_AT_ONCE] for begin in range(0, len(names), TOPICS_AT_ONCE)]


def _topic(name, partitions, replicas):
    return {"name": name, "partitions": partitions, "replication_factor": replicas, "assignments": [], "configs": []}


def create(port, names, partitions, replicas=1):
    """Creates topics, a hundred a request and one request at a time: seconds until the last answer, seconds until each
    partition of the last one is served, and how many topics were refused."""
    requests = [wire.encode("create_topics", topics=[_topic(name, partitions, replicas) for name in part],
                            timeout_ms=ANSWER_SECONDS_MAX * 1000, validate_only=False) for part in _parts(names)]
    with connect(port) as link:
        answers = []
        begin = time.monotonic()
        for request in requests:
            link.send(request)
            answers.append(link.read_frame())
        answered = time.monotonic() - begin
        errors = sum(topic["error"] not in (0, TOPIC_EXISTS) for answer in answers
                     for topic in wire.decode("create_topics", answer)[1]["topics"])
        if not errors:
            _await_served(link, names[-1], partitions, alone=replicas == 1)
        return answered, time.monotonic() - begin, errors


def _await_served(link, name, partitions, alone):
    """Where this broker is alone, it is asked for each partition, too."""
    def served():
        found = link.metadata([name])["topics"][0]
        return (found["error"] == 0 and len(found["partitions"]) == partitions
                and all(part["leader"] > 0 for part in found["partitions"])
                and (not alone or all(link.list_offset(name, -1, index)["error"] == 0 for index in range(partitions))))
    _until(served, f"{name} is served")


def _until(condition, what, seconds=SETTLED_SECONDS_MAX, pause=0.005):
    """The first true value of the condition."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(pause)
    return found


def remove(port, names):
    with connect(port) as link:
        for part in _parts(names):
            link.ask("delete_topics", names=part, timeout_ms=ANSWER_SECONDS_MAX * 1000)


def first_produce(port, topic):
    """When (of time.monotonic()) a broker that may not even listen yet first accepts a record."""
    batch = wire.batch([b"x"])
    while True:
        try:
            with connect(port) as link:
                while link.produce(topic, batch)["error"] != 0:
                    time.sleep(0.0005)
                return time.monotonic()
        except (OSError, wire.Disconnected):
            time.sleep(0.0005)


class Changes:
    """Small changes of metadata: another retention.ms of one topic, one change at a time."""

    def __init__(self, link, topic):
        self.link = link
        self.requests = [wire.encode("incremental_alter_configs", resources=[{"type": TOPIC, "name": topic, "configs": [
            {"name": "retention.ms", "op": 0, "value": str(value)}]}], validate_only=False) for value in (3_600_000, 7_200_000)]

    def once(self, number=0):
        """Whether it was made."""
        self.link.send(self.requests[number % 2])
        return self._made(self.link.read_frame())

    @staticmethod
    def _made(answer):
        return wire.decode("incremental_alter_configs", answer)[1]["responses"][0]["error"] == 0

    def run(self, count=None, seconds=None):
        """So many, or for so long: (milliseconds in order of size, how many were refused)."""
        taken, answers = [], []
        end = time.monotonic() + (seconds or ANSWER_SECONDS_MAX)
        begin = time.monotonic()
        while (len(taken) < count) if count else (begin < end):
            self.link.send(self.requests[len(taken) % 2])
            answers.append(self.link.read_frame())
            now = time.monotonic()
            taken.append((now - begin) * 1000)
            begin = now
        return sorted(taken), sum(not self._made(answer) for answer in answers)


def quantile(in_order, share):
    return in_order[min(len(in_order) - 1, int(share * len(in_order)))]


def quorum(link):
    """The state of the metadata log's partition; nothing while there is no leader to tell it."""
    answer = link.ask("describe_quorum", topics=METADATA_LOG)
    part = answer["topics"][0]["partitions"][0] if answer["error"] == 0 and answer["topics"] else None
    return part if part and part["error"] == 0 and part["leader"] > 0 else None


def settled(ports):
    """Waits until every voter has what the leader had, and every broker is served: the active controller's id."""
    with connect(ports[0]) as link:
        state = _until(lambda: quorum(link), "the quorum has a leader")
        wanted = max(voter["end"] for voter in state["voters"])

        def caught_up():
            found = quorum(link)
            return found if found and all(voter["end"] >= wanted for voter in found["voters"]) else None
        state = _until(caught_up, "all voters have caught up")
        _until(lambda: len(link.metadata([])["brokers"]) == len(ports), "all brokers are back")
        return state["leader"]


def first_change(ports, topic, begin):
    """Calls `begin`, and has the brokers at these ports asked for a change until one of them has made it: when (of
    time.monotonic()) that was."""
    links = [connect(port) for port in ports]  # Before: connecting is no part of it.
    made, times = threading.Event(), []

    def ask(port, link):
        while not made.is_set():
            try:
                if Changes(link, topic).once():
                    times.append(time.monotonic())
                    made.set()
            except wire.Disconnected:  # Who passed it on to the one that was ended does not know what became of it.
                link.close()
                link = connect(port)
            made.wait(0.005)
        link.close()
    begin()
    threads = [threading.Thread(target=ask, args=one) for one in zip(ports, links)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return min(times)

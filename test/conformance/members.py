"""Members of consumer groups as processes, one class for each client, for tests that watch several of them.

    with Member(node.bootstrap, group, topic) as one:
        one.until_owns({0, 1, 2})
        one.until_read(100)
        one.do("commit"); one.until_committed()
"""

import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import threading

from go_program import go_program
from harness import ROOT, Failure, build_folder, expect, need, oracle, run, until
from javascript import javascript

CONFLUENT = ROOT / "test/conformance/confluent"


def interpreter():
    """The Python that has confluent-kafka."""
    spec = importlib.util.spec_from_file_location("confluent_kafka_test", ROOT / "test/conformance/confluent_kafka_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.python()


class Member:
    def __init__(self, bootstrap, group, topic, **settings):
        """Settings of librdkafka, with _ for the dots."""
        words = [f"{key.replace('_', '.')}={value}" for key, value in settings.items()]
        self.command = [str(interpreter()), str(CONFLUENT / "member.py"), bootstrap, group, topic, *words]
        self.events = []
        self.errors = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.die()

    def start(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def read(self, lines):
        for line in lines:
            self.events.append(json.loads(line))

    def die(self):
        """kill -9: it leaves no group and commits nothing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(10)

    def close(self, seconds=40):
        """Leaves the group and ends."""
        self.do("close")
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"a member did not close within {seconds} s: {self.events[-5:]}") from late
        self.reader.join(10)
        expect(self.process.returncode == 0 and self.of("closed"), f"a member failed: {self.said()}")

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-2000:].decode(errors="replace")

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def of(self, *kinds):
        return [one for one in list(self.events) if one["event"] in kinds]

    def records(self):
        """[(partition, offset, value)] as they came."""
        return [(one["partition"], one["offset"], one["value"]) for one in self.of("record")]

    def values(self):
        return [value for _, _, value in self.records()]

    def owned(self):
        """The partitions it has now, as it knows."""
        owned = set()
        for one in self.of("assigned", "revoked", "lost"):
            if one["event"] == "assigned":
                owned |= set(one["partitions"])
            else:
                owned -= set(one["partitions"])
        return owned

    def await_(self, condition, what, seconds=40):
        def done():
            expect(self.process.poll() is None, f"the member ended: {self.said()}")
            return condition()
        try:
            return until(done, what, seconds)
        except Failure as failure:
            raise Failure(f"{failure}; the last it said: {self.events[-6:]}") from failure

    def until_owns(self, count, seconds=40):
        """So many partitions; gives them."""
        self.await_(lambda: len(self.owned()) == count, f"a member owns {count} partitions", seconds)
        return self.owned()

    def until_read(self, count, seconds=40):
        """So many records, in all."""
        self.await_(lambda: len(self.of("record")) >= count, f"a member has read {count} records", seconds)

    def commit(self, how="commit"):
        """Commits what it has read, waits for the answer, and gives it: {partition: offset}."""
        before = len(self.of("committed"))
        self.do(how)
        self.await_(lambda: len(self.of("committed")) > before, "the commit is answered")
        done = self.of("committed")[before]
        expect(done["error"] is None, f"the commit failed: {done}")
        return {int(partition): offset for partition, offset in done["offsets"].items()}


class CommittingMember(Member):
    """It commits after each record, and takes no command but `close`."""

    def __init__(self, bootstrap, group, topic, commit="each", **settings):
        super().__init__(bootstrap, group, topic)
        expect(commit == "each", f"{type(self).__name__} cannot commit {commit}")
        self.command = [*self.program(), *self.arguments(bootstrap, group, topic),
                        *(f"{key.replace('_', '.')}={value}" for key, value in settings.items())]

    def program(self):
        raise NotImplementedError

    def arguments(self, bootstrap, group, topic):
        return [bootstrap, group, topic]


class SaramaMember(CommittingMember):
    def program(self):
        return [str(go_program("sarama"))]

    def arguments(self, bootstrap, group, topic):
        return [bootstrap, "member", group, topic]


class FranzMember(SaramaMember):
    def program(self):
        return [str(go_program("franz_go"))]


class KafkajsMember(CommittingMember):
    def program(self):
        return [need("node"), str(javascript("kafkajs", "member.js"))]


@functools.cache
def java_classes():
    """Where java/*.java are compiled; the class path they need."""
    oracle()
    libraries = pathlib.Path(os.environ["KAFKA_JAVA_HOME"]) / "libs"
    folder = build_folder("java")
    # Machines that have no javac have the compiler all the same: the JRE brings it for programs of one source.
    run([need("java"), "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", next(libraries.glob("kafka-clients-*.jar")), "-d", folder,
         *sorted((ROOT / "test/conformance/java").glob("*.java"))])
    return f"{folder}:{libraries}/*"


class JavaMember(CommittingMember):
    """Settings are those of Kafka's consumer, with _ for the dots."""

    def __init__(self, bootstrap, group, topic, commit="each", **settings):
        # In the new protocol it is the broker that says these.
        timing = {} if settings.get("group_protocol") == "consumer" else {
            "session_timeout_ms": 6000, "heartbeat_interval_ms": 500, "max_poll_interval_ms": 10000,
            "partition_assignment_strategy": "org.apache.kafka.clients.consumer.RangeAssignor"}
        super().__init__(bootstrap, group, topic, commit, **timing, **settings)

    def program(self):
        classes = java_classes()
        # Its log goes to the standard error output: by default what it thinks is an error stands among the events.
        log = f"-Dlog4j2.configurationFile=file:{os.environ['KAFKA_JAVA_HOME']}/log4j2-tools.properties"
        return [need("java"), "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log, "-cp", classes, "Member"]

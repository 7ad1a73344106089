"""Apache Kafka's command line tools, many of them in one JVM: what starting one costs is paid once.

    with JavaShell() as kafka:
        text = kafka("topics", "--bootstrap-server", node.bootstrap, "--list")     # fails unless its exit status is 0
        why = kafka.refused("features", ..., "upgrade", "--feature", "group.version=7")
"""

import base64
import functools
import os
import pathlib
import subprocess
import threading

from harness import JAVA_CLASSES, Failure, expect, expect_equal, need, oracle, run
from members import java_classes

SECONDS_MAX = 60  # A command.


@functools.cache
def class_of(name):
    """The full name of a tool's class: the oracle knows it without its package."""
    script = oracle()
    classes = pathlib.Path(os.environ["KAFKA_JAVA_HOME"], "classes.txt").read_text().split()
    simple = dict(line.split() for line in run([script, "tools"]).splitlines())[name]
    return next(one for one in classes if one.rsplit(".", 1)[1] == simple)


class JavaShell:
    def __enter__(self):
        own, libraries = java_classes().split(":", 1)
        log = f"-Dlog4j2.configurationFile=file:{os.environ['KAFKA_JAVA_HOME']}/log4j2-tools.properties"
        # The harness's archive of loaded classes goes by the class path's beginning.
        share = ["-Xshare:auto", f"-XX:SharedArchiveFile={JAVA_CLASSES}"] if JAVA_CLASSES.exists() else []
        self.process = subprocess.Popen([need("java"), "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *share, "-Xlog:disable",
                                         "-Xlog:all=off", log, "-cp", f"{libraries}:{own}", "Tools"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, name, *arguments):
        """(exit status, standard output, standard error)"""
        words = [class_of(name), *map(str, arguments)]
        expect(not any("\t" in word or "\n" in word for word in words), f"a line holds no such words: {words}")
        late = threading.Timer(SECONDS_MAX, self.process.kill)
        late.start()
        try:
            self.process.stdin.write("\t".join(words).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().decode()
        finally:
            late.cancel()
        if not answer.endswith("\n"):
            raise Failure(f"{name} {' '.join(words[1:])}: not done in {SECONDS_MAX} s, or it took the JVM with it")
        status, out, errors = answer[:-1].split(" ")
        return int(status), *(base64.b64decode(text).decode(errors="replace") for text in (out, errors))

    def __call__(self, name, *arguments):
        """What it prints on its standard output."""
        status, out, errors = self.ask(name, *arguments)
        expect_equal(status, 0, f"exit status of {name} {' '.join(map(str, arguments))}: {out[-1500:]}{errors[-1500:]}")
        return out

    def refused(self, name, *arguments):
        """What a command that fails says, wherever."""
        status, out, errors = self.ask(name, *arguments)
        expect(status != 0, f"{name} {' '.join(map(str, arguments))} has exit status 0: {out[-1500:]}{errors[-1500:]}")
        return out + errors

"""`millrace` on three nodes and a fourth that comes and goes: what it tells of a cluster, its voters, brokers, and configuration."""

import json
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from growing import GrowingCluster
from harness import expect, expect_equal, expect_in, fresh_topic, run, test, until

NODE = GrowingCluster
NOBODY = "AAAAAAAAAAAAAAAAAAAAAQ"  # A directory id that nobody has.


def millrace(cluster, *arguments, **keywords):
    return run([cluster.options.binary, *arguments, "--bootstrap-server", cluster.bootstrap], **keywords)


def told(cluster, *arguments, **keywords):
    """What it prints with -o json."""
    return json.loads(millrace(cluster, *arguments, "-o", "json", **keywords))


def refused(cluster, *arguments, status=1, timeout="5s"):
    """What a command that must fail says on standard error; its standard output must be empty."""
    done = subprocess.run([str(cluster.options.binary), *map(str, arguments), "--bootstrap-server", cluster.bootstrap, "--timeout", timeout],
                          capture_output=True, text=True, timeout=60, check=False)
    expect_equal((done.returncode, done.stdout), (status, ""), f"exit status and output of {arguments} ({done.stderr.strip()})")
    expect(done.stderr.strip(), f"{arguments} fails without a word")
    return done.stderr


def rows(text):
    """The lines of a table below its headings, in words."""
    return [line.split() for line in text.splitlines()[1:]]


def voter(member):
    return "--id", member.id, "--directory", member.directory_id


def address(member):
    return "--address", f"CONTROLLER://{member.host}:{member.controller_port}"


def states(cluster):
    return {row["id"]: row["state"] for row in told(cluster, "cluster", "voters")}


def until_healthy(cluster):
    until(lambda: told(cluster, "cluster", "health", status=None)["healthy"], "the cluster is healthy", 30)


class Watching:
    """A command that goes on, and the lines it prints."""

    def __init__(self, cluster, *arguments):
        self.lines = []
        self.process = subprocess.Popen([str(cluster.options.binary), *arguments, "--bootstrap-server", cluster.bootstrap],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")), daemon=True)
        self.lines_seen = 0
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def until_says(self, part):
        """A line that came since the last one that was waited for."""
        def said():
            fresh = self.lines[self.lines_seen:]
            return next((line for line in fresh if part in line), None)
        line = until(said, f"a line with {part!r}; the last is {self.lines[-1:]}", 30)
        self.lines_seen = len(self.lines)
        return line


@test("millrace cluster add-voter: controllers that observe vote then, voters and status tell it, and what cannot be is refused")
def add_voters(cluster):
    first, second, third = cluster.three
    until(lambda: states(cluster) == {1: "leader", 2: "observer", 3: "observer"}, "one votes, two observe", 20)
    said = refused(cluster, "cluster", "add-voter", "--id", 1, "--directory", first.directory_id, *address(first))
    expect_in("DUPLICATE_VOTER", said)
    expect_in("'nonsense' is no address", refused(cluster, "cluster", "add-voter", *voter(second), "--address", "nonsense", status=2))
    expect_in("'x' is no directory id", refused(cluster, "cluster", "add-voter", "--id", 2, "--directory", "x", *address(second), status=2))
    expect_in("--address", refused(cluster, "cluster", "add-voter", *voter(second), status=2))
    expect_in("VOTER_NOT_FOUND", refused(cluster, "cluster", "remove-voter", *voter(second)))
    expect_equal(told(cluster, "cluster", "add-voter", *voter(second), *address(second)), {"voter": 2, "result": "added"}, "add-voter")
    expect_equal(millrace(cluster, "cluster", "add-voter", *voter(third), *address(third)), "Voter 3 was added.\n", "add-voter")
    seen = told(cluster, "cluster", "voters")
    expect_equal([(row["id"], row["directory"], row["voter"], row["endpoints"]) for row in seen],
                 [(one.id, one.directory_id, True, [f"CONTROLLER://{one.host}:{one.controller_port}"]) for one in cluster.three], "voters")
    expect(all(row["log_end"] > 0 and row["lag"] >= 0 for row in seen), f"positions of {seen}")
    lines = rows(millrace(cluster, "cluster", "voters"))
    expect_equal([(line[0], line[1]) for line in lines], [(str(one.id), one.directory_id) for one in cluster.three], "the table of voters")
    expect_in("of 3 voters", millrace(cluster, "cluster", "status"))


@test("millrace cluster: a fourth controller votes, is removed while another leads, and observes again")
def fourth_voter(cluster):
    cluster.until_three_vote()
    fourth = cluster.fourth
    cluster.join(fourth)
    until(lambda: states(cluster).get(4) == "observer", "the fourth observes", 20)
    millrace(cluster, "cluster", "add-voter", *voter(fourth), *address(fourth))
    expect_in("of 4 voters", millrace(cluster, "cluster", "status"))
    expect_in("VOTER_NOT_FOUND", refused(cluster, "cluster", "remove-voter", "--id", 4, "--directory", NOBODY))
    expect_equal(told(cluster, "cluster", "remove-voter", *voter(fourth)), {"voter": 4, "result": "removed"}, "remove-voter")
    until(lambda: states(cluster).get(4) == "observer", "the fourth observes again", 20)
    expect_equal(len([state for state in states(cluster).values() if state != "observer"]), 3, "voters")


@test("millrace cluster remove-voter: the controller that leads can be removed, another leads, and it can be added again")
def remove_leader(cluster):
    cluster.until_three_vote()
    leader = cluster.controller()
    expect_equal(millrace(cluster, "cluster", "remove-voter", *voter(leader)), f"Voter {leader.id} was removed.\n", "remove-voter")
    until(lambda: states(cluster).get(leader.id) == "observer", "it observes", 20)
    expect("leader" in states(cluster).values(), "nobody leads")
    millrace(cluster, "cluster", "add-voter", *voter(leader), *address(leader))
    until(lambda: states(cluster)[leader.id] == "follower", "it votes again", 20)


@test("millrace cluster status and health: brokers and what is wrong, as text and as JSON; --watch until all is well")
def health(cluster):
    cluster.until_three_vote()
    topic = fresh_topic("health")
    cluster.create_topic(topic, 2, configs={"min.insync.replicas": 1})
    until_healthy(cluster)
    expect_equal(millrace(cluster, "cluster", "health"), "healthy\n", "health")
    expect_in("\nHealthy.\n", millrace(cluster, "cluster", "status"))
    seen = told(cluster, "cluster", "status")
    expect_equal((seen["healthy"], seen["ailments"], seen["controller"], seen["leaderless"], seen["under_replicated"], seen["reassigning"]),
                 (True, [], cluster.controller().id, 0, 0, 0), "status")
    expect_equal([(one["id"], one["host"], one["port"], one["fenced"]) for one in seen["brokers"] if one["id"] != 4],
                 [(one.id, one.host, one.port, False) for one in cluster.three], "brokers")
    expect(sum(one["leaders"] for one in seen["brokers"]) >= 2, f"leaders of {seen['brokers']}")
    victim = next(one for one in cluster.three if one is not cluster.controller())
    with Watching(cluster, "cluster", "health", "--watch") as watch:
        watch.until_says("healthy\n")
        victim.kill()
        expect_in("not healthy: ", watch.until_says(f"broker {victim.id} is fenced"), "a line of --watch")
        seen = told(cluster, "cluster", "health", status=1)
        expect(not seen["healthy"] and f"broker {victim.id} is fenced" in seen["ailments"], f"health: {seen}")
        expect_in("replicas that are not in sync", "; ".join(seen["ailments"]), "ailments")
        expect_in("Not healthy: ", millrace(cluster, "cluster", "status"))
        with Watching(cluster, "cluster", "health", "--watch", "--exit-when-healthy", "-o", "json") as until_well:
            until_well.until_says('"healthy":false')
            victim.start()
            expect_equal(until_well.process.wait(60), 0, "exit status when it is healthy")
            until_well.reader.join()
            expect_equal(json.loads(until_well.lines[-1]), {"healthy": True, "ailments": []}, "its last line")
        watch.until_says("healthy\n")


@test("millrace config: topics, one broker and all of them are described and set, as text and as JSON, and a wrong value is refused")
def configs(cluster):
    topic = fresh_topic("config")
    cluster.create_topic(topic)
    ours = ("--type", "topic", "--name", topic)

    def own(*which):
        (seen,) = told(cluster, "config", "describe", *which)
        return {one["name"]: (one["value"], one["source"]) for one in seen["configs"]}
    expect_equal(millrace(cluster, "config", "set", *ours, "retention.ms=3600000", "cleanup.policy=compact"),
                 f"Completed updating config for topic {topic}.\n", "config set")
    until(lambda: own(*ours) == {"retention.ms": ("3600000", "DYNAMIC_TOPIC_CONFIG"), "cleanup.policy": ("compact", "DYNAMIC_TOPIC_CONFIG")},
          "every node tells both")
    lines = millrace(cluster, "config", "describe", "--name", topic)
    expect(re.search(r"retention\.ms +3600000 +DYNAMIC_TOPIC_CONFIG", lines), f"describe: {lines}")
    expect_equal(told(cluster, "config", "set", *ours, "-d", "cleanup.policy"), [{"type": "topic", "name": topic, "result": "altered"}],
                 "config set")
    until(lambda: list(own(*ours)) == ["retention.ms"], "every node tells one")
    expect("segment.bytes" in own(*ours, "--all"), "defaults with --all")
    everyone, second = ("--type", "broker", "--defaults"), ("--type", "broker", "--name", "2")
    millrace(cluster, "config", "set", *everyone, "log.retention.ms=7200000")
    millrace(cluster, "config", "set", *second, "log.retention.ms=1800000")
    until(lambda: own(*everyone).get("log.retention.ms") == ("7200000", "DYNAMIC_DEFAULT_BROKER_CONFIG"), "all have theirs")
    until(lambda: own(*second).get("log.retention.ms") == ("1800000", "DYNAMIC_BROKER_CONFIG"), "broker 2 has its own")
    seen = {one["name"]: [row["name"] for row in one["configs"]] for one in told(cluster, "config", "describe", "--type", "broker")}
    expect(seen["1"] == seen["3"] == [] and "log.retention.ms" in seen["2"] and "log.retention.ms" in seen[""], f"of all brokers: {seen}")
    expect_in("broker 77 is not among the brokers", refused(cluster, "config", "describe", "--type", "broker", "--name", "77"))
    for which in (everyone, second):
        millrace(cluster, "config", "set", *which, "--delete", "log.retention.ms")
    until(lambda: "log.retention.ms" not in own(*everyone) and not own(*second), "nothing is set")
    expect_in("Cannot update these configs dynamically", refused(cluster, "config", "set", *second, "log.dirs=/x"))
    # Of several what went well is told all the same.
    done = subprocess.run([cluster.options.binary, "config", "set", *ours, "--name", "no-such-topic", "retention.ms=1", "-o", "json",
                           "--bootstrap-server", cluster.bootstrap], capture_output=True, text=True, timeout=30, check=False)
    expect_equal(done.returncode, 1, "exit status with one that failed")
    expect_equal({one["name"]: one.get("result", "failed") for one in json.loads(done.stdout)}, {topic: "altered", "no-such-topic": "failed"},
                 "results")
    expect_in("UNKNOWN_TOPIC_OR_PARTITION", done.stderr)
    for arguments, said in (((*ours, "retention.ms=soon"), "INVALID_CONFIG"), ((*ours, "no.such.name=1"), "INVALID_CONFIG")):
        expect_in(said, refused(cluster, "config", "set", *arguments))
    for arguments, said in ((("retention.ms=1",), "--name"), (ours, "NAME=VALUE"), ((*ours, "retention.ms"), "is no configuration"),
                            (("--type", "group", "--name", "g", "a=b"), "--type")):
        expect_in(said, refused(cluster, "config", "set", *arguments, status=2))
    expect_in("no-such-topic", refused(cluster, "config", "describe", "--name", "no-such-topic"))


@test("millrace config: brokers that are silent are named, and waited for side by side")
def silent(cluster):
    answering, *paused = cluster.members[:3]
    until_healthy(cluster)
    seconds = 4
    names = [word for one in cluster.members[:3] for word in ("--name", one.id)]
    for one in paused:
        one.pause()
    try:
        begun = time.monotonic()
        done = subprocess.run([cluster.options.binary, "config", "describe", "--type", "broker", *map(str, names), "-o", "json",
                               "--bootstrap-server", answering.bootstrap, "--timeout", f"{seconds}s"],
                              capture_output=True, text=True, timeout=60, check=False)
        took = time.monotonic() - begun
    finally:
        for one in paused:
            one.resume()
    expect_equal((done.returncode, [one["name"] for one in json.loads(done.stdout)]), (1, [str(answering.id)]), f"who answers: {done.stderr}")
    for one in paused:
        expect_in(f"broker {one.id}: ", done.stderr)
    expect(took < seconds * len(paused), f"{took} s for {len(paused)} that are silent for {seconds} s each: one after the other")
    cluster.await_ready()
    until_healthy(cluster)


@test("millrace api-versions: every broker is asked, as text and as JSON, and one that is gone is no success")
def api_versions(cluster):
    text = millrace(cluster, "api-versions")
    for one in cluster.three:
        expect_in(f"{one.bootstrap} (id: {one.id} rack: null isFenced: false) -> (", text)
    seen = {one["id"]: one for one in told(cluster, "api-versions")}
    expect({1, 2, 3} <= set(seen), f"brokers {sorted(seen)}")
    served = {one["name"]: (one["key"], one["min"], one["max"]) for one in seen[3]["apis"]}
    expect_equal(served["Produce"][0], 0, "key of Produce")
    for name, (key, low, high) in served.items():
        expect_in(f"\t{name}({key}): {low} to {high}" if low < high else f"\t{name}({key}): {low} [", text)

"""`millrace` moves leaders and replicas between nodes, lets a broker go, and looks at what a node that was stopped left on disk."""

import json
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster_cli_test import millrace, refused, rows, told
from growing import GrowingCluster
from harness import expect, expect_equal, expect_in, fresh_topic, run, test, until

NODE = GrowingCluster


def topic_on(cluster, *layout, **configs):
    """A topic whose partitions have these replicas."""
    topic = fresh_topic("moves")
    asked = {"name": topic, "partitions": -1, "replication_factor": -1,
             "assignments": [{"index": index, "brokers": list(brokers)} for index, brokers in enumerate(layout)],
             "configs": [{"name": name.replace("_", "."), "value": str(value)} for name, value in configs.items()]}
    with cluster.connection() as connection:
        answer = connection.ask("create_topics", topics=[asked], timeout_ms=10000, validate_only=False)["topics"][0]
    expect_equal((answer["error"], answer["message"]), (0, None), "CreateTopics")
    for index, brokers in enumerate(layout):
        until(lambda index=index, brokers=brokers: sorted(cluster.partition(topic, index)["isr"]) == sorted(brokers), f"{topic} is there", 20)
    return topic


def fill(cluster, topic, count=2000, width=0):
    """Lines that are in the topic then, in some order."""
    lines = [f"{topic} {number}".ljust(width, ".") for number in range(count)]
    millrace(cluster, "produce", topic, input="".join(f"{line}\n" for line in lines))
    return lines


def expect_filled(cluster, topic, lines):
    seen = millrace(cluster, "consume", topic, "-e").splitlines()
    expect_equal(len(seen), len(lines), f"records of {topic}")
    expect_equal(sorted(seen), sorted(lines), f"records of {topic}")


def replicas(cluster, topic):
    (seen,) = told(cluster, "topic", "describe", topic)
    return [one["replicas"] for one in seen["partitions"]]


def until_in_sync(cluster, topic):
    def all_are():
        (seen,) = told(cluster, "topic", "describe", topic)
        return all(sorted(one["isr"]) == sorted(one["replicas"]) for one in seen["partitions"])
    until(all_are, f"every replica of {topic} is in sync", 30)


@test("millrace topic alter -r: two replicas become three, and two again; the records are there, and all replicas are in sync")
def replication_factor(cluster):
    topic = topic_on(cluster, [1, 2], [2, 3], [3, 1], min_insync_replicas=1)
    lines = fill(cluster, topic)
    expect_equal(told(cluster, "topic", "alter", topic, "-r", "3", "--wait"), [{"topic": topic, "result": "altered"}], "topic alter")
    expect_equal(replicas(cluster, topic), [[1, 2, 3], [2, 3, 1], [3, 1, 2]], "replicas")
    until_in_sync(cluster, topic)
    # Each node alone has all of it: whoever leads is read from.
    for one in (3, 1, 2):
        millrace(cluster, "cluster", "reassign", topic, "--to", ",".join(map(str, (one, *({1, 2, 3} - {one})))), "--wait")
        millrace(cluster, "cluster", "move-leaders", topic)
        expect_equal({cluster.partition(topic, index)["leader"] for index in range(3)}, {one}, "leaders")
        expect_filled(cluster, topic, lines)
    expect_in(f"Altered topic {topic}.", millrace(cluster, "topic", "alter", topic, "-r", "2", "--wait"))
    expect_equal([len(one) for one in replicas(cluster, topic)], [2, 2, 2], "replicas of each partition")
    until_in_sync(cluster, topic)
    expect_filled(cluster, topic, lines)
    expect_in("as many live brokers", refused(cluster, "topic", "alter", topic, "-r", 5))
    expect_in("no such topic", refused(cluster, "topic", "alter", "no-such-topic", "-r", 2))


@test("millrace cluster reassign --to: replicas leave for other nodes, an ongoing move is listed, counted, cancelled and replaced")
def reassign(cluster):
    topic = topic_on(cluster, [1, 2], min_insync_replicas=1)
    lines = fill(cluster, topic, width=1000)  # More than what is sent at once, so that the rest waits.
    # Slower than anybody waits, so that it is under way for as long as it is looked at.
    for arguments in (("--type", "broker", "--name", "3", "follower.replication.throttled.rate=1"),
                      ("--name", topic, "follower.replication.throttled.replicas=*")):
        millrace(cluster, "config", "set", *arguments)
    for one in cluster.three:
        def slow(one=one):
            return "throttled" in run([cluster.options.binary, "config", "describe", "--name", topic, "-b", one.bootstrap])
        until(slow, f"node {one.id} knows of the throttle")
    expect_equal(millrace(cluster, "cluster", "reassign", f"{topic}:0", "--to", "3,1"), "1 partition: started.\n", "reassign")
    wanted = {"topic": topic, "partition": 0, "replicas": [3, 1, 2], "adding": [3], "removing": [2]}
    expect_equal(told(cluster, "cluster", "reassign", "--list"), [wanted], "moves")
    expect_equal(rows(millrace(cluster, "cluster", "reassign", "--list")), [[f"{topic}-0", "3,1,2", "3", "2"]], "the table of moves")
    expect_equal(told(cluster, "cluster", "status")["reassigning"], 1, "partitions being reassigned")
    expect_in("being reassigned: 1", millrace(cluster, "cluster", "status"))
    for one in cluster.three:
        expect_equal(one.metric("millrace_partitions_reassigning"), 1, f"the metric of node {one.id}")
    expect_equal(told(cluster, "cluster", "reassign", topic, "--cancel"), {"partitions": 1, "result": "cancelled"}, "--cancel")
    expect_equal((told(cluster, "cluster", "reassign", "--list"), replicas(cluster, topic)), ([], [[1, 2]]), "moves and replicas")
    expect_in("NO_REASSIGNMENT_IN_PROGRESS", refused(cluster, "cluster", "reassign", topic, "--cancel"))
    millrace(cluster, "cluster", "reassign", topic, "--to", "3,1")
    millrace(cluster, "config", "set", "--type", "broker", "--name", "3", "--delete", "follower.replication.throttled.rate")
    # Asked for again it is the same move: whoever waits waits for it.
    expect_equal(told(cluster, "cluster", "reassign", topic, "--to", "3,1", "--wait"), {"partitions": 1, "result": "moved"}, "reassign")
    expect_equal((told(cluster, "cluster", "reassign", "--list"), replicas(cluster, topic)), ([], [[3, 1]]), "moves and replicas")
    until_in_sync(cluster, topic)
    until(lambda: cluster.member(1).metric("millrace_partitions_reassigning") == 0, "the metric is 0")
    millrace(cluster, "cluster", "move-leaders", topic)
    expect_filled(cluster, topic, lines)
    for arguments, said in (((topic, "--to", "77"), "INVALID_REPLICA_ASSIGNMENT"), ((topic, "--to", "1,1"), "more than once"),
                            ((f"{topic}:9", "--to", "1"), "no such partition")):
        expect_in(said, refused(cluster, "cluster", "reassign", *arguments))
    for arguments in ((topic, "--to", "x"), (topic,), (topic, "--to", "1", "--cancel"), ("--list", "--cancel")):
        refused(cluster, "cluster", "reassign", *arguments, status=2)


@test("millrace cluster move-leaders: who came back leads again what it is preferred for; elsewhere nothing is needed")
def move_leaders(cluster):
    topic = topic_on(cluster, [2, 1, 3], [2, 3, 1], [1, 2, 3])
    lines = fill(cluster, topic)
    back = cluster.member(2)
    back.restart()
    until_in_sync(cluster, topic)
    for index in (0, 1):
        expect(cluster.partition(topic, index)["leader"] != 2, "a node that was stopped leads")
    seen = told(cluster, "cluster", "move-leaders", f"{topic}:0", f"{topic}:2")
    expect_equal(sorted((one["partition"], one["result"]) for one in seen), [(0, "elected"), (2, "not needed")], "results")
    expect_equal(cluster.partition(topic, 0)["leader"], 2, "leader of partition 0")
    expect_equal(millrace(cluster, "cluster", "move-leaders", topic), "1 partition got another leader.\n", "move-leaders")
    expect_equal(cluster.partition(topic, 1)["leader"], 2, "leader of partition 1")
    expect_filled(cluster, topic, lines)
    expect_in("no such partition", refused(cluster, "cluster", "move-leaders", "no-such-topic"))


@test("millrace cluster move-leaders --unclean: where only a replica that lacks records lives, it leads when that is asked for")
def unclean(cluster):
    cluster.until_three_vote()
    topic = topic_on(cluster, [2, 3], min_insync_replicas=1)
    kept = fill(cluster, topic, 10)
    cluster.until_in_sync(topic, count=2)
    second, third = cluster.member(2), cluster.member(3)
    third.stop()
    until(lambda: cluster.partition(topic)["isr"] == [2], "node 3 is out of sync", 20)
    millrace(cluster, "produce", topic, input="only node 2 has this\n")
    second.kill()
    third.start()
    until(lambda: cluster.partition(topic)["leader"] == -1, "nobody leads", 30)
    (seen,) = told(cluster, "topic", "describe", topic)
    expect_equal(seen["partitions"][0]["leader"], None, "leader in topic describe")
    expect_in("1 of ", millrace(cluster, "cluster", "health", status=1))
    expect_in("Leader: none", millrace(cluster, "topic", "describe", "--unavailable"))
    done = subprocess.run([cluster.options.binary, "cluster", "move-leaders", topic, "-o", "json", "--bootstrap-server", cluster.bootstrap],
                          capture_output=True, text=True, timeout=30, check=False)
    expect_equal(done.returncode, 1, "exit status where the preferred leader is dead")
    expect_in("PREFERRED_LEADER_NOT_AVAILABLE", done.stderr)
    expect_in("error", json.loads(done.stdout)[0])
    expect_equal(told(cluster, "cluster", "move-leaders", topic, "--unclean"), [{"topic": topic, "partition": 0, "result": "elected"}],
                 "an unclean election")
    expect_equal(cluster.partition(topic)["leader"], 3, "leader")
    expect_filled(cluster, topic, kept)
    second.start()
    cluster.until_in_sync(topic, count=2)
    expect_filled(cluster, topic, kept)


@test("millrace broker decommission: replicas leave a node under produce, also in two goes; stopped it is unregistered, and nothing is missing")
def decommission(cluster):
    fourth = cluster.fourth
    cluster.join(fourth)
    until(lambda: any(one["id"] == 4 and not one["fenced"] for one in told(cluster, "broker", "list")), "the fourth serves", 20)
    one, two = topic_on(cluster, [4, 1], [1, 4], [2, 3]), topic_on(cluster, [4, 2, 3])
    lines = {one: fill(cluster, one), two: fill(cluster, two, width=2000)}
    seen = {row["id"]: row for row in told(cluster, "broker", "list")}
    expect_equal((seen[4]["leaders"], seen[4]["replicas"], seen[4]["port"]), (2, 3, fourth.port), "what node 4 holds")
    whole = topic_on(cluster, [1, 2, 3, 4])
    expect_in("no broker can take over", refused(cluster, "broker", "decommission", 4))
    millrace(cluster, "topic", "delete", whole)
    # As long as this stands, what leaves does not get there.
    for arguments in (("--type", "broker", "--defaults", "follower.replication.throttled.rate=1"),
                      ("--name", one, "--name", two, "follower.replication.throttled.replicas=*")):
        millrace(cluster, "config", "set", *arguments)
    seen = told(cluster, "broker", "decommission", "4", "--no-wait")
    expect_equal(seen, {"broker": 4, "moved": 3, "result": "moving"}, "decommission --no-wait")
    targets = {(move["topic"], move["partition"]): sorted(set(move["replicas"]) - set(move["removing"]))
               for move in told(cluster, "cluster", "reassign", "--list")}
    expect_equal(targets.get((two, 0)), [1, 2, 3], f"where {two} goes")
    with subprocess.Popen([str(cluster.options.binary), "produce", one, "-K:", "--bootstrap-server", cluster.bootstrap],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as producer:
        producer.stdin.write("".join(f"k{number}:live {number}\n" for number in range(500)))
        producer.stdin.flush()
        # What an earlier run began it plans no second time, and waits for.
        with subprocess.Popen([str(cluster.options.binary), "broker", "decommission", "4", "--bootstrap-server", cluster.bootstrap],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as again:
            expect_in("partitions are moving", again.stderr.readline(), "the second run")
            millrace(cluster, "config", "set", "--type", "broker", "--defaults", "--delete", "follower.replication.throttled.rate")
            said, _ = again.communicate(timeout=60)
        expect_equal(again.returncode, 0, "exit status of the second run")
        producer.stdin.write("".join(f"k{number}:live {number}\n" for number in range(500, 1000)))
        _, errors = producer.communicate(timeout=60)
    expect_equal((producer.returncode, errors), (0, ""), "a producer meanwhile")
    expect_in("It holds none any more: stop it, then run this again to unregister it.", said)
    for topic, partition in targets:
        expect_equal(sorted(cluster.partition(topic, partition)["replicas"]), targets[topic, partition], f"replicas of {topic}-{partition}")
    seen = {row["id"]: row for row in told(cluster, "broker", "list")}
    expect_equal((seen[4]["leaders"], seen[4]["replicas"], seen[4]["fenced"]), (0, 0, False), "what node 4 holds")
    expect_equal(cluster.leave(fourth), 0, "exit status of the node that goes")
    until(lambda: any(row["id"] == 4 and row["fenced"] for row in told(cluster, "broker", "list")), "it is fenced", 20)
    expect(re.search(r" 4 +\S+ +- +fenced +0 +0", millrace(cluster, "broker", "list")), "the table of brokers")
    expect_equal(told(cluster, "broker", "decommission", "4"), {"broker": 4, "moved": 0, "result": "unregistered"}, "decommission")
    expect_equal([row["id"] for row in told(cluster, "broker", "list")], [1, 2, 3], "brokers")
    expect_in("not registered", refused(cluster, "broker", "decommission", 4))
    expect_filled(cluster, one, lines[one] + [f"live {number}" for number in range(1000)])
    expect_filled(cluster, two, lines[two])


@test("millrace storage info and log dump, verify, stat: what a node that was stopped left, as text and as JSON; damage is found")
def on_disk(cluster):
    topic_on(cluster, [3], min_insync_replicas=1)
    topic = topic_on(cluster, [3, 1, 2])
    lines = fill(cluster, topic, 300)
    cluster.until_in_sync(topic)
    node = cluster.member(3)
    expect_equal(told(cluster, "topic", "offsets", topic), [{"topic": topic, "partition": 0, "offset": 300}], "topic offsets")
    binary = cluster.options.binary
    expect_equal(node.stop(), 0, "exit status of the node")
    seen = json.loads(run([binary, "storage", "info", "-c", node.config, "-o", "json"]))
    expect_equal((seen["directories"], seen["node_id"], seen["directory_id"], seen["problems"]),
                 ([str(node.log_dir)], 3, node.directory_id, []), "storage info")
    expect_in(f"directory.id={node.directory_id}, node.id=3", run([binary, "storage", "info", "-c", node.config]))
    folder = node.log_dir / f"{topic}-0"
    segment = folder / "00000000000000000000.log"
    batches = [json.loads(line) for line in run([binary, "log", "dump", segment, "--records", "-o", "json"]).splitlines()]
    expect_equal(sum(len(batch["records"]) for batch in batches), 300, "records of the dump")
    expect_in(lines[-1], run([binary, "log", "dump", segment, "--records"]))
    (report,) = [json.loads(line) for line in run([binary, "log", "verify", segment, "-o", "json"]).splitlines()]
    expect_equal((report["sound"], report["begin"], report["end"], report["records"], report["findings"]), (True, 0, 300, 300, []), "verify")
    expect_in("sound: 300 records", run([binary, "log", "verify", folder]))
    everything = run([binary, "log", "verify", node.log_dir])
    expect(everything.count(": sound: ") > 1, f"verify of the whole directory: {everything}")
    stats = [json.loads(line) for line in run([binary, "log", "stat", node.log_dir, "-o", "json"]).splitlines()]
    ours = next(one for one in stats if one["folder"].endswith(folder.name))
    expect_equal((ours["begin"], ours["end"], ours["segments"]), (0, 300, 1), "stat")
    expect_in(folder.name, run([binary, "log", "stat", node.log_dir]))
    whole = segment.read_bytes()
    torn = cluster.folder / segment.name
    torn.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    done = subprocess.run([binary, "log", "verify", torn], capture_output=True, text=True, timeout=30, check=False)
    expect_equal(done.returncode, 1, "exit status of verify on a flipped bit")
    expect_in("Record is corrupt (stored crc", done.stderr)
    for arguments in (("log", "verify", cluster.folder / "nowhere"), ("log", "stat", cluster.folder / "nowhere"),
                      ("log", "dump", node.config), ("storage", "info", "-c", cluster.folder / "nowhere")):
        done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30, check=False)
        expect_equal((done.returncode, bool(done.stderr.strip())), (1, True), f"{arguments}: {done.stdout[:200]}{done.stderr[:200]}")
    node.start()
    cluster.until_in_sync(topic)

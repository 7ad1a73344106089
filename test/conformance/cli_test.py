"""Our own command line as a client: of our node, and (--against oracle) of Apache Kafka."""

import json
import re
import subprocess

from harness import expect, expect_equal, expect_in, fresh_topic, run, test
import wire


def millrace(node, *arguments, **keywords):
    return run([node.options.binary, *arguments, "--bootstrap-server", node.bootstrap], **keywords)


def failure(node, *arguments):
    """(exit status, standard error) of a command that fails and prints nothing on its standard output."""
    done = subprocess.run([str(node.options.binary), *map(str, arguments), "--bootstrap-server", node.bootstrap, "--timeout", "5s"],
                          capture_output=True, text=True, timeout=30, check=False)
    expect_equal(done.stdout, "", "standard output of a failure")
    return done.returncode, done.stderr


def topic_of(node, partitions=1):
    name = fresh_topic("cli")
    millrace(node, "topic", "create", name, "--partitions", partitions)
    return name


@test("millrace topic: create, list, describe and delete, as text and as JSON")
def topics(node):
    name = fresh_topic("cli")
    expect_in(name, millrace(node, "topic", "create", name, "-p", "3", "-r", "1", "-c", "retention.ms=3600000"))
    expect_in(name, millrace(node, "topic", "list").split())
    text = millrace(node, "topic", "describe", name)
    for part in (name, "retention.ms", "3600000"):
        expect_in(part, text, "describe")
    seen = json.loads(millrace(node, "topic", "describe", name, "-o", "json"))
    expect_in(name, json.dumps(seen), "describe -o json")
    with wire.Connection(node.port) as connection:
        expect_equal(len(connection.metadata([name])["topics"][0]["partitions"]), 3, "partitions on the wire")
    millrace(node, "topic", "delete", name)
    expect(name not in millrace(node, "topic", "list").split(), "still listed")


@test("millrace topic: what is refused is said on stderr, with exit status 1")
def topic_refusals(node):
    name = topic_of(node)
    status, said = failure(node, "topic", "create", name)
    expect_equal(status, 1, "exit status for a topic that exists")
    expect_in(name, said)
    millrace(node, "topic", "create", name, "--if-not-exists")
    for arguments in (("topic", "describe", "no-such-topic"), ("topic", "delete", "no-such-topic"),
                      ("topic", "create", "no/slash"), ("topic", "create", fresh_topic(), "-r", "9"),
                      ("topic", "create", fresh_topic(), "-c", "no.such.config=1")):
        status, said = failure(node, *arguments)
        expect_equal(status, 1, f"exit status of {arguments}")
        expect(said.strip(), f"nothing on stderr for {arguments}")


@test("millrace: a command line that is wrong has exit status 2")
def usage(node):
    for arguments in (("topic",), ("topic", "burn", "x"), ("consume",), ("produce", "t", "--acks", "7"), ("consume", "t", "-p", "-3")):
        done = subprocess.run([str(node.options.binary), *arguments], capture_output=True, text=True, timeout=10, check=False, input="")
        expect_equal(done.returncode, 2, f"exit status of {arguments}: {done.stderr[:200]}")
    for arguments, unknown in ((("srever",), "srever"), (("topic", "burn", "x"), "burn")):
        done = subprocess.run([str(node.options.binary), *arguments], capture_output=True, text=True, timeout=10, check=False)
        expect_in(f"{unknown}: no such command", done.stderr)


@test("millrace: a server that is not there is named, with what to do")
def nobody(node):
    done = subprocess.run([str(node.options.binary), "topic", "list", "--bootstrap-server", "127.0.0.1:1", "--timeout", "2s"],
                          capture_output=True, text=True, timeout=20, check=False)
    expect_equal(done.returncode, 1, "exit status")
    expect_in("127.0.0.1:1", done.stderr)


@test("millrace produce and consume: lines, keys and headers come back in order")
def round_trip(node):
    name = topic_of(node)
    lines = [f"line {number}" for number in range(500)]
    millrace(node, "produce", name, input="".join(f"{line}\n" for line in lines))
    expect_equal(millrace(node, "consume", name, "-e").splitlines(), lines, "records")
    keyed = topic_of(node)
    millrace(node, "produce", keyed, "-K:", "-H", "h=1", input="a:1\nb:2\na:3\n")
    expect_equal(millrace(node, "consume", keyed, "-e", "-f", "%o %k %s %h\\n").splitlines(), ["0 a 1 h=1", "1 b 2 h=1", "2 a 3 h=1"],
                 "records with keys and headers")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.read_all(keyed), [(0, b"a", b"1"), (1, b"b", b"2"), (2, b"a", b"3")], "records on the wire")


@test("millrace produce: every codec is stored and comes back")
def codecs(node):
    for number, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        name = topic_of(node)
        lines = [f"{codec} {line} {'x' * 80}" for line in range(300)]
        millrace(node, "produce", name, "-z", codec, input="".join(f"{line}\n" for line in lines))
        expect_equal(millrace(node, "consume", name, "-e").splitlines(), lines, f"records with {codec}")
        with wire.Connection(node.port) as connection:
            expect_in(number, wire.codecs_of(connection.fetch(name, 0)["records"]), f"codecs in the log with {codec}")


@test("millrace consume: from the start, an offset, before the end, a time; so many; one partition")
def positions(node):
    name = topic_of(node)
    base = 1700000000000
    with wire.Connection(node.port) as connection:
        for number in range(10):
            part = connection.produce(name, wire.batch([b"%d" % number], timestamp=base + number * 1000))
            expect_equal(part["error"], 0, "error of Produce")
    for offset, wanted in (("beginning", range(10)), ("7", [7, 8, 9]), ("-2", [8, 9]), ("end", []), (f"@{base + 4500}", range(5, 10))):
        seen = millrace(node, "consume", name, "-e", f"--offset={offset}").splitlines()
        expect_equal(seen, [str(number) for number in wanted], f"--offset {offset}")
    expect_equal(millrace(node, "consume", name, "-c", "3").splitlines(), ["0", "1", "2"], "-c 3")
    rows = [json.loads(line) for line in millrace(node, "consume", name, "-e", "-o", "json").splitlines()]
    expect_equal([(row["offset"], row["payload"]) for row in rows], [(number, str(number)) for number in range(10)], "-o json")


@test("kcat and millrace read what the other produced, on every partition")
def with_others(node):
    from harness import need
    name = topic_of(node, 4)
    values = [f"{number}" for number in range(200)]
    millrace(node, "produce", name, "-K:", input="".join(f"k{value}:{value}\n" for value in values))
    seen = run([need("kcat"), "-b", node.bootstrap, "-C", "-q", "-e", "-t", name, "-f", "%p %k %s\\n"]).splitlines()
    ours = millrace(node, "consume", name, "-e", "-f", "%p %k %s\\n").splitlines()
    expect_equal(sorted(seen), sorted(ours), "records")
    expect_equal(sorted(int(line.split()[2]) for line in ours), list(range(200)), "values")
    # The same key goes where a Java client would put it: murmur2.
    homes = {line.split()[1]: int(line.split()[0]) for line in ours}
    for key in ("k0", "k1", "k2", "k199"):
        expect_equal(homes[key], murmur2_partition(key.encode(), 4), f"partition of {key}")


def murmur2_partition(key, partitions):
    """Where the Java producer's default partitioner puts a key."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    value = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        value = (value * m & mask) ^ k
    rest = key[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * m & mask
    value = (value ^ value >> 13) * m & mask
    value ^= value >> 15
    return (value & 0x7FFFFFFF) % partitions


@test("millrace version names the version and the protocol")
def version(node):
    expect(re.match(r"millrace \d+\.\d+\.\d+ \(Kafka protocol 4\.4\)\n$", run([node.options.binary, "version"])), "the line")


@test("millrace topic alter: configuration, partitions and replicas, as text and as JSON")
def topic_alter(node):
    name = topic_of(node)
    expect_in(f"Altered topic {name}.", millrace(node, "topic", "alter", name, "--config", "retention.ms=3600000", "-p", "3"))
    expect_in("3600000", millrace(node, "topic", "describe", name))
    with wire.Connection(node.port) as connection:
        expect_equal(len(connection.metadata([name])["topics"][0]["partitions"]), 3, "partitions on the wire")
    seen = json.loads(millrace(node, "topic", "alter", name, "--delete-config", "retention.ms", "-r", "1", "--wait", "-o", "json"))
    expect_equal(seen, [{"topic": name, "result": "altered"}], "output")
    expect("3600000" not in millrace(node, "topic", "describe", name), "still set")
    for arguments, said in ((("-c", "retention.ms=soon"), "INVALID_CONFIG"), (("-p", "1"), "INVALID_PARTITIONS"), (("-r", "9"), "live brokers")):
        status, text = failure(node, "topic", "alter", name, *arguments)
        expect_equal(status, 1, f"exit status of {arguments}")
        expect_in(said, text)


@test("millrace broker list: brokers with address, state and what they hold; decommission says who cannot go")
def broker_list(node):
    topic_of(node, partitions=2)
    seen = json.loads(millrace(node, "broker", "list", "-o", "json"))
    expect_equal([(one["port"], one["fenced"]) for one in seen], [(node.port, False)], "brokers")
    expect(seen[0]["replicas"] >= 2 and seen[0]["leaders"] >= 2, f"counts of {seen}")
    expect_in("active", millrace(node, "broker", "list"))
    status, text = failure(node, "broker", "decommission", seen[0]["id"])
    expect_equal(status, 1, "exit status for the only broker")
    expect_in("no broker can take over", text)
    status, text = failure(node, "broker", "decommission", "77")
    expect_equal(status, 1, "exit status for a broker that is not there")
    expect_in("77", text)


@test("millrace cluster move-leaders and reassign: nothing to do is done, what cannot be is refused")
def cluster_moves(node):
    name = topic_of(node, partitions=2)
    own = json.loads(millrace(node, "broker", "list", "-o", "json"))[0]["id"]
    expect_in("0 partitions", millrace(node, "cluster", "move-leaders"))
    seen = json.loads(millrace(node, "cluster", "move-leaders", f"{name}:1", "-o", "json"))
    expect_equal(seen, [{"topic": name, "partition": 1, "result": "not needed"}], "move-leaders")
    expect_in("2 partitions: moved.", millrace(node, "cluster", "reassign", name, "--to", own, "--wait"))
    expect_equal(json.loads(millrace(node, "cluster", "reassign", "--list", "-o", "json")), [], "moves")
    for arguments, said in (((name, "--to", "77"), "INVALID_REPLICA_ASSIGNMENT"), (("no-such-topic", "--to", own), "no such partition"),
                            ((f"{name}:0", "--cancel"), "NO_REASSIGNMENT_IN_PROGRESS")):
        status, text = failure(node, "cluster", "reassign", *arguments)
        expect_equal(status, 1, f"exit status of {arguments}")
        expect_in(said, text)
    status, _ = failure(node, "cluster", "reassign", name)
    expect_equal(status, 2, "exit status without --to")

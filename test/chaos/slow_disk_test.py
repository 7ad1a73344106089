"""One of a broker's log directories lies on a slow disk while the cluster is written to (RELIABILITY 22)."""

import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])

import wire
from checker import Load
from directory_test import PARTITIONS, FirstOnTwoDisks, led_by
from harness import expect, fresh_topic, test, until
from two_disks import Spread

SLOW_MS = 500  # millrace.disk.slow.ms
LAG_MS = 30_000  # replica.lag.time.max.ms: nobody waits until a follower has left the ISR.
BALANCE_SECONDS = 5
NOT_LEADER_OR_FOLLOWER = 6

def NODE(options, settings=()):
    return FirstOnTwoDisks(options, [*settings, f"leader.imbalance.check.interval.seconds={BALANCE_SECONDS}"])


@test("fault: a log directory on a disk of 500 ms costs latency alone, gives its leaderships away, and gets them back")
def slow_directory(cluster):
    topic = fresh_topic("slow")
    victim = cluster.member(1)
    cluster.create_topic(topic, PARTITIONS)
    cluster.until_in_sync(topic, PARTITIONS)
    there = {one for one in range(PARTITIONS) if (cluster.image.data / f"{topic}-{one}").is_dir()}
    elsewhere = set(range(PARTITIONS)) - there
    led = led_by(cluster, topic, victim)
    expect(led & there and there - led and led & elsewhere,
           f"the first node leads {led}, of which {led & there} lie on the disk that is slow: this tests nothing")
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        cluster.image.slow(victim.pid, SLOW_MS)
        until(lambda: not led_by(cluster, topic, victim) & there, "others lead what is on the slow disk", 60)
        load.more()
        expect(victim.metric("millrace_log_directory_slow") == 1, "no metric says that a directory is slow")
        slow = {one["path"]: one["slow"] for one in victim.status()["log_directories"]}
        expect(slow == {str(victim.log_dir): False, str(cluster.image.data): True}, f"the status page says {slow}")
        expect(led & elsewhere <= led_by(cluster, topic, victim), "the first node lost leaderships of its other directory too")
        cluster.image.quick()
        until(lambda: led <= led_by(cluster, topic, victim), "the first node leads again what it led", 180)
        cluster.until_in_sync(topic, PARTITIONS)
        load.more()
    load.check()
    expect(cluster.alive(), "a node ended because a disk was slow")
    for one in cluster:
        expect(f"fencing broker {victim.id}" not in one.said(), "the node with the slow disk was fenced")
    gaps = load.gap_ms
    expect(max(gaps.values()) < LAG_MS, f"the longest silences by partition: {gaps}")
    print(f"      longest gap {max(gaps[one] for one in led & there):.0f} ms where it led, "
          f"{max(gaps[one] for one in there - led):.0f} ms where it followed, "
          f"{max(gaps[one] for one in elsewhere):.0f} ms elsewhere", flush=True)


VERY_SLOW_MS = 2000
BATCH = 64 << 10
BATCHES = 1000  # Some minutes of that disk's time, and several times what a journal takes in.


@test("fault: what waits for a log directory whose leaderships have moved is refused, and holds up its connection no longer")
def refused_where_it_waits(cluster):
    spread = Spread(cluster, "held")
    victim = cluster.member(1)
    slow, well = min(spread.led & spread.there), min(spread.led & spread.elsewhere)
    requests = [(slow, wire.batch([b"x" * BATCH]))] * BATCHES + [(well, wire.batch([b"behind"]))]
    cluster.image.slow(victim.pid, VERY_SLOW_MS)
    answers = []

    def send(connection):
        for number, (partition, records) in enumerate(requests):
            connection.send(wire.encode("produce", number, **wire.produce_values(spread.topic, records, partition)))

    def answered(connection):
        answers.append(connection.answer("produce", len(answers))["topics"][0]["partitions"][0])
        return len(answers) == len(requests)

    with wire.Connection(victim.port, host=victim.host, timeout=60) as connection:
        sender = threading.Thread(target=send, args=[connection], daemon=True)
        sender.start()
        until(lambda: slow not in led_by(cluster, spread.topic, victim), "another one leads what is on the slow disk", 60)
        until(lambda: answered(connection), "all that was sent is answered", 30)
        sender.join()
    cluster.image.quick()
    errors = [answer["error"] for answer in answers]
    # What was appended before may answer either way, or late.
    expect(errors[BATCHES - 1] == NOT_LEADER_OR_FOLLOWER, f"the last batch to the slow disk was not refused: {errors}")
    expect(errors[BATCHES] == 0, f"what came behind it was refused: {errors}")
    print(f"      {errors.count(NOT_LEADER_OR_FOLLOWER)} of {BATCHES} were refused", flush=True)

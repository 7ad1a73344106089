"""What a node finds wrong when it comes back: lost files, a lost disk, a wrong cluster, an id that is taken (RELIABILITY 26-44)."""

import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import CLUSTER_ID, Member, cluster_of
from harness import expect, expect_equal, fresh_topic, need, run, test, until

NODE = cluster_of(3)


def loaded(cluster, victim_of, damage, whole=lambda cluster: True):
    """Produces; ends one node, damages its data, starts it again; nothing is lost, and it is in sync again."""
    topic = fresh_topic("fault")
    cluster.create_topic(topic)
    cluster.until_in_sync(topic)
    with Load(cluster.bootstrap, topic) as load:
        load.more(500)
        victim = victim_of(cluster, topic)
        victim.kill()
        damage(victim, topic)
        load.more(200)
        victim.start()
        cluster.until_in_sync(topic)
        load.more(200)
        until(lambda: whole(cluster), "the cluster can do without another node", 30)
    load.check()
    # And it is read the same when the others lead.
    current = cluster.leader(topic)
    current.kill()
    cluster.until_led(topic, 0, other_than=current)
    load.check()
    current.start()
    cluster.until_in_sync(topic)


def follower(cluster, topic):
    return cluster.followers(topic)[0]


def leader(cluster, topic):
    return cluster.leader(topic)


def folder_of(node, topic):
    return node.log_dir / f"{topic}-0"


@test("fault: a follower whose partition directory is gone fetches it again")
def directory_gone(cluster):
    loaded(cluster, follower, lambda node, topic: shutil.rmtree(folder_of(node, topic)))


@test("fault: a leader whose indexes and producer snapshots are gone makes them anew, and knows its producers")
def indexes_gone(cluster):
    def damage(node, topic):
        for file in [*folder_of(node, topic).glob("*index"), *folder_of(node, topic).glob("*.snapshot")]:
            file.unlink()
    loaded(cluster, leader, damage)


def flip_a_bit(node, topic):
    """In a record in the middle of its segment."""
    expect_equal(node.stop(), 0, "exit status")  # All that it has is in its segments then.
    segment = max(folder_of(node, topic).glob("*.log"), key=lambda file: file.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[data.index(b"value-000000250")] ^= 0x10
    segment.write_bytes(data)
    node.start()


def until_repaired(cluster, victim, topic, count):
    until(lambda: victim.metric("millrace_log_damage_found_total") > 0, "the damage is found", 20)
    until(lambda: victim.metric("millrace_log_damaged_partitions") == 0, "the damaged log is gone", 30)
    cluster.until_in_sync(topic, count=count)


@test("fault: a bit that flips in a follower's segment is never served, not even when that replica leads, and is repaired")
def bit_flip(cluster):
    topic = fresh_topic("flip")
    cluster.create_topic(topic, replication_factor=2)
    cluster.until_in_sync(topic, count=2)
    with Load(cluster.bootstrap, topic) as load:
        load.more(500)
    healthy, victim = cluster.leader(topic), follower(cluster, topic)
    flip_a_bit(victim, topic)
    cluster.until_in_sync(topic, count=2)
    load.check()
    healthy.kill()
    cluster.until_led(topic, 0, other_than=healthy)
    sent = {value: offset for _, _, offset, value in load.lines()}
    read = run([need("kcat"), "-b", victim.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%o %s\n"], status=1)
    seen = [line.split(" ") for line in read.splitlines() if line]
    expect(len(seen) < len(sent), "everything was served, the damaged batch too")
    expect(all(sent[value] == int(offset) for offset, value in seen), "something else was served")
    expect(victim.metric("millrace_log_damage_found_total") > 0, "no metric tells of the damage")
    expect(victim.metric("millrace_log_damaged_partitions") == 1, "the last replica in sync was thrown away")
    healthy.start()  # Now another one has everything.
    until_repaired(cluster, victim, topic, count=2)
    healthy.kill()
    cluster.until_led(topic, 0, other_than=healthy)
    load.check()
    healthy.start()


@test("fault: a leader that finds a flipped bit in its segment lets another replica lead, and is copied anew")
def bit_flip_in_a_leader(cluster):
    topic = fresh_topic("flip-leader")
    cluster.create_topic(topic)
    cluster.until_in_sync(topic)
    with Load(cluster.bootstrap, topic) as load:
        load.more(500)
        victim = cluster.leader(topic)
        flip_a_bit(victim, topic)
        cluster.until_in_sync(topic)
        cluster.lead_again(topic)
        run([need("kcat"), "-b", cluster.bootstrap, "-C", "-t", topic, "-o", "beginning", "-c", "500", "-q"], status=None)
        cluster.until_led(topic, 0, other_than=victim)
        load.more(500)
        until_repaired(cluster, victim, topic, count=3)
    cluster.lead_again(topic)
    load.check()


@test("fault: a node that was formatted for another cluster does not start", own_node=True)
def wrong_cluster(cluster):
    cluster.start()
    stranger = cluster.member(3)
    expect_equal(stranger.stop(), 0, "exit status")
    meta = stranger.log_dir / "meta.properties"
    meta.write_text(meta.read_text().replace(CLUSTER_ID, "c29tZS1vdGhlci1jbHVzdGVy"))
    stranger.spawn()
    until(lambda: not stranger.alive() or not stranger.ready(), "it ends, or is not ready", 5)
    until(lambda: not stranger.alive() or "c29tZS1vdGhlci1jbHVzdGVy" in stranger.log_tail(), "it says why", 10)
    topic = fresh_topic("without")
    cluster.create_topic(topic, 1, replication_factor=2)
    expect(3 not in cluster.partition(topic)["replicas"], "the stranger was taken in")
    if stranger.alive():
        stranger.stop()


@test("fault: a second process with the id of a living broker is refused, and the first goes on", own_node=True)
def duplicate_id(cluster):
    first = Member(cluster, 4, "broker", [])
    cluster.members.append(first)
    cluster.start()
    double = Member(cluster, 5, "broker", [])
    double.id = first.id
    try:
        double.spawn()
        until(lambda: not double.alive() or "duplicate" in double.log_tail().lower() or
              str(first.id) in double.log_tail(), "it is refused", 20)
        expect(not double.ready(), "both serve")
        expect(first.ready(), "the first one gave way")
        topic = fresh_topic("double")
        cluster.create_topic(topic)
        with Load(cluster.bootstrap, topic) as load:
            load.more(200)
        load.check()
    finally:
        double.stop()

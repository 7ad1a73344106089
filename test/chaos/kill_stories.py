"""Three nodes, and one or all of them go: nothing acknowledged is lost or doubled, and the others go on.

Told once, played on processes (kill_broker_test.py) and on containers (test/compose/compose_kill_test.py):

    NODE = cluster_of(3)
    tell("kill a broker", globals())

The producer is librdkafka, idempotent, with unique values (checker.py). The gaps that are printed are what it saw.
"""

import functools

from checker import Load
from harness import expect, fresh_topic, test

PARTITIONS = 3
STORIES = []


def story(sentence):
    def mark(function):
        STORIES.append((sentence, function))
        return function
    return mark


def tell(where, module):
    """Gives a module every story as a test of its own."""
    for sentence, function in STORIES:
        # Another function for each module: the mark of a test is an attribute.
        play = functools.wraps(function)(functools.partial(function))
        module[function.__name__] = test(f"{where}: {sentence}")(play)


def begin(cluster, partitions=PARTITIONS):
    topic = fresh_topic("kill")
    cluster.create_topic(topic, partitions)
    cluster.until_in_sync(topic, partitions)
    return topic


def show(load, what):
    print(f"      {what}: longest gap {max(load.gap_ms.values()):.0f} ms, by partition {load.gap_ms}", flush=True)


class ByEvidence:
    """Brokers that are killed in here are fenced because somebody saw it, not because they were silent for a whole session."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __enter__(self):
        self.before = {one.id: len(one.said()) for one in self.cluster}

    def __exit__(self, kind, *_):
        if kind is None:
            said = "".join(one.said()[self.before[one.id]:] for one in self.cluster)
            late = [line for line in said.splitlines() if "fencing broker" in line and "was silent" in line]
            expect("fencing broker" in said and not late, f"the dead broker was fenced by silence alone: {late}")


@story("kill -9 of a leader during idempotent produce loses and doubles nothing, and it comes back in sync")
def kill_leader(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        victim = cluster.leader(topic, 0)
        with ByEvidence(cluster):
            victim.kill()
            cluster.until_led(topic, 0, other_than=victim)
        load.more()
        victim.start()
        cluster.until_in_sync(topic, PARTITIONS)
        load.more()
    load.check()
    show(load, "leader killed")


@story("kill -9 of a follower is not noticed by the producer")
def kill_follower(cluster):
    topic = begin(cluster, 1)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        victim = cluster.followers(topic)[0]
        victim.kill()
        load.more()
        victim.start()
        cluster.until_in_sync(topic)
        load.more()
    load.check()
    show(load, "follower killed")


@story("kill -9 of the active controller leaves what it does not lead alone, and another takes over")
def kill_controller(cluster):
    victim = cluster.controller()
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        led = [number for number in range(PARTITIONS) if cluster.leader(topic, number) is victim]
        with ByEvidence(cluster):
            victim.kill()
            successor = cluster.controller()
            for number in led:
                cluster.until_led(topic, number, other_than=victim)
        expect(successor is not victim, "the dead one is still named as controller")
        load.more()
        cluster.create_topic(fresh_topic("after"), 3, replication_factor=2)
        victim.start()
        cluster.until_in_sync(topic, PARTITIONS)
    load.check()
    show(load, "controller killed")


@story("each one in turn, and a topic made in between is there at the end")
def kill_each(cluster):
    topic = begin(cluster)
    made = []
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        for round_number in range(cluster.rounds):
            for victim in cluster:
                load.more(200)
                victim.kill()
                load.more(200)
                made.append(fresh_topic(f"made-{round_number}"))
                cluster.create_topic(made[-1], 1, replication_factor=2)
                victim.start()
                cluster.until_in_sync(topic, PARTITIONS)
    load.check()
    for name in made:
        expect(cluster.partition(name)["leader"] > 0, f"{name} has no leader")
    show(load, "each killed in turn")


@story("kill -9 of all at once loses nothing that was acknowledged")
def kill_all(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        load.more()
        cluster.kill()
        cluster.start()
        load.more()
    load.check()
    show(load, "all killed")


@story("a leader that was stopped by SIGSTOP comes back as a follower, and what it took meanwhile counts for nothing")
def pause_leader(cluster):
    topic = begin(cluster, 1)
    with Load(cluster.bootstrap, topic) as load:
        load.more()
        victim = cluster.leader(topic)
        victim.pause()
        try:
            cluster.until_led(topic, 0, other_than=victim)
            load.more()
        finally:
            victim.resume()
        cluster.until_in_sync(topic)
        load.more()
    load.check()
    show(load, "leader paused")


@story("a rolling restart under load is no error to anybody")
def rolling_restart(cluster):
    topic = begin(cluster)
    with Load(cluster.bootstrap, topic, PARTITIONS) as load:
        for one in cluster:
            load.more(200)
            expect(one.stop() == 0, f"node {one.id} did not stop cleanly: {one.log_tail()}")
            load.more(200)
            one.start()
            cluster.until_in_sync(topic, PARTITIONS)
    load.check()
    show(load, "rolling restart")

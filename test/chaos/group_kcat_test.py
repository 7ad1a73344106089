"""kcat -G on three brokers, and the coordinator of its group goes (RELIABILITY 40, 41). Other clients: group_coordinator_test.py."""

import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from checker import Load
from cluster import cluster_of
from group_coordinator_test import PARTITIONS, SETTINGS, begin, coordinator_of, in_sync
from group_wire import committed
from groups_test import Kcat
from harness import expect, fresh_topic, test, until
import wire

NODE = cluster_of(3)
ROUNDS = 2


def offsets(coordinator, group, topic):
    with wire.Connection(coordinator.port) as connection:
        return committed(connection, group, topic, PARTITIONS)


@test(f"kcat -G: kill -9 of the coordinator, {ROUNDS} times: no commit goes back, all that was acknowledged is read, and who comes back reads on")
def coordinator_killed(cluster):
    topic, group = begin(cluster), fresh_topic("kcat")
    with Load(cluster.bootstrap, topic, PARTITIONS, rate=200) as load:
        with Kcat(cluster, group, topic) as first, Kcat(cluster, group, topic) as second:
            both = (first, second)
            until(lambda: all(len(one.owned()) == PARTITIONS // 2 for one in both), "each has half of the partitions", 40)
            in_sync(cluster)
            for _ in range(ROUNDS):
                victim = coordinator_of(cluster, group)
                until(lambda: min(offsets(victim, group, topic)) > 0, "something of each partition is committed", 20)
                before = offsets(victim, group, topic)
                victim.kill()
                successor = coordinator_of(cluster, group, other_than=victim)
                after = offsets(successor, group, topic)
                expect(all(now >= then for now, then in zip(after, before)), f"committed was {before}, and is {after}")
                until(lambda: all(now > then for now, then in zip(offsets(successor, group, topic), after)), "commits are taken again", 40)
                victim.start()
                in_sync(cluster)
            load.finish()
            wanted = {(partition, offset, value) for _, partition, offset, value in load.lines()}

            def missing():
                return wanted - {(int(partition), int(offset), value) for one in both for partition, offset, value in one.records()}
            until(lambda: not missing(), "all that was acknowledged is read", 40)
            for one in both:
                one.leave()
        ends = [max(offset for partition, offset, _ in wanted if partition == number) + 1 for number in range(PARTITIONS)]
        until(lambda: offsets(coordinator_of(cluster, group), group, topic) == ends, "what was read is committed", 20)
        # Who comes back reads nothing again.
        with Kcat(cluster, group, topic) as third:
            third.until_owns(PARTITIONS)
            with wire.Connection(cluster.leader(topic).port) as connection:
                expect(connection.produce(topic, wire.batch([b"value-~last"]))["error"] == 0, "error of Produce")
            until(third.values, "the next record is read", 20)
            expect(third.values() == ["value-~last"], f"read again: {third.values()[:5]}")
            third.leave()
    total = load.check()
    print(f"      {total} records, {len(first.records()) + len(second.records())} read", flush=True)

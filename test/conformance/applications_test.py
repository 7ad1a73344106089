"""Configurations of consumers as applications have them (applications/*.properties): unchanged but for the address, they work here."""

from harness import ROOT, expect_equal, test, until
from group_wire import committed, coordinator, produce, topic_of
from members import CommittingMember, JavaMember, Member
import wire

SETTINGS = ["offsets.topic.replication.factor=1", "auto.create.topics.enable=false"]
RECORDS = 200


def application(name):
    lines = (ROOT / f"test/conformance/applications/{name}.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class Java(JavaMember):
    """By the settings alone: nothing of what other tests make quicker."""

    def __init__(self, bootstrap, group, topic, **settings):
        CommittingMember.__init__(self, bootstrap, group, topic, **settings)


def of(client, node, settings, topic, number):
    """One process of the application: its own instance id is all that tells it from the others."""
    own = {key: value for key, value in settings.items() if key not in ("bootstrap.servers", "group.id")}
    if "group.instance.id" in own:
        own["group.instance.id"] += f"-{number}"
    return client(node.bootstrap, settings["group.id"], topic, **own)


def works(node, name, client):
    settings = application(name)
    topic, group = topic_of(node), settings["group.id"]
    with wire.Connection(node.port) as connection:
        coordinator(connection, group)
    produce(node, topic, range(RECORDS))
    with of(client, node, settings, topic, 1) as first, of(client, node, settings, topic, 2) as second:
        first.until_owns(2, 60)
        second.until_owns(2, 60)
        def read():
            return first.values() + second.values()
        until(lambda: len(set(read())) == RECORDS, "all is read", 30)
        def offsets():
            with wire.Connection(node.port) as connection:
                return committed(connection, group, topic, 4)
        until(lambda: offsets() == [RECORDS // 4] * 4, "all is committed", 30)
        second.close()
        before = len(second.events)
        # It comes back, as with a deployment, and reads on.
        second.start()
        second.await_(lambda: any(one["event"] == "assigned" for one in second.events[before:]), "the second has partitions again", 60)
        produce(node, topic, range(RECORDS, 2 * RECORDS))
        until(lambda: len(set(read())) == 2 * RECORDS, "all of the rest is read", 30)
        until(lambda: offsets() == [RECORDS // 2] * 4, "all of it is committed", 30)
        expect_equal([value for value in second.values()[-1:] if int(value) < RECORDS], [], "read again by who came back")
        first.close()
        second.close()


@test("application: the configuration of a Java consumer (static, cooperative-sticky, read_committed, client.rack) works unchanged")
def java(node):
    works(node, "java", Java)


@test("application: the configuration of a Spring listener (two assignors, commits of its own) works unchanged")
def spring(node):
    works(node, "spring", Java)


@test("application: the configuration of a Java consumer that has moved to KIP-848 works unchanged")
def java_new(node):
    works(node, "java_new", Java)


@test("application: the configuration of a librdkafka consumer (static, cooperative-sticky, read_committed, client.rack) works unchanged")
def librdkafka(node):
    works(node, "librdkafka", Member)

"""A new leader that does not know yet how far the one before had committed (KIP-207)."""

import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from cluster import cluster_of
from harness import expect_equal, fresh_topic, test, until
import wire

# The controller stays when a broker goes, and does not miss a silent broker before the test is over.
NODE = cluster_of(4, roles=["broker", "broker", "broker", "controller"])
SETTINGS = ["broker.session.timeout.ms=60000", "replica.lag.time.max.ms=60000"]
OFFSET_NOT_AVAILABLE = 78


@test("new leader: a look-up by time or for the largest time tells what it cannot know yet from what is not there")
def lagging(cluster):
    topic = fresh_topic("new-leader")
    cluster.create_topic(topic)
    cluster.until_in_sync(topic)
    now = int(time.time() * 1000)
    old = cluster.leader(topic)
    new, silent = cluster.followers(topic)  # The first of them is elected.
    with wire.Connection(old.port) as connection, wire.Connection(new.port) as follower:
        # Who is named as the leader may hear of it a moment later than who names it.
        until(lambda: connection.produce(topic, wire.batch([b"committed"], timestamp=now))["error"] == 0, "the leader accepts a record")
        until(lambda: follower.fetch(topic, 0, wait_ms=0)["high_watermark"] == 1, "the follower knows what is committed")
        silent.pause()
        # In the logs of two, and not committed: the silent one counts.
        expect_equal(connection.produce(topic, wire.batch([b"more"], timestamp=now + 1000), acks=1)["error"], 0, "error")
        until(lambda: follower.fetch(topic, 2, wait_ms=0)["error"] == 0, "the follower has the second record")
    try:
        old.kill()
        expect_equal(cluster.until_led(topic, other_than=old).id, new.id, "the new leader")
        with wire.Connection(new.port) as connection:
            def found(timestamp):
                part = connection.list_offset(topic, timestamp)
                return part["error"], part["offset"]

            until(lambda: found(-2)[0] == 0, "the new leader leads")
            expect_equal(found(-2), (0, 0), "the earliest")
            expect_equal(found(-1), (OFFSET_NOT_AVAILABLE, -1), "the latest")
            expect_equal(found(-3), (OFFSET_NOT_AVAILABLE, -1), "the largest time")
            expect_equal(found(now + 500), (OFFSET_NOT_AVAILABLE, -1), "a time that only the second record has")
            expect_equal(found(now - 500), (0, 0), "a time that what is known to be committed has")
            expect_equal(found(now + 5000), (0, -1), "a time that no record has")
    finally:
        silent.resume()
    with wire.Connection(new.port) as connection:
        until(lambda: connection.list_offset(topic, -3)["offset"] == 1, "all is committed")
    old.start()
    cluster.await_ready()

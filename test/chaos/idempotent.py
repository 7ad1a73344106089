"""A producer that retries for ever, and the ledger of what it was promised.

The producer is idempotent (KIP-98) with five requests in flight, on a bare socket: after a broken connection it sends what
was not acknowledged again, in order, with the sequences it had. Each value is sent as one record and is unique.
"""

import collections
import time

from harness import Failure, expect
import wire

IN_FLIGHT_MAX = 5  # Kafka's brokers remember as many batches of a producer; more could not be told from new ones.
RETRIED = {3, 5, 6, 7, 14, 19, 20, 56}  # Not leader, not available, time-outs, storage: worth asking again.
GIVE_UP_SECONDS = 30


class Ledger:
    """What was sent, and at which offset it was acknowledged, by partition."""

    def __init__(self):
        self.sent = collections.defaultdict(list)
        self.acknowledged = collections.defaultdict(dict)  # partition -> {offset: value}

    def check(self, partition, records):
        """`records` is all that is in the log: [(offset, key, value)]. Fails on the first lie."""
        by_offset = {offset: value for offset, _, value in records}
        values = [value for _, _, value in records]
        expect(len(by_offset) == len(records), f"partition {partition}: an offset twice")
        for offset, value in sorted(self.acknowledged[partition].items()):
            seen = by_offset.get(offset)
            expect(seen is not None, f"partition {partition}: LOST {value!r}, acknowledged at {offset}; the log has "
                                     f"{len(records)} records")
            expect(seen == value, f"partition {partition}: {seen!r} stands at {offset} where {value!r} was acknowledged")
        counted = collections.Counter(values)
        doubled = [value for value, count in counted.items() if count > 1]
        expect(not doubled, f"partition {partition}: DOUBLED {doubled[:5]!r}")
        order = {value: place for place, value in enumerate(self.sent[partition])}
        strange = [value for value in values if value not in order]
        expect(not strange, f"partition {partition}: never sent: {strange[:5]!r}")
        places = [order[value] for value in values]
        expect(places == sorted(places), f"partition {partition}: the order of sending is not the order of the log")


class Producer:
    def __init__(self, node, topic, partitions):
        self.node = node
        self.topic = topic
        self.ledger = Ledger()
        self.next_sequence = [0] * partitions
        self.unacknowledged = collections.deque()  # (partition, sequence, values), oldest first.
        self.connection = None
        self.flying = collections.deque()  # What this connection has sent and not heard of.
        self.made = 0
        with wire.Connection(node.port) as connection:
            self.id = connection.init_producer()

    def reconnect(self):
        """Connects again, and puts everything not acknowledged up for sending, oldest first."""
        self.drop()
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self.connection is None:
            try:
                self.connection = wire.Connection(self.node.port)
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure("the node cannot be reached again") from None
                time.sleep(0.005)
        self.resend = collections.deque(self.unacknowledged)

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.flying.clear()

    def make(self, partition, count):
        values = [b"value-%08d" % (self.made + one) for one in range(count)]
        self.made += count
        self.ledger.sent[partition] += values
        batch = (partition, self.next_sequence[partition], values)
        self.next_sequence[partition] += count
        self.unacknowledged.append(batch)
        return batch

    def transmit(self, batch):
        partition, sequence, values = batch
        self.flying.append(batch)
        records = wire.batch(values, producer=(self.id, 0, sequence))
        self.connection.send(wire.encode("produce", len(self.flying), **wire.produce_values(self.topic, records, partition)))

    def hear(self):
        """Takes one answer. True when the oldest request was acknowledged."""
        answer = self.connection.answer("produce")["topics"][0]["partitions"][0]
        partition, sequence, values = batch = self.flying.popleft()
        if answer["error"] in RETRIED:
            return False
        expect(answer["error"] == 0, f"error {answer['error']} for sequence {sequence} of partition {partition}")
        expect(answer["base_offset"] >= 0, f"acknowledged without an offset: {answer}")
        for place, value in enumerate(values):
            self.ledger.acknowledged[partition][answer["base_offset"] + place] = value
        self.unacknowledged.remove(batch)
        return True

    def run(self, dice, ending):
        """Sends until `ending` is set and the connection then breaks."""
        self.reconnect()
        while True:
            try:
                self.turn(dice)
            except (wire.Disconnected, ConnectionError, TimeoutError):
                self.drop()
                if ending.is_set():
                    return
                self.reconnect()

    def turn(self, dice):
        while len(self.flying) < IN_FLIGHT_MAX:
            if self.resend:
                batch = self.resend.popleft()
            elif len(self.unacknowledged) < IN_FLIGHT_MAX:
                batch = self.make(dice.randrange(len(self.next_sequence)), dice.randint(1, 8))
            else:
                break
            self.transmit(batch)
        if not self.hear():
            self.reconnect()  # In order again, from the oldest.

    def settle(self):
        """Until everything sent is acknowledged."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        self.reconnect()
        while self.unacknowledged:
            expect(time.monotonic() < deadline, f"{len(self.unacknowledged)} batches were never acknowledged")
            try:
                while self.resend and len(self.flying) < IN_FLIGHT_MAX:
                    self.transmit(self.resend.popleft())
                if not self.hear():
                    self.reconnect()
            except (wire.Disconnected, ConnectionError, TimeoutError):
                self.reconnect()

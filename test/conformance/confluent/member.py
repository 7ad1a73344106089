"""A member of a consumer group (librdkafka, either protocol) that says what happens to it.

    member.py BOOTSTRAP GROUP TOPIC [key=value ...]        settings of librdkafka; commit=each: commit after each record

One JSON object a line on standard output: {"event": "assigned" | "revoked" | "lost" | "record" | "committed" | "error" | "closed",
...}; those of a rebalance carry the generation and the member id. Standard input, a line each: `commit` (waits for the answer),
`commit-async`, `seek P OFFSET`, `close`. The end of standard input closes it, too.
"""

import json
import queue
import struct
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

COOPERATIVE = "cooperative-sticky"


def say(event, **values):
    print(json.dumps({"event": event, "at": time.time(), **values}), flush=True)


def generation(consumer):
    """-1 where it is in no group. librdkafka tells it only in what it writes for transactions."""
    data = consumer.consumer_group_metadata()
    return struct.unpack_from("=i", data, len(b"CGMDv2:"))[0] if data and data.startswith(b"CGMDv2:") else -1


def main():
    bootstrap, group, topic, *settings = sys.argv[1:]
    options = dict(setting.split("=", 1) for setting in settings)
    commit_each = options.pop("commit", "") == "each"

    def on_commit(error, partitions):
        say("committed", error=error.name() if error else None, offsets={one.partition: one.offset for one in partitions})

    # In the new protocol it is the broker that says these.
    new_protocol = options.get("group.protocol") == "consumer"
    timing = {} if new_protocol else {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, **timing, "topic.metadata.refresh.interval.ms": 2000, "reconnect.backoff.max.ms": 500, "on_commit": on_commit,
                         "error_cb": lambda error: say("client error", name=error.name()), **options})
    cooperative = new_protocol or options.get("partition.assignment.strategy") == COOPERATIVE
    next_offset = {}

    def rebalanced(event):
        def callback(client, partitions):
            for one in partitions:
                next_offset.pop(one.partition, None)
            say(event, partitions=sorted(one.partition for one in partitions), generation=generation(client), member=client.memberid())
            if event == "assigned":
                (client.incremental_assign if cooperative else client.assign)(partitions)
            elif cooperative:
                client.incremental_unassign(partitions)
            else:
                client.unassign()
        return callback

    consumer.subscribe([topic], on_assign=rebalanced("assigned"), on_revoke=rebalanced("revoked"), on_lost=rebalanced("lost"))
    commands = queue.Queue()

    def read():
        for line in sys.stdin:
            commands.put(line.split())
        commands.put(["close"])

    threading.Thread(target=read, daemon=True).start()

    def commit(asynchronous):
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in next_offset.items()]
        if not offsets:
            return say("committed", error=None, offsets={})
        try:
            done = consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as problem:
            return say("committed", error=problem.args[0].name(), offsets={one.partition: one.offset for one in offsets})
        if asynchronous:
            return None  # on_commit comes.
        bad = [one.error.name() for one in done if one.error]
        return say("committed", error=bad[0] if bad else None, offsets={one.partition: one.offset for one in done})

    while True:
        try:
            command = commands.get_nowait()
        except queue.Empty:
            command = None
        if command == ["close"]:
            break
        if command == ["commit"] or command == ["commit-async"]:
            commit(command == ["commit-async"])
        elif command:
            consumer.seek(TopicPartition(topic, int(command[1]), int(command[2])))
        message = consumer.poll(0.05)
        if message is None:
            continue
        if message.error():
            say("error", name=message.error().name())
            continue
        value = message.value().decode()
        next_offset[message.partition()] = message.offset() + 1
        say("record", partition=message.partition(), offset=message.offset(), value=value)
        if commit_each:
            commit(False)
    consumer.close()
    say("closed")


if __name__ == "__main__":
    main()

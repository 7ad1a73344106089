"""What the confluent-kafka tests run inside their virtual environment: one action, its result as JSON.

    client.py BOOTSTRAP ACTION TOPIC [ARGUMENT]
"""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

DEADLINE_S = 30


def producer(bootstrap, **settings):
    return Producer({"bootstrap.servers": bootstrap, "acks": "all", **settings})


def consumer(bootstrap, **settings):
    # A group id is mandatory in this library even where no group is used.
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False,
                     "enable.partition.eof": True, **settings})


def send(client, topic, messages):
    """Delivery reports in order of the messages: [partition, offset] or the error's name."""
    reports = {}
    for number, message in enumerate(messages):
        def delivered(error, record, number=number):
            reports[number] = error.name() if error else [record.partition(), record.offset()]
        client.produce(topic, on_delivery=delivered, **message)
        client.poll(0)
    left = client.flush(DEADLINE_S)
    assert left == 0, f"{left} messages never reported"
    return [reports[number] for number in range(len(messages))]


def read(client, positions):
    """Every record from `positions` to the end of each partition."""
    client.assign(positions)
    rows = []
    open_ends = {position.partition for position in positions}
    while open_ends:
        message = client.poll(DEADLINE_S)
        assert message is not None, f"nothing for {DEADLINE_S} s, still open: {open_ends}"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, str(message.error())
            open_ends.discard(message.partition())
            continue
        text = lambda data: None if data is None else data.decode()
        rows.append({"partition": message.partition(), "offset": message.offset(), "key": text(message.key()),
                     "value": text(message.value()), "timestamp": list(message.timestamp()),
                     "headers": [[name, text(value)] for name, value in message.headers() or []]})
    client.close()
    return rows


def produce_keyed(bootstrap, topic, _):
    messages = [{"key": f"k{number % 5}", "value": f"v{number}", "headers": [("n", str(number)), ("empty", None)],
                 "timestamp": 1700000000000 + number} for number in range(100)]
    return send(producer(bootstrap), topic, messages)


def produce_codec(bootstrap, topic, codec):
    client = producer(bootstrap, **{"compression.type": codec, "linger.ms": 20})
    return send(client, topic, [{"value": f"{codec} {number} " + "y" * 200, "partition": 0} for number in range(300)])


def produce_idempotent(bootstrap, topic, count):
    client = producer(bootstrap, **{"enable.idempotence": True, "linger.ms": 1, "batch.num.messages": 20})
    return send(client, topic, [{"value": str(number), "partition": 0} for number in range(int(count))])


def consume(bootstrap, topic, partitions):
    return read(consumer(bootstrap), [TopicPartition(topic, one, OFFSET_BEGINNING) for one in range(int(partitions))])


def consume_from(bootstrap, topic, offset):
    return read(consumer(bootstrap), [TopicPartition(topic, 0, int(offset))])


def out_of_range(bootstrap, topic, reset):
    client = consumer(bootstrap, **{"auto.offset.reset": reset})
    client.assign([TopicPartition(topic, 0, 1000000)])
    while True:
        message = client.poll(DEADLINE_S)
        assert message is not None, "nothing came"
        if message.error() is None:
            return message.offset()
        if message.error().code() == KafkaError._PARTITION_EOF:
            return "end"
        return message.error().name()


def offsets(bootstrap, topic, timestamp):
    client = consumer(bootstrap)
    low, high = client.get_watermark_offsets(TopicPartition(topic, 0), timeout=DEADLINE_S)
    found = client.offsets_for_times([TopicPartition(topic, 0, int(timestamp))], timeout=DEADLINE_S)
    return {"low": low, "high": high, "at": found[0].offset}


def admin(bootstrap, topic, _):
    client = AdminClient({"bootstrap.servers": bootstrap})

    def outcome(futures):
        result = next(iter(futures.values()))
        try:
            return result.result(DEADLINE_S)
        except Exception as error:
            return error.args[0].name()

    new = NewTopic(topic, num_partitions=2, replication_factor=1, config={"retention.ms": "3600000"})
    seen = {"create": outcome(client.create_topics([new])), "again": outcome(client.create_topics([new]))}
    seen["grow"] = outcome(client.create_partitions([NewPartitions(topic, 4)]))
    seen["shrink"] = outcome(client.create_partitions([NewPartitions(topic, 1)]))
    config = outcome(client.describe_configs([ConfigResource("topic", topic)]))
    seen["retention"] = config["retention.ms"].value
    seen["partitions"] = len(client.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions)
    latest = outcome(client.list_offsets({TopicPartition(topic, 3): OffsetSpec.latest()}))
    seen["latest"] = latest.offset
    cluster = client.describe_cluster().result(DEADLINE_S)
    seen["nodes"] = [f"{node.host}:{node.port}" for node in cluster.nodes]
    seen["delete"] = outcome(client.delete_topics([topic]))
    seen["delete again"] = outcome(client.delete_topics([topic]))
    return seen


def delete_records(bootstrap, topic, offset):
    client = AdminClient({"bootstrap.servers": bootstrap})
    future = next(iter(client.delete_records([TopicPartition(topic, 0, int(offset))]).values()))
    try:
        return future.result(DEADLINE_S).low_watermark
    except Exception as error:
        return error.args[0].name()


def begin_transactions(bootstrap, _, transactional_id):
    """How long a client waits is its user's choice: here as long as the test."""
    try:
        producer(bootstrap, **{"transactional.id": transactional_id}).init_transactions(DEADLINE_S * 2)
    except KafkaException as problem:
        error = problem.args[0]
        return {"error": error.name(), "fatal": error.fatal(), "text": error.str()}
    return {}


if __name__ == "__main__":
    bootstrap, action, topic, *rest = sys.argv[1:]
    print(json.dumps(globals()[action](bootstrap, topic, rest[0] if rest else None)))

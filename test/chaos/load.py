"""A producer that outlives brokers, run in the environment of confluent-kafka (librdkafka): unique values, idempotent.

    load.py BOOTSTRAP TOPIC LEDGER [--rate N] [--count N] [--partitions N] [--seconds-max N]

Writes one line per acknowledgement to LEDGER, "MILLISECONDS PARTITION OFFSET VALUE", as it comes (an offset of -1: it
was not told), and how many it has sent to LEDGER.sent. Sends until --count records, or until its standard input ends; then waits
for what is under way and prints what came of it as JSON:

    {"sent": ..., "acknowledged": ..., "failed": [...], "gap_ms": {"0": longest silence of partition 0, ...}, "errors": [...]}
"""

import argparse
import json
import os
import sys
import threading
import time

from confluent_kafka import Producer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("ledger")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--flush-seconds", type=float, default=60)
    options = parser.parse_args()

    errors = []
    # What is under way to a broker that is silent but not gone (stopped, cut off) comes back only when it has timed out: by
    # librdkafka's own choice a minute later, however long another broker has led.
    client = Producer({"bootstrap.servers": options.bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 0,
                       "socket.timeout.ms": 10000, "request.timeout.ms": 8000, "delivery.timeout.ms": 120000,
                       "error_cb": lambda error: errors.append(str(error))})
    ledger = open(options.ledger, "w", buffering=1, encoding="utf-8")
    failed, acknowledged = [], [0]
    last, gaps, gap_at = {}, {}, {}
    began = time.monotonic()

    def delivered(error, record):
        now = (time.monotonic() - began) * 1000
        if error is not None:
            failed.append(f"{record.value().decode()}: {error}")
            return
        acknowledged[0] += 1
        partition = record.partition()
        gap = now - last.get(partition, now)
        if gap > gaps.get(partition, -1):
            gaps[partition], gap_at[partition] = gap, now
        last[partition] = now
        # librdkafka takes a record for acknowledged, and knows no offset of it, when the broker's time to answer ran out and
        # then a later record of the same producer was acknowledged.
        offset = -1 if record.offset() is None else record.offset()
        ledger.write(f"{now:.1f} {partition} {offset} {record.value().decode()}\n")

    ending = threading.Event()
    if not options.count:
        threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    sent = 0
    told = open(f"{options.ledger}.sent", "wb", buffering=0)
    while not ending.is_set() and (not options.count or sent < options.count):
        due = began + sent / options.rate
        while time.monotonic() < due:
            client.poll(max(0.0, min(0.002, due - time.monotonic())))
        try:
            client.produce(options.topic, f"value-{sent:09d}", partition=sent % options.partitions, on_delivery=delivered)
            sent += 1
            os.pwrite(told.fileno(), b"%d" % sent, 0)  # It only grows: a reader sees this number or the one before.
        except BufferError:
            client.poll(0.01)
        client.poll(0)
    left = client.flush(options.flush_seconds)
    print(json.dumps({"sent": sent, "acknowledged": acknowledged[0], "unreported": left, "failed": failed[:5],
                      "gap_ms": {str(key): round(value, 1) for key, value in gaps.items()}, "errors": errors[:5]}))


if __name__ == "__main__":
    main()

"""Power cuts and full disks for real: the data lies on an ext4 image that is mounted through a loop device.

A copy of the image file is what a disk holds when the power goes: what was synced is in it, what only the page cache
of the mounted file system had is not. kill -9 (kill9_idempotent_test.py) keeps that cache, so it never tests a sync.
"""

import contextlib
import errno
import os
import random
import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, fresh_topic, run, test, until
from idempotent import Producer
from image import Image, cut_power
import wire

CUTS = int(os.environ.get("MILLRACE_POWER_CUTS", "12"))
PARTITIONS = 3
SEED = int(os.environ.get("MILLRACE_SEED", "1"))
STORAGE_ERROR = 56


@contextlib.contextmanager
def on_image(node, megabytes):
    image = Image(node.folder, megabytes)
    node.settings.append(f"log.dirs={image.data}")
    try:
        yield image
    finally:
        if node.pid is not None and node.alive():
            node.kill()
        image.unmount()


def begin(node):
    topic = fresh_topic("image")
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, PARTITIONS), 0, "error of CreateTopics")
    return Producer(node, topic, PARTITIONS)


def verify(node, producer):
    total = 0
    with wire.Connection(node.port) as connection:
        for partition in range(PARTITIONS):
            records = connection.read_all(producer.topic, partition)
            producer.ledger.check(partition, records)
            total += len(records)
    return total


@test(f"chaos: the power is cut {CUTS} times during idempotent produce: nothing acknowledged is lost or doubled", own_node=True,
      ours_only="Kafka acknowledges from the page cache")
def power_cuts(node):
    dice = random.Random(SEED)
    with on_image(node, 256) as image:
        producer = begin(node)
        total = 0
        for _ in range(CUTS):
            ending = threading.Event()

            def strike():
                ending.set()
                cut_power([node], [image])

            timer = threading.Timer(dice.uniform(0.05, 0.4), strike)
            timer.start()
            try:
                producer.run(dice, ending)
            finally:
                timer.join()
            node.start()
            producer.settle()
            total = verify(node, producer)
        print(f"      {CUTS} cuts, {total} records", flush=True)
        expect(total >= CUTS * 10, f"only {total} records in {CUTS} rounds: the test tests nothing")


def fill(path):
    """Takes all the room there is."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


@test("chaos: a full disk refuses records with KAFKA_STORAGE_ERROR, serves what it has, and goes on when there is room", own_node=True,
      ours_only="Kafka takes a full directory offline")
def full_disk(node):
    with on_image(node, 192) as image:
        producer = begin(node)
        topic = producer.topic
        value = os.urandom(500_000)
        accepted, refused = 0, None
        filler = image.place / "filler"
        fill(filler)
        with wire.Connection(node.port, timeout=30) as connection:
            for _ in range(400):
                error = connection.produce(topic, wire.batch([value]))["error"]
                if error != 0:
                    refused = error
                    break
                accepted += 1
            expect_equal(refused, STORAGE_ERROR, f"error of a produce to a full disk, after {accepted} accepted ones")
            expect(node.alive(), "the node ended on a full disk")
            expect_equal(len(connection.read_all(topic)), accepted, "records that are read while the disk is full")
            filler.unlink()

            until(lambda: connection.produce(topic, wire.batch([value]))["error"] == 0,
                  "records are taken again after room was made", seconds=20)
        expect_equal(node.stop(), 0, "exit status")
        node.start()
        with wire.Connection(node.port, timeout=30) as connection:
            records = connection.read_all(topic)
            expect(len(records) > accepted, f"{len(records)} records after a restart, {accepted + 1} were accepted")
            expect(all(record[2] == value for record in records), "a record came back changed")


@test("chaos: a node does not start on a directory it may not write, and says which", own_node=True, ours_only="the message is ours")
def read_only(node):
    with on_image(node, 192) as image:
        begin(node)
        expect_equal(node.stop(), 0, "exit status")
        image.unmount()
        run(["mount", "-o", "loop,ro", image.file, image.place])
        node.spawn()
        status = node.process.wait(20)
        expect(status != 0, "the node started on a read-only directory")
        expect(os.strerror(errno.EROFS) in node.log_tail() and str(image.place) in node.log_tail(),
               f"the log names neither directory nor cause: {node.log_tail()}")

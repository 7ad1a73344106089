"""Requests whose encoding lies (11-21)."""

import contextlib
import random
import struct
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, fresh_topic, test
from hostile import disconnects, topic_of, unharmed
import group_wire
import wire

UV = wire.uvarint
TAIL = b"\0\0\0"  # Metadata: auto_create false, topic_operations false, no tags.


def metadata(raw):
    """Metadata v12 with this body."""
    return wire.with_body("metadata", raw)


def create_v4(raw):
    """CreateTopics v4, the last version with int32 counts and int16 lengths."""
    return wire.frame(wire.header(19, 4, 1, False) + raw)


def topic_entry(name):
    return bytes(16) + UV(len(name) + 1) + name + b"\0"


@test("hostile encoding: an array that claims more elements than there are bytes closes the connection")
def array_bomb(node):
    with unharmed(node):
        for count in (1000, 1000001, 2**31 - 2):
            disconnects(node, metadata(UV(count + 1) + topic_entry(b"x") + TAIL))
        for count in (1000, 2**31 - 1):
            disconnects(node, create_v4(struct.pack(">i", count) + b"\0\1x"))


@test("hostile encoding: a negative or null count of an array that may not be null closes the connection")
def negative_array(node):
    with unharmed(node):
        for count in (-1, -2, -(2**31)):
            disconnects(node, create_v4(struct.pack(">i", count) + struct.pack(">i?", 1000, False)))
        disconnects(node, wire.with_body("create_topics", UV(0) + struct.pack(">i?", 1000, False) + b"\0"))


@test("hostile encoding: null where a string must be closes the connection")
def null_string(node):
    with unharmed(node):
        disconnects(node, create_v4(struct.pack(">ihihii", 1, -1, 1, 1, 0, 0) + struct.pack(">i?", 1000, False)))
        disconnects(node, wire.with_body("delete_topics", UV(2) + UV(0) + struct.pack(">i", 1000) + b"\0"))


@test("hostile encoding: a string that goes past the end closes the connection")
def long_string(node):
    with unharmed(node):
        for length in (100, 32767, 2**31 - 2):
            disconnects(node, metadata(UV(2) + bytes(16) + UV(length + 1) + b"abc\0" + TAIL))
        disconnects(node, create_v4(struct.pack(">ih", 1, 32767) + b"abc"))
        disconnects(node, create_v4(struct.pack(">ih", 1, -2) + b"abc" * 10))


@test("hostile encoding: a varint that is too long or has no end closes the connection")
def varints(node):
    with unharmed(node):
        for varint in (b"\xff" * 5 + b"\1", b"\x80" * 9 + b"\1", b"\x82\x80", b"\xff" * 20):
            disconnects(node, metadata(varint))


@test("hostile encoding: a compact length of 2^32-1 closes the connection",
      ours_only="Kafka reads it as a negative number, and that as null")
def largest_length(node):
    with unharmed(node):
        disconnects(node, metadata(UV(2**32 - 1) + topic_entry(b"x") + TAIL))
        disconnects(node, metadata(UV(2) + bytes(16) + UV(2**32 - 1) + b"abc\0" + TAIL))


@test("hostile encoding: more tags than there are bytes, or a tag past the end, closes the connection")
def tag_bomb(node):
    with unharmed(node):
        for tags in (UV(2**31 - 1), UV(10001), UV(1) + UV(0) + UV(2**31 - 1), UV(1) + UV(0) + UV(50) + b"x"):
            disconnects(node, metadata(UV(1) + b"\0\0" + tags))


@test("hostile encoding: duplicate or unordered tags close the connection", ours_only="Kafka takes them")
def tag_order(node):
    one = lambda tag: UV(tag) + UV(1) + b"x"
    with unharmed(node):
        for tags in ((7, 7), (9, 3)):
            disconnects(node, metadata(UV(1) + b"\0\0" + UV(2) + b"".join(map(one, tags))))


@test("hostile encoding: a huge tag nobody knows is skipped and the request answered")
def unknown_tag(node):
    with unharmed(node):
        with wire.Connection(node.port) as connection:
            connection.send(metadata(UV(1) + b"\0\0" + UV(1) + UV(12345) + UV(1 << 20) + b"x" * (1 << 20)))
            expect_equal(connection.answer("metadata", 1)["topics"], [], "topics")


@test("hostile encoding: a topic name that is no UTF-8 gets error 17 or closes the connection")
def utf8(node):
    with unharmed(node):
        for name in (b"\xff\xfe\xfd", b"\xc0\xaf", b"\xed\xa0\x80", b"ok\x80"):
            with wire.Connection(node.port) as connection:
                connection.send(wire.with_body("create_topics", UV(2) + UV(len(name) + 1) + name + struct.pack(">ih", 1, 1)
                                               + UV(1) + UV(1) + b"\0" + struct.pack(">i?", 1000, False) + b"\0"))
                try:
                    payload = connection.read_frame()
                except wire.Disconnected:
                    continue
                # throttle, one topic: name, id, error. The name may come back mended, so it is skipped by its length.
                at = 4 + 1 + 4 + 1
                length = payload[at] - 1
                error = struct.unpack_from(">h", payload, at + 1 + length + 16)[0]
                expect_equal(error, 17, f"error for {name!r}")


@test("hostile encoding: a million and one small elements are refused without the memory for them",
      ours_only="Kafka has this limit from 4.4 on")
def amplification(node):
    with unharmed(node):
        count = 1_000_001
        with wire.Connection(node.port, timeout=30) as connection:
            with contextlib.suppress(ConnectionError):
                connection.send(metadata(UV(count + 1) + (bytes(16) + b"\2x\0") * count + TAIL))
            expect(connection.closed_within(30), "the connection is still open")


@test("hostile encoding: arrays that would take twenty times the frame in memory get 42, where the answer can say so",
      ours_only="Kafka counts elements alone")
def element_bomb(node):
    count = 900_000
    topics = UV(count + 1) + (UV(1) + UV(1) + b"\0") * count  # Each: no name, no partitions, no tags.
    fetch = struct.pack(">iiiibii", -1, 0, 0, 1 << 20, 0, 0, -1) + topics + UV(1) + UV(1) + b"\0"
    names = UV(count + 1) + (b"\0\0") * count  # CreateTopics v4 and DeleteTopics v4: int32 counts, int16 lengths.
    with unharmed(node, growth_kib_max=32 * 1024):
        with wire.Connection(node.port, timeout=30) as connection:
            connection.send(wire.with_body("fetch", fetch))
            answer = connection.read_frame()  # Correlation id, tags, throttle time, error.
            expect_equal(struct.unpack_from(">h", answer, 9)[0], 42, "Fetch's error")
            expect_equal(connection.ask("metadata", topics=[], auto_create=False, topic_operations=False)["topics"], [],
                         "topics in the next answer on the connection")
            many = UV(1_000_002) + (bytes(16) + b"\2x\0") * 1_000_001
            connection.send(wire.frame(wire.header(3, 13, 1, True) + many + TAIL))
            expect_equal(struct.unpack_from(">h", connection.read_frame()[-3:])[0], 42, "Metadata v13's error")
        # No error of its own in the answer, and no element to put one on.
        disconnects(node, wire.frame(wire.header(20, 3, 1, False) + struct.pack(">i", count) + names[-2 * count:]
                                     + struct.pack(">i", 1000)), seconds=30)


MUTATIONS = 3000


def group_requests(topic):
    """Of each group API the oldest and the newest version."""
    one = {"group": "g", "member": "m", "generation": 1, "instance": "i", "reason": "r"}
    offset = {"name": topic, "id": bytes(16), "partitions": [{"index": 0, "offset": 1, "metadata": "x"}]}
    fetched = {"name": topic, "id": bytes(16), "partitions": [0]}
    values = {"offset_commit": {**one, "generation": -1, "member": "", "topics": [offset]},
              "offset_fetch": {**one, "topics": [fetched], "groups": [{"group": "g", "member": None, "epoch": -1, "topics": [fetched]}]},
              "find_coordinator": {"key": "g", "keys": ["g", "h"]}, "join_group": one, "heartbeat": one, "leave_group": one,
              "sync_group": {**one, "type": "consumer", "protocol": "range", "assignments": [{"member": "m", "assignment": b"a"}]},
              "describe_groups": {"groups": ["g", "h"]}, "list_groups": {"states": ["Stable"], "types": ["classic"]},
              "delete_groups": {"groups": ["g"]}, "offset_delete": {"group": "g", "topics": [{"name": topic, "partitions": [{"index": 0}]}]}}
    return [wire.encode(f"{api}_v{version}", **group_wire.whole(api, version, asked))
            for api, asked in values.items() for version in {group_wire.VERSIONS[api][0], group_wire.VERSIONS[api][-1]}]


@test(f"hostile encoding: {MUTATIONS} valid requests with bytes changed, cut or repeated (seed 1) harm nobody")
def mutations(node):
    dice = random.Random(1)
    topic = topic_of(node)
    valid = [
        wire.encode("produce", **wire.produce_values(topic, wire.batch([b"value"] * 3), acks=1)),
        wire.encode("fetch", **wire.fetch_values([(topic, 0, 0)], wait_ms=0)),
        wire.encode("metadata", topics=[{"topic_id": bytes(16), "name": topic}], auto_create=False, topic_operations=True),
        wire.encode("list_offsets", replica_id=-1, isolation=0, timeout_ms=100,
                    topics=[{"name": topic, "partitions": [{"index": 0, "leader_epoch": -1, "timestamp": -1}]}]),
        wire.encode("create_topics", timeout_ms=100, validate_only=True,
                    topics=[{"name": fresh_topic(), "partitions": 1, "replication_factor": 1, "assignments": [],
                             "configs": [{"name": "retention.ms", "value": "1"}]}]),
        wire.encode("describe_configs", resources=[{"type": 2, "name": topic, "keys": None}], synonyms=True, documentation=True),
        wire.encode("init_producer_id", transactional_id=None, timeout_ms=1000, producer_id=-1, producer_epoch=-1),
        wire.encode("offset_for_leader_epoch", replica_id=-1,
                    topics=[{"name": topic, "partitions": [{"index": 0, "current_epoch": -1, "epoch": 0}]}]),
        wire.encode("describe_topic_partitions", topics=[{"name": topic}], limit=10, cursor=-1),
        *group_requests(topic),
    ]
    with unharmed(node) as neighbour:
        group_wire.coordinator(neighbour, "g")
        for _ in range(MUTATIONS):
            payload = bytearray(dice.choice(valid)[4:])
            kind = dice.randrange(4)
            at = dice.randrange(8, len(payload))  # Key, version and correlation id stay.
            if kind == 0:
                payload[at] ^= 1 << dice.randrange(8)
            elif kind == 1:
                payload[at:at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"])
            elif kind == 2:
                del payload[at:]
            else:
                payload[at:at] = payload[at:at + dice.randrange(1, 40)]
            with wire.Connection(node.port) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.send(wire.frame(bytes(payload)))
                    # Half closed: the node answers or hangs up, it has nothing to wait for.
                    connection.socket.shutdown(1)
                    while connection.socket.recv(65536):
                        pass
        expect(node.alive(), "the node died")

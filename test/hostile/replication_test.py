"""A consumer that plays replica: the private key that turns a connection into a replication stream (46)."""

import re
import struct
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect_equal, test
from hostile import disconnects, unharmed
import wire

HELLO_KEY = 31001
WELCOME, WRONG_CLUSTER, WRONG_BROKER, UNKNOWN_BROKER = 0, 1, 2, 3


def text(value):
    return struct.pack(">H", len(value)) + value


def hello(cluster=b"no such cluster", broker=7, epoch=1, leader=1, shard=0, version=0):
    body = struct.pack(">hhi", HELLO_KEY, version, 0) + text(b"spoof") + text(cluster)
    body += struct.pack(">iqIiIHQ", broker, epoch, 0, leader, shard, 1, 0)
    return struct.pack(">i", len(body)) + body


def verdict(node, frame):
    """What the answer says; the connection must be closed behind it."""
    with wire.Connection(node.port) as connection:
        connection.send(frame)
        answer = connection.read_frame()
        expect_equal(connection.closed_within(5), True, "closed after the answer")
        return answer[4]


@test("hostile replica: who is of another cluster, or no broker of this one, is told so and put out",
      ours_only="the private key is ours")
def spoofed(node):
    with unharmed(node):
        expect_equal(verdict(node, hello()), WRONG_CLUSTER, "verdict")
        expect_equal(verdict(node, hello(cluster=b"x" * 1000)), WRONG_CLUSTER, "verdict")
        meta = (node.log_dir / "meta.properties").read_text()
        cluster = re.search(r"^cluster\.id=(\S+)$", meta, re.M).group(1).encode()
        expect_equal(verdict(node, hello(cluster)), UNKNOWN_BROKER, "verdict for a broker that is not registered")
        expect_equal(verdict(node, hello(cluster, broker=1)), WRONG_BROKER, "verdict for the node itself")
        expect_equal(verdict(node, hello(cluster, leader=5)), WRONG_BROKER, "verdict for another's listener")


@test("hostile replica: a hello that does not decode, or has more behind it, closes the connection",
      ours_only="the private key is ours")
def broken(node):
    whole = hello()
    with unharmed(node):
        for size in range(6, len(whole) - 4, 7):
            disconnects(node, struct.pack(">i", size) + whole[4:4 + size])
        disconnects(node, hello(version=1))
        disconnects(node, struct.pack(">i", 5000) + whole[4:] + b"x" * (5000 - len(whole) + 4))
        # Nothing may be said before the answer.
        disconnects(node, whole + struct.pack(">IB3xI", 4, 19, 0) + b"\0\0\xff\xff")

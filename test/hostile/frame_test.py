"""Frames and headers that are not what they say (1-10)."""

import contextlib
import struct
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import expect, expect_equal, test
from hostile import disconnects, topic_of, unharmed
import wire

INT32_MAX = 2**31 - 1


@test("hostile frame: a size above the limit closes the connection before anything is held")
def oversized(node):
    with unharmed(node):
        for size in (INT32_MAX, 200 << 20):
            disconnects(node, struct.pack(">i", size) + b"\0\x12\0\0" + b"x" * 10000)


@test("hostile frame: a negative or zero size closes the connection")
def no_size(node):
    with unharmed(node):
        for size in (-1, -(2**31), 0):
            disconnects(node, struct.pack(">i", size))


@test("hostile frame: 200 connections that promise 50 MB each and send nothing cost next to nothing",
      ours_only="Kafka takes the memory from its pool when the size has come")
def promised(node):
    connections = []
    with unharmed(node, growth_kib_max=200 * 16 + 4096):
        for _ in range(200):
            connections.append(wire.Connection(node.port))
            connections[-1].send(struct.pack(">i", 50 << 20))
    for connection in connections:
        connection.close()


@test("hostile frame: frames larger than all memory for requests make nobody else wait")
def larger_than_all(node):
    topic = topic_of(node)
    with unharmed(node) as neighbour, contextlib.ExitStack() as stack:
        # Kept for readers of the log's end: memory that came in as a request and does not go by itself.
        expect_equal(neighbour.produce(topic, wire.batch([b"v" * 900000]))["error"], 0, "error of Produce")
        for _ in range(5):
            greedy = stack.enter_context(wire.Connection(node.port))
            greedy.send(struct.pack(">i", 100 << 20) + b"\0" * 20000)
        expect(neighbour.metadata([])["brokers"], "the neighbour is served")
        for _ in range(5):
            with wire.Connection(node.port) as other:
                expect_equal(other.produce(topic, wire.batch([b"v" * 900000]))["error"], 0, "error of another's Produce")


@test("hostile frame: a header that ends early closes the connection")
def truncated_header(node):
    with unharmed(node):
        for header in (b"\0", b"\0\x12\0", b"\0\x12\0\0\0\0\0", b"\0\x12\0\0\0\0\0\1\0", b"\0\x12\0\0\0\0\0\1\0\x0ftest",
                       b"\0\x03\0\x0c\0\0\0\1\xff\xfe"):
            disconnects(node, wire.frame(header))


@test("hostile frame: an unknown API key closes the connection, those removed by Kafka 4 too")
def unknown_key(node):
    with unharmed(node):
        for key in (4, 5, 6, 7, 95, 999, 32767, -1, -32768):
            disconnects(node, wire.frame(wire.header(key, 0, 1, False) + b"\0" * 20))


@test("hostile frame: a version we do not serve closes the connection")
def unknown_version(node):
    with unharmed(node):
        for key, version in ((0, 2), (0, 99), (1, 3), (1, 99), (2, 0), (3, 99), (3, -1), (19, 1), (19, 8), (22, 99), (75, 1)):
            disconnects(node, wire.frame(wire.header(key, version, 1, True) + b"\0" * 20))


@test("hostile frame: ApiVersions of an unknown version is answered with version 0 and error 35, whatever its body")
def newer_api_versions(node):
    with unharmed(node):
        for garbage in (b"", b"\xff" * 100, b"\0" * 5000):
            with wire.Connection(node.port) as connection:
                connection.send(wire.frame(wire.header(18, 99, 42, True) + garbage))
                expect_equal(connection.answer("api_versions_v0", 42)["error"], 35, "error")


@test("hostile frame: bytes behind the end of a request close the connection", ours_only="Kafka ignores them")
def trailing(node):
    with unharmed(node):
        disconnects(node, wire.with_body("metadata", wire.body("metadata", topics=[], auto_create=False, topic_operations=False)
                                         + b"trailing"))


@test("hostile frame: an API between brokers and controllers closes a client's connection")
def inter_broker(node):
    with unharmed(node):
        for key in (52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82):
            disconnects(node, wire.frame(wire.header(key, 0, 1, True) + b"\0" * 40))


@test("hostile frame: requests that come byte by byte, or twenty at once, are answered in order")
def fragments(node):
    with wire.Connection(node.port) as connection:
        ask = [wire.encode("metadata", number, topics=[], auto_create=False, topic_operations=False) for number in range(20)]
        for byte in ask[0]:
            connection.send(bytes([byte]))
        connection.answer("metadata", 0)
        connection.send(b"".join(ask))
        for number in range(20):
            connection.answer("metadata", number)


@test("hostile frame: TLS and HTTP on a plain listener close the connection")
def other_protocols(node):
    hello = bytes.fromhex("16030100c8010000c40303") + b"r" * 200
    with unharmed(node):
        for greeting in (hello, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"):
            disconnects(node, greeting)

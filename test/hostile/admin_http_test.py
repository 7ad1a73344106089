"""Bytes that are no HTTP, or too much of it, at the admin endpoint: it answers or closes, and the node goes on."""

import contextlib
import random
import socket
import time

from harness import expect, expect_in, test, until

OURS = "the admin endpoint is ours"
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


def exchange(node, data, seconds=15):
    """What comes back until the connection ends."""
    got = b""
    with socket.create_connection(("127.0.0.1", node.admin_port), timeout=seconds) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        with contextlib.suppress(ConnectionError):
            while piece := link.recv(1 << 16):
                got += piece
                if len(got) > 1 << 22:
                    break
    return got


def serves(node):
    expect_in(b"200 OK", exchange(node, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")), "a good request after it")


@test("hostile: bytes that are no HTTP get a status and an end", ours_only=OURS)
def no_http(node):
    dice = random.Random(7)
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"\x00\x00\x00\x10\x00\x12\x00\x03\n\n\n\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                 b"POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * 100000,
                 b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                 *(dice.randbytes(3000) + b"\n\n\n" for _ in range(20))):
        answer = exchange(node, data)
        expect(answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 505") or answer == b"",
               f"{data[:60]!r}: {answer[:200]!r}")
    serves(node)


@test("hostile: a thousand requests in one breath are answered one by one", ours_only=OURS)
def pipelined(node):
    answer = exchange(node, GET * 999 + b"GET /livez HTTP/1.0\r\n\r\n")
    expect(answer.count(b"HTTP/1.1 200 OK") == 1000, f"{answer.count(b'HTTP/1.1 200 OK')} answers")


@test("hostile: a request without an end, and who reads no answers, are cut off in time", ours_only=OURS)
def slow(node):
    began = time.monotonic()
    dripping = socket.create_connection(("127.0.0.1", node.admin_port), timeout=1)
    deaf = socket.create_connection(("127.0.0.1", node.admin_port), timeout=1)
    deaf.setblocking(False)
    ended = False
    while not ended:
        expect(time.monotonic() - began < 30, "it is still open after 30 s")
        try:
            dripping.sendall(b"G" if time.monotonic() - began < 1 else b"x")
        except OSError:
            ended = True
        with contextlib.suppress(OSError):
            deaf.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        time.sleep(0.2)
    dripping.close()
    deaf.close()
    serves(node)


@test("hostile: connections that come and go without a word leave nothing behind", ours_only=OURS)
def come_and_go(node):
    before = descriptors(node)
    for _ in range(300):
        socket.create_connection(("127.0.0.1", node.admin_port), timeout=5).close()
    until(lambda: descriptors(node) <= before + 5, "their descriptors are closed")
    serves(node)


def descriptors(node):
    import os
    return len(os.listdir(f"/proc/{node.pid}/fd"))

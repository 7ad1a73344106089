"""What the machine can do at most, measured by itself: the disk's writes and reads, a synced write, a connection on loopback."""

import mmap
import os
import socket
import subprocess
import threading
import time

PIECE = 512 * 1024
PIECES = 512
SYNCED_BYTES = 4096
SYNCED_WRITES = 2000
READERS = 6  # As many as there are partitions to read.
LOOPBACK_PIECE = 256 * 1024
SECONDS_MAX = 2.0
# Name: what it is, its unit.
LIMITS = {
    "write": ("synced direct writes of 512 KiB, one at a time", "MB/s"),
    "read": (f"direct reads of 512 KiB, {READERS} at a time", "MB/s"),
    "sync_p50": ("a synced direct write of 4 KiB, p50", "ms"),
    "sync_p99": ("a synced direct write of 4 KiB, p99", "ms"),
    "loopback": ("one connection on loopback, from core to core", "MB/s"),
}


def disk_writes(path):
    """Over blocks already written: what a log on this disk could reach at most. The file stays, for the others."""
    words = ["dd", "if=/dev/zero", f"of={path}", f"bs={PIECE}", f"count={PIECES}", "oflag=direct,dsync", "conv=notrunc"]
    begin = 0.0
    for _ in range(2):
        begin = time.monotonic()
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return {"write": PIECE * PIECES / (time.monotonic() - begin) / 1e6}


def disk_reads(path):
    """Of a file that is there."""
    pieces = path.stat().st_size // PIECE
    each = pieces // READERS

    def read(reader):
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with mmap.mmap(-1, PIECE) as aligned:
            for number in range(reader * each, (reader + 1) * each):
                os.preadv(file, [aligned], number * PIECE)
        os.close(file)

    begin = time.monotonic()
    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"read": each * READERS * PIECE / (time.monotonic() - begin) / 1e6}


def synced_writes(path):
    """Into a file that is there, one behind the other: what an acknowledgement from the disk waits for at least."""
    file = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    took = []
    end = time.monotonic() + SECONDS_MAX
    with mmap.mmap(-1, SYNCED_BYTES) as aligned:
        while len(took) < SYNCED_WRITES and time.monotonic() < end:
            begin = time.monotonic_ns()
            os.pwritev(file, [aligned], len(took) * SYNCED_BYTES)
            took.append((time.monotonic_ns() - begin) / 1e6)
    os.close(file)
    took.sort()
    return {"sync_p50": took[len(took) // 2], "sync_p99": took[int((len(took) - 1) * 0.99)]}


def loopback(seconds=1.0):
    """The sender where the broker is, on core 0, the receiver where its client is."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pin(core):
        os.sched_setaffinity(0, {core % os.cpu_count()})  # 0 is the calling thread.

    def send():
        pin(0)
        piece = bytes(LOOPBACK_PIECE)
        with socket.create_connection(listener.getsockname()) as sender:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                sender.sendall(piece)

    received = {}

    def receive():
        pin(1)
        buffer, total = bytearray(1 << 20), 0
        connection, _ = listener.accept()
        begin = time.monotonic()
        while got := connection.recv_into(buffer):
            total += got
        received["loopback"] = total / (time.monotonic() - begin) / 1e6
        connection.close()

    threads = [threading.Thread(target=send), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listener.close()
    return received

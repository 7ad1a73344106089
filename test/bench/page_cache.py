"""The page cache before a measurement: memory filled with clean pages, and files put out of it."""

import glob
import os

FREE_MB_LEFT = 500


def free_mb():
    for line in open("/proc/meminfo", encoding="ascii"):
        if line.startswith("MemFree:"):
            return int(line.split()[1]) // 1024
    return 0


class Filler:
    """Takes the free memory by reading holes of a sparse file: clean pages, taken back without a write."""

    def __init__(self, path):
        self.hole = open(path, "w+b", buffering=0)
        self.hole.truncate(1 << 40)
        self.buffer = bytearray(1 << 20)

    def fill(self):
        # At most what is free now: a kernel that reclaims idle pages by itself would keep us here.
        for _ in range(max(0, free_mb() - FREE_MB_LEFT) // 64):
            for _ in range(64):
                self.hole.readinto(self.buffer)

    def close(self):
        self.hole.close()


def evict(pattern):
    """The files that it names, so that the next reader waits for the disk."""
    os.sync()  # What is dirty stays.
    # Not rglob(), which fails where a folder goes meanwhile, as those of deleted topics do.
    for path in glob.iglob(pattern, recursive=True):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

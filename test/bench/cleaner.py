"""What the cleaners of both brokers say of themselves in their logs, and what they have to compact: closed segments."""

import dataclasses
import datetime
import re

OURS = re.compile(r"^(\S+)Z INFO .*\[log \S+/(\S+)-(\d+)\] compacted \[\d+, (\d+)\) in (\d+) ms")
KAFKAS_BEGIN = re.compile(r"^\[(.+?)\] INFO .*Beginning cleaning of log (\S+)-(\d+) ")
KAFKAS_STAMP = re.compile(r"^\[(.+?)\] INFO \[kafka-log-cleaner-thread-\d+\]")
KAFKAS_END = re.compile(r"^\s+Log cleaner thread \d+ cleaned log (\S+)-(\d+) \(dirty section = \[\d+, (\d+)\]\)")


@dataclasses.dataclass
class Compaction:
    partition: int
    begin: float  # Seconds.
    end: float
    dirty_end: int


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace(",", ".")).timestamp()


def ours(lines, topic):
    found = []
    for line in lines:
        if (match := OURS.match(line)) and match[2] == topic:
            end = seconds(match[1])
            found.append(Compaction(int(match[3]), end - int(match[5]) / 1000, end, int(match[4])))
    return found


def kafkas(lines, topic):
    """A line says when the cleaning of a log begins; its figures follow the line that says when it ended."""
    found, begun, stamp = [], {}, None
    for line in lines:
        if match := KAFKAS_BEGIN.match(line):
            if match[2] == topic:
                begun[int(match[3])] = seconds(match[1])
        elif match := KAFKAS_STAMP.match(line):
            stamp = seconds(match[1])
        elif (match := KAFKAS_END.match(line)) and match[1] == topic:
            found.append(Compaction(int(match[2]), begun[int(match[2])], stamp, int(match[3])))
    return found


def segments(folder, topic):
    """{partition: {base offset: bytes}}"""
    while True:
        found = {}
        try:
            for path in folder.glob(f"**/{topic}-*/*.log"):
                found.setdefault(int(path.parent.name.rsplit("-", 1)[1]), {})[int(path.stem)] = path.stat().st_size
            return found
        except FileNotFoundError:  # Folders of topics that were deleted go while we look.
            continue


def dirty_bytes(before, compactions):
    return sum(size for one in compactions for base, size in before[one.partition].items() if base < one.dirty_end)

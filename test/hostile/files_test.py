"""What a node finds on its disk that it did not leave there: links, foreign owners, damaged state. Real files, one node.

What bytes inside segments, indexes, snapshots and journals may be is storage/hostile_files_test.cc's.
"""

import os
import pathlib
import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from harness import Skip, expect, expect_equal, expect_in, fresh_topic, test
import wire

VALUES = [b"first", b"second", b"third"]


def filled(node):
    """A node that was stopped cleanly, and the topic it has."""
    topic = fresh_topic("files")
    node.start()
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(topic, 1), 0, "error of CreateTopics")
        for value in VALUES:
            expect_equal(connection.produce(topic, wire.batch([value]))["error"], 0, "error of Produce")
    expect_equal(node.stop(), 0, "exit status")
    return topic


def served(node, topic, wanted):
    with wire.Connection(node.port) as connection:
        expect_equal([value for _, _, value in connection.read_all(topic)], wanted, "records")
        expect_equal(connection.produce(topic, wire.batch([b"more"]))["error"], 0, "error of a produce afterwards")


def refused(node, *words):
    """The node does not start, and says why."""
    node.spawn()
    status = node.process.wait(20)
    expect(status not in (0, None) and status > 0, f"exit status {status}: a refusal is neither a success nor a crash")
    for word in words:
        expect_in(word, node.log_tail(), "the log")


@test("files: a log directory that is a symbolic link is followed", own_node=True, ours_only="the oracle has its own folder")
def linked_directory(node):
    place = node.folder / "elsewhere"
    place.mkdir()
    node.log_dir.symlink_to(place)
    topic = filled(node)
    expect((place / "meta.properties").exists(), "nothing was written where the link leads")
    node.start()
    served(node, topic, VALUES)


@test("files: a partition that was moved away and linked to is served from there", own_node=True, ours_only="the oracle has its own folder")
def linked_partition(node):
    topic = filled(node)
    folder, place = node.log_dir / f"{topic}-0", node.folder / "elsewhere"
    shutil.move(folder, place)
    folder.symlink_to(place)
    node.start()
    served(node, topic, VALUES)
    node.kill()
    node.start()
    served(node, topic, [*VALUES, b"more"])


@test("files: a link that leads nowhere in place of a segment loses that log alone, and its name is told", own_node=True,
      ours_only="Kafka takes the whole directory offline")
def dangling_segment(node):
    topic = filled(node)
    other = filled(node)
    segment = node.log_dir / f"{topic}-0" / f"{0:020}.log"
    segment.unlink()
    segment.symlink_to(node.folder / "nowhere")
    node.start()
    served(node, other, VALUES)
    expect_in(f"{topic}-0", node.log_tail(), "the log")
    expect(not (node.folder / "nowhere").exists(), "the link was written through")


@test("files: a metadata store with a damaged manifest stops the start, and the folder is named", own_node=True, ours_only="RocksDB is ours")
def damaged_manifest(node):
    filled(node)
    store = node.log_dir / "millrace-state"
    for manifest in store.glob("MANIFEST-*"):
        data = bytearray(manifest.read_bytes())
        for place in range(min(len(data), 64)):
            data[place] ^= 0x5A
        manifest.write_bytes(data)
    refused(node, "millrace-state")


@test("files: a metadata store without its CURRENT file stops the start; it is never taken for a new node", own_node=True,
      ours_only="RocksDB is ours")
def lost_current(node):
    topic = filled(node)
    (node.log_dir / "millrace-state/CURRENT").unlink()
    before = sorted(str(path) for path in node.log_dir.rglob("*.log"))
    refused(node, "metadata.log.dir")
    expect_equal(sorted(str(path) for path in node.log_dir.rglob("*.log") if f"{topic}-0" in str(path)),
                 [path for path in before if f"{topic}-0" in path], "segments after the refusal")


@test("files: a directory of another cluster, and one of another node, are refused by name", own_node=True, ours_only="the message is ours")
def foreign_directory(node):
    filled(node)
    meta = node.log_dir / "meta.properties"
    ours = meta.read_text()
    meta.write_text(ours.replace("node.id=1", "node.id=7"))
    refused(node, str(node.log_dir), "7")
    meta.write_text("")
    refused(node, str(meta))
    meta.write_text(ours)
    node.start()


@test("files: a directory without the right to enter it is refused by name", own_node=True, ours_only="run as another user")
def forbidden_directory(node):
    if os.geteuid() != 0:
        raise Skip("running a node as another user needs root")
    filled(node)
    nobody = 65534
    for path in [node.folder, *node.folder.rglob("*")]:
        os.chown(path, nobody, nobody, follow_symlinks=False)
    meta = pathlib.Path(node.log_dir)
    os.chown(meta, 0, 0)
    os.chmod(meta, 0o700)
    node.run_as = nobody
    refused(node, str(node.log_dir))

"""The group APIs for wire.Connection, at every version, and what a story about groups looks like.

    with Story(node) as story:
        story.ask("heartbeat", 4, group="g", member="nobody")

makes two lines of text, the request as it was written and the whole answer. The text of a story told by Apache Kafka is kept in
stories/; ours must be the same, field by field (`told`). What differs from run to run gets a name: member ids are <member 1>,
<member 2>, ... in the order in which they come up, topics <T1>, the node <node>.
"""

import os
import pathlib
import re
import uuid

from harness import Failure, expect, expect_equal, fresh_topic, until
import wire

STORIES = pathlib.Path(__file__).resolve().parent / "stories"

# (name, key, oldest, newest, first flexible version, request, response). `3+@name:s` is there from version 3 on, `0-2@` up to 2.
_APIS = [
    ("offset_commit", 8, 2, 10, 8,
     "group:s generation:i member:s 7+@instance:?s 2-4@retention_ms:l topics:[2-9@name:s 10+@id:u partitions:[index:i offset:l"
     " 6+@epoch:i metadata:?s]]",
     "3+@throttle_ms:i topics:[2-9@name:s 10+@id:u partitions:[index:i error:h]]"),
    ("offset_fetch", 9, 1, 10, 6,
     "0-7@group:s 0-7@topics:?[name:s partitions:[i]] 8+@groups:[group:s 9+@member:?s 9+@epoch:i topics:?[8-9@name:s 10+@id:u"
     " partitions:[i]]] 7+@stable:t",
     "3+@throttle_ms:i 0-7@topics:[name:s partitions:[index:i offset:l 5+@epoch:i metadata:?s error:h]] 2-7@error:h"
     " 8+@groups:[group:s topics:[8-9@name:s 10+@id:u partitions:[index:i offset:l epoch:i metadata:?s error:h]] error:h]"),
    ("find_coordinator", 10, 0, 6, 3,
     "0-3@key:s 1+@type:B 4+@keys:[s]",
     "1+@throttle_ms:i 0-3@error:h 1-3@message:?s 0-3@node:i 0-3@host:s 0-3@port:i 4+@coordinators:[key:s node:i host:s port:i"
     " error:h message:?s]"),
    ("join_group", 11, 0, 9, 6,
     "group:s session_ms:i 1+@rebalance_ms:i member:s 5+@instance:?s type:s protocols:[name:s metadata:r] 8+@reason:?s",
     "2+@throttle_ms:i error:h generation:i 7+@type:?s protocol:?s leader:s 9+@skip:t member:s members:[member:s 5+@instance:?s"
     " metadata:r]"),
    ("heartbeat", 12, 0, 4, 4,
     "group:s generation:i member:s 3+@instance:?s",
     "1+@throttle_ms:i error:h"),
    ("leave_group", 13, 0, 5, 4,
     "group:s 0-2@member:s 3+@members:[member:s instance:?s 5+@reason:?s]",
     "1+@throttle_ms:i error:h 3+@members:[member:s instance:?s error:h]"),
    ("sync_group", 14, 0, 5, 4,
     "group:s generation:i member:s 3+@instance:?s 5+@type:?s 5+@protocol:?s assignments:[member:s assignment:r]",
     "1+@throttle_ms:i error:h 5+@type:?s 5+@protocol:?s assignment:r"),
    ("describe_groups", 15, 0, 6, 5,
     "groups:[s] 3+@operations:t",
     "1+@throttle_ms:i groups:[error:h 6+@message:?s group:s state:s type:s protocol:s members:[member:s 4+@instance:?s client:s"
     " host:s metadata:r assignment:r] 3+@operations:i]"),
    ("list_groups", 16, 0, 5, 3,
     "4+@states:[s] 5+@types:[s]",
     "1+@throttle_ms:i error:h groups:[group:s type:s 4+@state:s 5+@kind:s]"),
    ("delete_groups", 42, 0, 3, 2,
     "groups:[s]",
     "throttle_ms:i results:[group:s error:h 3+@message:?s]"),
    ("offset_delete", 47, 0, 0, 1,
     "group:s topics:[name:s partitions:[index:i]]",
     "error:h throttle_ms:i topics:[name:s partitions:[index:i error:h]]"),
    ("consumer_beat", 68, 0, 1, 0,
     "group:s member:s epoch:i instance:?s rack:?s rebalance_ms:i names:?[s] 1+@regex:?s assignor:?s owned:?[id:u partitions:[i]]",
     "throttle_ms:i error:h message:?s member:?s epoch:i interval_ms:i assignment:?{topics:[id:u partitions:[i]]}"),
    ("consumer_describe", 69, 0, 1, 0,
     "groups:[s] operations:t",
     "throttle_ms:i groups:[error:h message:?s group:s state:s epoch:i assigned_for:i assignor:s members:[member:s instance:?s rack:?s"
     " epoch:i client:s host:s names:[s] regex:?s assignment:{topics:[id:u name:s partitions:[i]]} target:{topics:[id:u name:s"
     " partitions:[i]]} 1+@kind:B] operations:i]"),
]
# Not DeleteGroups v3: the oracle's release (4.3) does not serve it, and these are asked of both.
VERSIONS = {name: range(oldest, newest + 1 - (name == "delete_groups")) for name, _, oldest, newest, *_ in _APIS}

# What a request says where a test says nothing.
DEFAULTS = {"generation": -1, "member": "", "instance": None, "retention_ms": -1, "session_ms": 30000, "rebalance_ms": 30000,
            "reason": None, "operations": False, "states": [], "types": [], "stable": False, "assignments": []}
TYPE, PROTOCOL = "consumer", "range"


def _at(text, version):
    """The schema as it is at `version`."""
    out, at = [], 0
    for found in re.finditer(r"(\d+)(?:-(\d+)|\+)@(\w+:\??)", text):
        if found.start() < at:
            continue
        out.append(text[at:found.start()])
        low, high = int(found.group(1)), int(found.group(2) or 99)
        at = found.end()
        if low <= version <= high:
            out.append(found.group(3))
            continue
        depth = 0
        while at < len(text) and (depth > 0 or text[at] not in " ]"):
            depth += {"[": 1, "]": -1}.get(text[at], 0)
            at += 1
    return "".join(out) + text[at:]


for _name, _key, _oldest, _newest, _flexible, _request, _response in _APIS:
    for _version in range(_oldest, _newest + 1):
        wire.add(f"{_name}_v{_version}", _key, _version, _version >= _flexible, _at(_request, _version), _at(_response, _version))


def whole(api, version, values):
    """A request's values with what was not said."""
    values = {**DEFAULTS, **values}
    if api == "join_group":
        values = {"type": TYPE, "protocols": [{"name": PROTOCOL, "metadata": b""}], **values}
    elif api == "sync_group":
        values = {"type": None, "protocol": None, **values}
    elif api == "consumer_beat":
        values = {"rack": None, "names": None, "regex": None, "assignor": None, "owned": None, **values,
                  "rebalance_ms": values["rebalance_ms"] if values.get("epoch") == 0 else -1}
    elif api == "find_coordinator":
        values.setdefault("type", 0)
    elif api == "leave_group":
        values.setdefault("members", [{"member": values["member"], "instance": values["instance"], "reason": None}])
    elif api == "offset_commit":
        values["topics"] = [{"name": "", "id": bytes(16), **topic,
                             "partitions": [{"epoch": -1, "metadata": "", **one} for one in topic["partitions"]]}
                            for topic in values["topics"]]
    return values


def ask(connection, api, version, **values):
    return connection.ask(f"{api}_v{version}", **whole(api, version, values))


def send(connection, api, version, **values):
    """For an answer that is to be read later, with answer()."""
    connection.correlation += 1
    connection.send(wire.encode(f"{api}_v{version}", connection.correlation, **whole(api, version, values)))


def answer(connection, api, version):
    return connection.answer(f"{api}_v{version}", connection.correlation)


def coordinator(connection, group):
    """Waits until the group has a coordinator that has loaded it: (host, port)."""
    def found():
        one = ask(connection, "find_coordinator", 4, keys=[group])["coordinators"][0]
        return one if one["error"] == 0 else None
    one = until(found, f"{group} has a coordinator", 30)
    with wire.Connection(one["port"], host=one["host"]) as link:
        until(lambda: ask(link, "describe_groups", 5, groups=[group])["groups"][0]["error"] == 0, f"{group} is loaded", 30)
    return one["host"], one["port"]


def committed(connection, group, topic, partitions=1):
    """The committed offsets by partition; -1 where there is none."""
    seen = ask(connection, "offset_fetch", 7, group=group, topics=[{"name": topic, "partitions": list(range(partitions))}])
    expect_equal(seen["error"], 0, "error of OffsetFetch")
    return [one["offset"] for one in sorted(seen["topics"][0]["partitions"], key=lambda one: one["index"])]


def commit(connection, group, topic, offsets, **values):
    """Commits {partition: offset}; the error codes by partition."""
    parts = [{"index": partition, "offset": offset} for partition, offset in offsets.items()]
    answered = ask(connection, "offset_commit", 9, group=group, topics=[{"name": topic, "partitions": parts}], **values)
    return [one["error"] for one in answered["topics"][0]["partitions"]]


class Story:
    def __init__(self, node):
        self.connection = wire.Connection(node.port, timeout=30)
        self.node = node
        self.lines = []
        self.members = []
        self.topics = []
        one = self.connection.metadata([])["brokers"][0]
        self.node_id = one["node_id"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def topic(self, partitions=1):
        """(name, id) of a new topic."""
        name = fresh_topic("story")
        expect_equal(self.connection.create_topic(name, partitions), 0, "error of CreateTopics")
        made = name, self.connection.metadata([name])["topics"][0]["topic_id"]
        self.topics.append(made)
        return made

    def say(self, text):
        self.lines += ["", f"# {text}"]

    def ask(self, api, version, on=None, **values):
        connection = on or self.connection
        self.asked(api, version, values)
        answered = ask(connection, api, version, **values)
        self.answered(answered)
        return answered

    def send(self, connection, api, version, **values):
        self.asked(api, version, values)
        send(connection, api, version, **values)

    def answer(self, connection, api, version):
        answered = answer(connection, api, version)
        self.answered(answered)
        return answered

    def asked(self, api, version, values):
        self.lines.append(f"{api} v{version} " + " ".join(f"{key}={self.show(value)}" for key, value in values.items()))

    def answered(self, answered):
        self.lines.append("  " + " ".join(f"{key}={self.show(value, key)}" for key, value in answered.items()))

    def ordered(self, key, values):
        """Answers whose order means nothing, in one that does not change."""
        if not values or not isinstance(values[0], dict):
            return values
        if key == "partitions":
            return sorted(values, key=lambda one: one["index"])
        if key == "topics":
            places = {place: number for number, topic in enumerate(self.topics) for place in topic}
            return sorted(values, key=lambda one: places.get(one.get("name", one.get("id")), len(self.topics)))
        if key == "members" and any(one["member"] in self.members for one in values):
            return sorted(values, key=lambda one: self.members.index(one["member"]) if one["member"] in self.members else -1)
        if key == "results" or key == "groups" and values[0].keys() & {"kind", "state"}:
            return sorted(values, key=lambda one: one["group"])
        return values

    def show(self, value, key=""):
        if isinstance(value, dict):
            return "{" + " ".join(f"{name}={self.show(one, name)}" for name, one in value.items()) + "}"
        if isinstance(value, list):
            if len(value) > 12:
                return f"[{self.show(value[0])} ... {len(value)}]"
            return "[" + " ".join(map(self.show, self.ordered(key, value))) + "]"
        if key == "node":
            return "<node>" if value == self.node_id else str(value)
        if key == "message" and value not in (None, "", "NONE"):
            return "<text>"
        if key == "port":
            return "<port>" if value == self.node.port else str(value)
        if isinstance(value, bytes):
            for number, (_, topic_id) in enumerate(self.topics):
                if value == topic_id:
                    return f"<T{number + 1}>"
            for number, (name, _) in enumerate(self.topics):  # With its length, in a subscription.
                value = value.replace(len(name).to_bytes(2, "big") + name.encode(), b"<T%d>" % (number + 1))
            return "<nil>" if value == bytes(16) else repr(value)
        if not isinstance(value, str):
            return str(value)
        # In consumer groups ids are drawn without a name in front.
        if re.fullmatch(r"[\w-]{22}", value) and (key == "member" or value in self.members):
            return repr(self.known(value))
        if len(value) > 100:
            return repr(f"{value[:20]}...{len(value)}")
        for number, (name, _) in enumerate(self.topics):
            value = re.sub(rf"\b{re.escape(name)}\b", f"<T{number + 1}>", value)
        value = re.sub(r"[^\s'\"]*-?[0-9A-Za-z_-]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", self.member, value)
        return repr(value)

    def member(self, found):
        # What stands before the drawn part is promised (clients look at it), so it is shown.
        text = found.group(0)
        return self.known(text, text[:-36])

    def known(self, member, prefix=""):
        if member not in self.members:
            self.members.append(member)
        return f"<{prefix}member {self.members.index(member) + 1}>"


def told(name, story):
    """The story is the one that is kept under this name; with REWRITE=1 it is kept from now on."""
    path = STORIES / f"{name}.txt"
    text = "\n".join(story.lines).strip() + "\n"
    if os.environ.get("REWRITE") == "1":
        STORIES.mkdir(exist_ok=True)
        path.write_text(text)
        return
    expect(path.exists(), f"{path} is not there: REWRITE=1, --against oracle")
    wanted = path.read_text()
    if text == wanted:
        return
    asked, differences = "", []
    for ours, theirs in zip(text.splitlines(), wanted.splitlines()):
        if ours != theirs:
            differences.append(f"{asked}\n   wanted {theirs}\n   saw    {ours}")
        if not ours.startswith("  "):
            asked = ours
    differences.append(f"{len(text.splitlines())} lines, wanted {len(wanted.splitlines())}")
    raise Failure(f"{path.name}:\n" + "\n".join(differences[:12]))


def topic_of(node, partitions=4, name=None):
    name = name or fresh_topic("groups")
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(name, partitions), 0, "error of CreateTopics")
    return name


def group_of(node):
    name = fresh_topic("group")
    with wire.Connection(node.port) as connection:
        coordinator(connection, name)
    return name


def produce(node, topic, values, partitions=4):
    """Value n to partition n modulo `partitions`."""
    with wire.Connection(node.port) as connection:
        for partition in range(partitions):
            mine = [str(value).encode() for number, value in enumerate(values) if number % partitions == partition]
            if mine:
                expect_equal(connection.produce(topic, wire.batch(mine), partition=partition)["error"], 0, "error of Produce")

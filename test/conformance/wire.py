"""A small Kafka client on a bare socket, for tests that must choose every byte.

Independent of the broker's own codec on purpose: a mistake made in both would have to be made twice.
One version per API, written as a line of text: `name:type` with types B h i l (int8..int64), t bool, s string,
?s nullable string, r records, u uuid, [..] array of structs, [i] array of a type, ?[..] nullable array, {..} a struct, ?{..} one that
may be null.
"""

import ctypes
import re
import socket
import struct
import time

_SCHEMAS = {  # (name, key, version, flexible, request, response)
    "produce": (0, 9, True,
                "transactional_id:?s acks:h timeout_ms:i topics:[name:s partitions:[index:i records:r]]",
                "topics:[name:s partitions:[index:i error:h base_offset:l append_time:l log_start:l"
                " record_errors:[index:i message:?s] message:?s]] throttle_ms:i"),
    "produce_v3": (0, 3, False,
                   "transactional_id:?s acks:h timeout_ms:i topics:[name:s partitions:[index:i records:r]]",
                   "topics:[name:s partitions:[index:i error:h base_offset:l append_time:l]] throttle_ms:i"),
    "fetch": (1, 12, True,
              "replica_id:i max_wait_ms:i min_bytes:i max_bytes:i isolation:B session_id:i session_epoch:i"
              " topics:[name:s partitions:[index:i leader_epoch:i offset:l last_fetched_epoch:i log_start:l max_bytes:i]]"
              " forgotten:[name:s partitions:[i]] rack:s",
              "throttle_ms:i error:h session_id:i topics:[name:s partitions:[index:i error:h high_watermark:l"
              " last_stable:l log_start:l aborted:?[producer_id:l first_offset:l] preferred_replica:i records:r]]"),
    "list_offsets": (2, 10, True,
                     "replica_id:i isolation:B topics:[name:s partitions:[index:i leader_epoch:i timestamp:l]] timeout_ms:i",
                     "throttle_ms:i topics:[name:s partitions:[index:i error:h timestamp:l offset:l leader_epoch:i]]"),
    "metadata": (3, 12, True,
                 "topics:?[topic_id:u name:?s] auto_create:t topic_operations:t",
                 "throttle_ms:i brokers:[node_id:i host:s port:i rack:?s] cluster_id:?s controller_id:i"
                 " topics:[error:h name:?s topic_id:u internal:t partitions:[error:h index:i leader:i leader_epoch:i"
                 " replicas:[i] isr:[i] offline:[i]] operations:i]"),
    "api_versions_v0": (18, 0, False, "", "error:h keys:[key:h min:h max:h]"),
    "api_versions": (18, 3, True, "software:s version:s", "error:h keys:[key:h min:h max:h] throttle_ms:i"),
    "create_topics": (19, 7, True,
                      "topics:[name:s partitions:i replication_factor:h assignments:[index:i brokers:[i]]"
                      " configs:[name:s value:?s]] timeout_ms:i validate_only:t",
                      "throttle_ms:i topics:[name:s topic_id:u error:h message:?s partitions:i replication_factor:h"
                      " configs:?[name:s value:?s read_only:t source:B sensitive:t]]"),
    "delete_topics": (20, 5, True, "names:[s] timeout_ms:i", "throttle_ms:i topics:[name:s error:h message:?s]"),
    "delete_records_v0": (21, 0, False, "topics:[name:s partitions:[index:i offset:l]] timeout_ms:i",
                          "throttle_ms:i topics:[name:s partitions:[index:i low_watermark:l error:h]]"),
    "delete_records": (21, 2, True, "topics:[name:s partitions:[index:i offset:l]] timeout_ms:i",
                       "throttle_ms:i topics:[name:s partitions:[index:i low_watermark:l error:h]]"),
    "init_producer_id": (22, 4, True, "transactional_id:?s timeout_ms:i producer_id:l producer_epoch:h",
                         "throttle_ms:i error:h producer_id:l producer_epoch:h"),
    "offset_for_leader_epoch": (23, 4, True,
                                "replica_id:i topics:[name:s partitions:[index:i current_epoch:i epoch:i]]",
                                "throttle_ms:i topics:[name:s partitions:[error:h index:i epoch:i end_offset:l]]"),
    "describe_configs": (32, 4, True, "resources:[type:B name:s keys:?[s]] synonyms:t documentation:t",
                         "throttle_ms:i results:[error:h message:?s type:B name:s configs:[name:s value:?s read_only:t"
                         " source:B sensitive:t synonyms:[name:s value:?s source:B] config_type:B documentation:?s]]"),
    "alter_replica_log_dirs": (34, 2, True, "dirs:[path:s topics:[name:s partitions:[i]]]",
                               "throttle_ms:i topics:[name:s partitions:[index:i error:h]]"),
    "describe_log_dirs": (35, 5, True, "topics:?[name:s partitions:[i]]",
                          "throttle_ms:i error:h dirs:[error:h path:s topics:[name:s partitions:[index:i size:l lag:l"
                          " future:t]] total:l usable:l cordoned:t]"),
    "create_partitions": (37, 3, True,
                          "topics:[name:s count:i assignments:?[brokers:[i]]] timeout_ms:i validate_only:t",
                          "throttle_ms:i results:[name:s error:h message:?s]"),
    "describe_cluster": (60, 0, True, "operations:t",
                         "throttle_ms:i error:h message:?s cluster_id:s controller_id:i"
                         " brokers:[id:i host:s port:i rack:?s] operations:i"),
    "describe_producers": (61, 0, True, "topics:[name:s partitions:[i]]",
                           "throttle_ms:i topics:[name:s partitions:[index:i error:h message:?s producers:[id:l epoch:i"
                           " last_sequence:i last_timestamp:l coordinator_epoch:i transaction:l]]]"),
    "describe_topic_partitions": (75, 0, True, "topics:[name:s] limit:i cursor:B",
                                  "throttle_ms:i topics:[error:h name:?s topic_id:u internal:t partitions:[error:h"
                                  " index:i leader:i leader_epoch:i replicas:[i] isr:[i] eligible:?[i] last_known:?[i]"
                                  " offline:[i]] operations:i] cursor:B"),
    "alter_configs": (33, 2, True, "resources:[type:B name:s configs:[name:s value:?s]] validate_only:t",
                      "throttle_ms:i responses:[error:h message:?s type:B name:s]"),
    "elect_leaders": (43, 2, True, "type:B topics:?[name:s partitions:[i]] timeout_ms:i",
                      "throttle_ms:i error:h topics:[name:s partitions:[index:i error:h message:?s]]"),
    "incremental_alter_configs": (44, 1, True,
                                  "resources:[type:B name:s configs:[name:s op:B value:?s]] validate_only:t",
                                  "throttle_ms:i responses:[error:h message:?s type:B name:s]"),
    "alter_partition_reassignments": (45, 1, True,
                                      "timeout_ms:i may_change_factor:t topics:[name:s partitions:[index:i replicas:?[i]]]",
                                      "throttle_ms:i may_change_factor:t error:h message:?s topics:[name:s"
                                      " partitions:[index:i error:h message:?s]]"),
    "list_partition_reassignments": (46, 0, True, "timeout_ms:i topics:?[name:s partitions:[i]]",
                                     "throttle_ms:i error:h message:?s topics:[name:s partitions:[index:i replicas:[i]"
                                     " adding:[i] removing:[i]]]"),
    "describe_quorum_v0": (55, 0, True, "topics:[name:s partitions:[index:i]]",
                           "error:h topics:[name:s partitions:[index:i error:h leader:i epoch:i high_watermark:l"
                           " voters:[id:i end:l] observers:[id:i end:l]]]"),
    "describe_quorum_v1": (55, 1, True, "topics:[name:s partitions:[index:i]]",
                           "error:h topics:[name:s partitions:[index:i error:h leader:i epoch:i high_watermark:l"
                           " voters:[id:i end:l fetched:l caught_up:l] observers:[id:i end:l fetched:l caught_up:l]]]"),
    "describe_quorum": (55, 2, True, "topics:[name:s partitions:[index:i]]",
                        "error:h message:?s topics:[name:s partitions:[index:i error:h message:?s leader:i epoch:i"
                        " high_watermark:l voters:[id:i directory:u end:l fetched:l caught_up:l]"
                        " observers:[id:i directory:u end:l fetched:l caught_up:l]]]"
                        " nodes:[id:i listeners:[name:s host:s port:h]]"),
    "update_features_v1": (57, 1, True, "timeout_ms:i updates:[name:s level:h type:B] validate_only:t",
                           "throttle_ms:i error:h message:?s results:[name:s error:h message:?s]"),
    "update_features": (57, 2, True, "timeout_ms:i updates:[name:s level:h type:B] validate_only:t",
                        "throttle_ms:i error:h message:?s"),
    "describe_cluster_v2": (60, 2, True, "operations:t endpoint_type:B fenced:t",
                            "throttle_ms:i error:h message:?s endpoint_type:B cluster_id:s controller_id:i"
                            " brokers:[id:i host:s port:i rack:?s fenced:t] operations:i"),
    "unregister_broker": (64, 0, True, "id:i", "throttle_ms:i error:h message:?s"),
    "allocate_producer_ids": (67, 0, True, "id:i epoch:l", "throttle_ms:i error:h start:l count:i"),
    "assign_replicas_to_dirs": (73, 0, True,
                                "id:i epoch:l directories:[id:u topics:[id:u partitions:[index:i]]]",
                                "throttle_ms:i error:h directories:[id:u topics:[id:u partitions:[index:i error:h]]]"),
    "list_config_resources_v0": (74, 0, True, "", "throttle_ms:i error:h resources:[name:s]"),
    "list_config_resources": (74, 1, True, "types:[B]", "throttle_ms:i error:h resources:[name:s type:B]"),
    "add_raft_voter": (80, 1, True,
                       "cluster_id:?s timeout_ms:i id:i directory:u listeners:[name:s host:s port:h] ack:t",
                       "throttle_ms:i error:h message:?s"),
    "remove_raft_voter": (81, 0, True, "cluster_id:?s id:i directory:u", "throttle_ms:i error:h message:?s"),
    "update_raft_voter": (82, 0, True,
                          "cluster_id:?s epoch:i id:i directory:u listeners:[name:s host:s port:h]"
                          " kraft:B", "throttle_ms:i error:h"),
    "unregister_controller": (94, 0, True, "id:i", "throttle_ms:i error:h message:?s"),
}
_FIXED = {"B": ">b", "h": ">h", "i": ">i", "l": ">q", "t": ">?"}


def _parse(text):
    tokens = re.findall(r"\w+:|\?|\[|\]|\{|\}|\w+", text)

    def fields(position, closing):
        found = []
        while position < len(tokens) and tokens[position] not in "]}":
            if not tokens[position].endswith(":"):  # [i]: an array of a plain type.
                return tokens[position], position + 1
            name = tokens[position][:-1]
            position += 1
            nullable = tokens[position] == "?"
            position += nullable
            if tokens[position] in "[{":
                kind = "array" if tokens[position] == "[" else "maybe" if nullable else "struct"
                inner, position = fields(position + 1, True)
                kind = (kind, inner)
            else:
                kind = tokens[position]
            position += 1
            found.append((name, kind, nullable))
        return found, position

    return fields(0, False)[0]


def uvarint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value):
    return uvarint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


class _Encoder:
    def __init__(self, flexible):
        self.flexible = flexible

    def length(self, count, wide):
        """`count` is None for null."""
        if self.flexible:
            return uvarint(0 if count is None else count + 1)
        return struct.pack(">i" if wide else ">h", -1 if count is None else count)

    def value(self, kind, value):
        if isinstance(kind, tuple) and kind[0] != "array":
            mark = b"" if kind[0] == "struct" else b"\xff" if value is None else b"\1"
            return mark + (b"" if value is None else self.struct(kind[1], value))
        if isinstance(kind, tuple):
            inner = kind[1]
            if value is None:
                return self.length(None, True)
            one = (lambda item: self.value(inner, item)) if isinstance(inner, str) else (lambda item: self.struct(inner, item))
            return self.length(len(value), True) + b"".join(map(one, value))
        if kind in _FIXED:
            return struct.pack(_FIXED[kind], value)
        if kind == "u":
            return value
        data = value.encode() if isinstance(value, str) else value
        return self.length(None if data is None else len(data), kind == "r") + (data or b"")

    def struct(self, fields, values):
        body = b"".join(self.value(kind, values[name]) for name, kind, _ in fields)
        return body + (b"\0" if self.flexible else b"")


class _Decoder:
    def __init__(self, data, flexible):
        self.data = data
        self.at = 0
        self.flexible = flexible

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"the answer ends early: {count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def varint(self):
        value = self.uvarint()
        return (value >> 1) ^ -(value & 1)

    def length(self, wide):
        return self.uvarint() - 1 if self.flexible else self.fixed(">i" if wide else ">h")

    def value(self, kind):
        if isinstance(kind, tuple) and kind[0] != "array":
            return None if kind[0] == "maybe" and self.fixed(">b") < 0 else self.struct(kind[1])
        if isinstance(kind, tuple):
            count = self.length(True)
            inner = kind[1]
            one = (lambda: self.value(inner)) if isinstance(inner, str) else (lambda: self.struct(inner))
            return None if count < 0 else [one() for _ in range(count)]
        if kind in _FIXED:
            return self.fixed(_FIXED[kind])
        if kind == "u":
            return self.take(16)
        count = self.length(kind == "r")
        data = None if count < 0 else self.take(count)
        return data.decode() if kind == "s" and data is not None else data

    def tags(self):
        if self.flexible:
            for _ in range(self.uvarint()):
                self.uvarint()
                self.take(self.uvarint())

    def struct(self, fields):
        values = {name: self.value(kind) for name, kind, _ in fields}
        self.tags()
        return values


_PARSED = {name: (key, version, flexible, _parse(request), _parse(response))
           for name, (key, version, flexible, request, response) in _SCHEMAS.items()}


def add(name, key, version, flexible, request, response):
    """One more API, or another version of one, for ask(), encode() and decode()."""
    _PARSED[name] = (key, version, flexible, _parse(request), _parse(response))


def header(key, version, correlation, flexible, client_id="test"):
    name = client_id.encode()
    return struct.pack(">hhih", key, version, correlation, len(name)) + name + (b"\0" if flexible else b"")


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def encode(name, correlation=1, **values):
    """The frame of request `name`."""
    key, version, flexible, request, _ = _PARSED[name]
    body = _Encoder(flexible).struct(request, values)
    return frame(header(key, version, correlation, flexible) + body)


def body(name, **values):
    """The body alone, for a test that cuts or patches it."""
    _, _, flexible, request, _ = _PARSED[name]
    return _Encoder(flexible).struct(request, values)


def with_body(name, raw, correlation=1):
    key, version, flexible, _, _ = _PARSED[name]
    return frame(header(key, version, correlation, flexible) + raw)


def decode(name, payload):
    """(correlation id, values) of the response to `name`; `payload` is the frame without its size."""
    key, _, flexible, _, response = _PARSED[name]
    decoder = _Decoder(payload, flexible)
    correlation = decoder.fixed(">i")
    if key != 18:  # ApiVersions answers with header v0 at every version.
        decoder.tags()
    values = decoder.struct(response)
    if decoder.at != len(payload):
        raise ValueError(f"{name}: {len(payload) - decoder.at} bytes behind the answer")
    return correlation, values


class Disconnected(Exception):
    """The peer closed the connection where an answer was expected."""


class Connection:
    def __init__(self, port, timeout=10, host="127.0.0.1", receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(min(count - len(data), 1 << 20))
            except ConnectionError:
                part = b""
            if not part:
                raise Disconnected(f"after {len(data)} of {count} bytes")
            data += part
        return bytes(data)

    def read_frame(self):
        return self.read_exactly(struct.unpack(">i", self.read_exactly(4))[0])

    def closed_within(self, seconds):
        """True when the peer closes without a byte; False when it is silent or answers."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def ask(self, name, **values):
        self.correlation += 1
        self.send(encode(name, self.correlation, **values))
        return self.answer(name, self.correlation)

    def answer(self, name, correlation=None):
        seen, values = decode(name, self.read_frame())
        if correlation is not None and seen != correlation:
            raise ValueError(f"answer {seen} to request {correlation}")
        return values

    # What tests ask most ---------------------------------------------------------------------------------

    def create_topic(self, name, partitions=1, replication_factor=1, configs=None):
        """The error code. Returns when the topic can be used."""
        configs = [{"name": key, "value": str(value)} for key, value in (configs or {}).items()]
        topic = {"name": name, "partitions": partitions, "replication_factor": replication_factor, "assignments": [],
                 "configs": configs}
        error = self.ask("create_topics", topics=[topic], timeout_ms=10000, validate_only=False)["topics"][0]["error"]
        deadline = time.monotonic() + 10
        while error == 0 and time.monotonic() < deadline:
            found = self.metadata([name])["topics"][0]
            led = found["error"] == 0 and all(part["leader"] >= 0 and part["error"] == 0 for part in found["partitions"])
            if led and all(self.list_offset(name, -2, part["index"])["error"] == 0 for part in found["partitions"]):
                break
            time.sleep(0.01)
        return error

    def metadata(self, names=None, auto_create=False):
        topics = None if names is None else [{"topic_id": bytes(16), "name": name} for name in names]
        return self.ask("metadata", topics=topics, auto_create=auto_create, topic_operations=False)

    def init_producer(self):
        """A producer id of epoch 0. A node that has just started may have none yet."""
        deadline = time.monotonic() + 10
        while True:
            made = self.ask("init_producer_id", transactional_id=None, timeout_ms=1000, producer_id=-1, producer_epoch=-1)
            if made["error"] == 0:
                return made["producer_id"]
            if made["error"] != 14 or time.monotonic() > deadline:  # 14: COORDINATOR_LOAD_IN_PROGRESS.
                raise ValueError(f"InitProducerId: error {made['error']}")
            time.sleep(0.02)

    def produce(self, topic, records, partition=0, acks=-1, api="produce", transactional_id=None):
        answer = self.ask(api, **produce_values(topic, records, partition, acks, transactional_id))
        return answer["topics"][0]["partitions"][0]

    def fetch(self, topic, offset, partition=0, max_bytes=1 << 20, wait_ms=500, min_bytes=1):
        answer = self.ask("fetch", **fetch_values([(topic, partition, offset)], max_bytes, wait_ms, min_bytes))
        return answer["topics"][0]["partitions"][0]

    def list_offset(self, topic, timestamp, partition=0):
        topics = [{"name": topic, "partitions": [{"index": partition, "leader_epoch": -1, "timestamp": timestamp}]}]
        answer = self.ask("list_offsets", replica_id=-1, isolation=0, topics=topics, timeout_ms=1000)
        return answer["topics"][0]["partitions"][0]

    def delete_records(self, topic, offset, partition=0, api="delete_records"):
        topics = [{"name": topic, "partitions": [{"index": partition, "offset": offset}]}]
        part = self.ask(api, topics=topics, timeout_ms=10000)["topics"][0]["partitions"][0]
        return part["error"], part["low_watermark"]

    def read_all(self, topic, partition=0):
        """[(offset, key, value)] from the log's start to its end."""
        found = []
        offset = self.list_offset(topic, -2, partition)["offset"]
        end = self.list_offset(topic, -1, partition)["offset"]
        while offset < end:
            part = self.fetch(topic, offset, partition, max_bytes=4 << 20)
            if part["error"]:
                raise ValueError(f"fetch at {offset}: error {part['error']}")
            records = [record for record in parse_records(part["records"] or b"") if record[0] >= offset]
            if not records:
                raise ValueError(f"nothing at {offset} although the log ends at {end}")
            found += records
            offset = records[-1][0] + 1
        return found


def produce_values(topic, records, partition=0, acks=-1, transactional_id=None):
    return {"transactional_id": transactional_id, "acks": acks, "timeout_ms": 10000,
            "topics": [{"name": topic, "partitions": [{"index": partition, "records": records}]}]}


def fetch_values(partitions, max_bytes=1 << 20, wait_ms=500, min_bytes=1, replica_id=-1, session=(0, -1)):
    topics = [{"name": topic, "partitions": [{"index": index, "leader_epoch": -1, "offset": offset, "last_fetched_epoch": -1,
                                              "log_start": -1, "max_bytes": max_bytes}]}
              for topic, index, offset in partitions]
    return {"replica_id": replica_id, "max_wait_ms": wait_ms, "min_bytes": min_bytes, "max_bytes": max_bytes,
            "isolation": 0, "session_id": session[0], "session_epoch": session[1], "topics": topics, "forgotten": [],
            "rack": ""}


# Record batches --------------------------------------------------------------------------------------

def _slow_crc32c():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)

    def crc(data):
        value = 0xFFFFFFFF
        for byte in data:
            value = table[(value ^ byte) & 255] ^ value >> 8
        return value ^ 0xFFFFFFFF
    return crc


def _crc32c():
    try:
        function = ctypes.CDLL("libisal.so.2").crc32_iscsi
    except OSError:
        return _slow_crc32c()
    function.restype = ctypes.c_uint32
    function.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32]
    return lambda data: function(data, len(data), 0xFFFFFFFF) ^ 0xFFFFFFFF


crc32c = _crc32c()


def record(delta, key, value, headers=(), timestamp_delta=0):
    def blob(data):
        return varint(-1) if data is None else varint(len(data)) + data
    text = b"\0" + varint(timestamp_delta) + varint(delta) + blob(key) + blob(value) + varint(len(headers))
    text += b"".join(blob(name) + blob(content) for name, content in headers)
    return varint(len(text)) + text


def batch(values, timestamp=None, producer=(-1, -1, -1), codec=0, body=None, count=None, last_delta=None, attributes=None,
          magic=2, length=None, crc=None, base_offset=0, max_timestamp=None):
    """One v2 batch of `values` (bytes, or (key, value[, headers])); each keyword overrides what is true."""
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    if body is None:
        items = [value if isinstance(value, tuple) else (None, value) for value in values]
        body = b"".join(record(delta, *item) for delta, item in enumerate(items))
    count = len(values) if count is None else count
    checked = struct.pack(">hiqqqhii", codec if attributes is None else attributes, count - 1 if last_delta is None else last_delta,
                          timestamp, timestamp if max_timestamp is None else max_timestamp, *producer, count) + body
    crc = crc32c(checked) if crc is None else crc
    length = 9 + len(checked) if length is None else length
    return struct.pack(">qiibI", base_offset, length, -1, magic, crc) + checked


def codecs_of(data):
    """The codec numbers of the whole batches of `data`."""
    found = set()
    at = 0
    while at + 61 <= len(data):
        found.add(struct.unpack_from(">h", data, at + 21)[0] & 7)
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    return found


def parse_records(data):
    """[(offset, key, value)] of whole uncompressed v2 batches; a cut one at the end is left."""
    found = []
    at = 0
    while at + 61 <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        if at + 12 + length > len(data):
            break
        crc, attributes = struct.unpack_from(">Ih", data, at + 17)
        if crc32c(data[at + 21:at + 12 + length]) != crc:
            raise ValueError(f"batch at {base}: wrong CRC")
        if attributes & 7:
            raise ValueError(f"batch at {base} is compressed")
        decoder = _Decoder(data[at + 61:at + 12 + length], True)
        for _ in range(struct.unpack_from(">i", data, at + 57)[0]):
            decoder.varint()
            decoder.take(1)
            decoder.varint()
            delta = decoder.varint()
            key_length = decoder.varint()
            key = None if key_length < 0 else decoder.take(key_length)
            value_length = decoder.varint()
            value = None if value_length < 0 else decoder.take(value_length)
            for _ in range(decoder.varint()):
                decoder.take(decoder.varint())
                content = decoder.varint()
                decoder.take(max(content, 0))
            found.append((base + delta, key, value))
        at += 12 + length
    return found

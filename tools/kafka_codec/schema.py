"""Reads the .kdef files of proto/kafka/schema into plain objects. The format: proto/kafka/README.md.

Every version range is a pair (first, last), both inclusive; FOREVER as last means "and later"; None
means "no version".
"""

import pathlib
import re

FOREVER = 32767

# Type -> (C++ type, method suffix of Reader and Writer, smallest encoded size, size if it is fixed).
PRIMITIVES = {
    "bool": ("bool", "Bool", 1, 1),
    "int8": ("int8_t", "Int8", 1, 1),
    "int16": ("int16_t", "Int16", 2, 2),
    "uint16": ("uint16_t", "Uint16", 2, 2),
    "int32": ("int32_t", "Int32", 4, 4),
    "uint32": ("uint32_t", "Uint32", 4, 4),
    "int64": ("int64_t", "Int64", 8, 8),
    "float64": ("double", "Float64", 8, 8),
    "uuid": ("Uuid", "Uuid", 16, 16),
    "string": ("std::string", "String", 1, None),
    "bytes": ("Slice", "Bytes", 1, None),
    "records": ("Chain", "Records", 1, None),
}
MESSAGE_KINDS = ("request", "response", "header", "data", "coordinator-key", "coordinator-value", "metadata")


class SchemaError(Exception):
    pass


def parse_versions(text):
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    if not match:
        raise SchemaError(f"bad version range '{text}'")
    first = int(match[1])
    return (first, FOREVER if match[2] else int(match[3] or first))


def intersect(a, b):
    if a is None or b is None:
        return None
    both = (max(a[0], b[0]), min(a[1], b[1]))
    return both if both[0] <= both[1] else None


def hull(a, b):
    if a is None or b is None:
        return a or b
    return (min(a[0], b[0]), max(a[1], b[1]))


def snake(name):
    name = name.replace("KRaft", "Kraft")
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name).lower()


class Field:
    def __init__(self, name, type_text, versions, doc):
        self.name = name
        self.member = snake(name)
        self.array = type_text.startswith("[]")
        self.type = type_text.removeprefix("[]")
        self.versions = versions
        self.doc = doc
        self.nullable = None
        self.tag = None
        self.default = None
        self.ignorable = False
        self.key = False
        self.entity = None
        self.never_flexible = False
        self.struct = None  # The Struct, once resolved, if the (element) type is one.


class Struct:
    """A struct of a message; the message itself is one too (its outermost)."""

    def __init__(self, name, versions, doc):
        self.name = name
        self.versions = versions
        self.doc = doc
        self.fields = []
        self.present = None  # The message's versions in which it occurs: the hull over its uses.

    def wire_size_min(self, flexible, version):
        """The fewest bytes one can take at `version`: what array counts are checked against."""
        size = 1 if flexible else 0  # The tagged section.
        for field in self.fields:
            if field.tag is not None or not intersect(field.versions, (version, version)):
                continue
            size += field.wire_size_min(flexible, version)
        return size

    def parts(self):
        return [field.struct for field in self.fields if field.struct]


class Message(Struct):
    def __init__(self, kind, name, versions, flexible, doc, source):
        super().__init__(name, versions, doc)
        self.kind = kind
        self.flexible = flexible
        self.source = source
        self.api = None
        self.key = None
        self.structs = []  # Parts before the whole, so that C++ can hold them by value.

    @property
    def stem(self):
        return snake(self.name)


def field_wire_size_min(field, flexible, version):
    if field.array:
        return 1 if flexible else 4
    if field.struct:
        if field.nullable:
            return 1
        return field.struct.wire_size_min(flexible, version)
    smallest, fixed = PRIMITIVES[field.type][2:]
    if fixed:
        return fixed
    if flexible:
        return smallest
    return 2 if field.type == "string" else 4


Field.wire_size_min = field_wire_size_min


class Api:
    def __init__(self, key, name, doc):
        self.key = key
        self.name = name
        self.doc = doc
        self.served = None
        self.advertised_min = None
        self.listeners = []
        self.forwarded = False
        self.cluster_action = False
        self.request = None
        self.response = None


class KafkaErrorCode:
    def __init__(self, code, name, doc, retriable, refresh):
        self.code = code
        self.name = name
        self.doc = doc
        self.retriable = retriable
        self.refresh = refresh


class Schema:
    def __init__(self):
        self.messages = []
        self.apis = []
        self.errors = []


class FileParser:
    """One file, line by line: a comment block belongs to the line below it, a blank line drops it."""

    def __init__(self, path, schema):
        self.path = path
        self.schema = schema
        self.doc = []
        self.api = None
        self.message = None
        self.stack = []
        self.shared = {}

    def parse(self):
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            try:
                self.line(line.strip())
            except (SchemaError, ValueError, IndexError, KeyError) as error:
                raise SchemaError(f"{self.path}:{number}: {error}") from None
        if self.stack:
            raise SchemaError(f"{self.path}: '{self.stack[-1].name}' is not closed")

    def line(self, text):
        if text.startswith("#"):
            self.doc.append(text.removeprefix("#").strip())
            return
        if not text:
            self.doc = []
            return
        doc, self.doc = " ".join(self.doc), []
        if text == "}":
            self.close()
            return
        words = text.split()
        if not doc:
            raise SchemaError(f"'{words[0]} {words[1]}' has no description")
        opens = words[-1] == "{"
        if opens:
            words.pop()
        if self.message is None:
            self.top(words, doc, opens)
        elif words[0] == "struct":
            self.open_struct(Struct(words[1], parse_versions(words[2]), doc))
            self.shared[words[1]] = self.stack[-1]
        else:
            self.field(words, doc, opens)

    def top(self, words, doc, opens):
        if words[0] == "api":
            self.parse_api(words, doc)
        elif words[0] == "error":
            flags = words[3:]
            self.schema.errors.append(
                KafkaErrorCode(int(words[1]), words[2], doc, "retriable" in flags, "refresh" in flags))
        elif words[0] in MESSAGE_KINDS and opens:
            self.parse_message(words, doc)
        else:
            raise SchemaError(f"unknown line '{words[0]}'")

    def parse_api(self, words, doc):
        api = Api(int(words[1]), words[2], doc)
        rest = words[3:]
        while rest:
            word = rest.pop(0)
            if word == "served":
                api.served = parse_versions(rest.pop(0))
            elif word == "advertised":
                api.advertised_min = int(rest.pop(0))
            elif word == "listeners":
                api.listeners = rest.pop(0).split(",")
            elif word == "forwarded":
                api.forwarded = True
            elif word == "cluster-action":
                api.cluster_action = True
            else:
                raise SchemaError(f"unknown word '{word}'")
        if api.advertised_min is None:
            api.advertised_min = api.served[0]
        self.api = api
        self.schema.apis.append(api)

    def parse_message(self, words, doc):
        if words[3] != "flexible":
            raise SchemaError("a message says 'flexible VERSIONS' after its versions")
        message = Message(words[0], words[1], parse_versions(words[2]), parse_versions(words[4]), doc, self.path)
        if len(words) > 5:
            if words[5] != "key":
                raise SchemaError(f"unknown word '{words[5]}'")
            message.key = int(words[6])
        if message.kind in ("request", "response"):
            message.api = self.api
            setattr(self.api, message.kind, message)
        self.message = message
        self.stack = [message]
        self.shared = {}
        self.schema.messages.append(message)

    def open_struct(self, struct):
        if struct.name == self.message.name or any(s.name == struct.name for s in self.message.structs):
            raise SchemaError(f"struct '{struct.name}' exists twice")
        self.message.structs.append(struct)
        self.stack.append(struct)

    def field(self, words, doc, opens):
        field = Field(words[0], words[1], parse_versions(words[2]), doc)
        rest = words[3:]
        while rest:
            word = rest.pop(0)
            if word == "nullable":
                field.nullable = parse_versions(rest.pop(0))
            elif word == "tag":
                field.tag = int(rest.pop(0))
            elif word == "default":
                field.default = rest.pop(0)
            elif word == "ignorable":
                field.ignorable = True
            elif word == "key":
                field.key = True
            elif word == "entity":
                field.entity = rest.pop(0)
            elif word == "flexible":
                field.never_flexible = parse_versions(rest.pop(0)) is None
            else:
                raise SchemaError(f"unknown word '{word}'")
        self.stack[-1].fields.append(field)
        if opens:
            struct = Struct(field.type, field.versions, doc)
            self.open_struct(struct)
            field.struct = struct
        elif field.type not in PRIMITIVES and not field.type[0].isupper():
            raise SchemaError(f"unknown type '{field.type}'")

    def close(self):
        closed = self.stack.pop()
        if not self.stack:
            resolve(closed, self.shared)
            self.message = None


def resolve(message, shared):
    """Finds the structs that fields name, the versions each occurs in, and an order: parts first."""
    for struct in [message, *message.structs]:
        for field in struct.fields:
            if field.type not in PRIMITIVES and field.struct is None:
                if field.type not in shared:
                    raise SchemaError(f"{message.name}.{field.name}: no struct '{field.type}'")
                field.struct = shared[field.type]
            if field.tag is not None and not intersect(field.versions, message.flexible):
                raise SchemaError(f"{message.name}.{field.name}: a tag needs a flexible version")
    ordered = []

    def visit(struct, present):
        struct.present = hull(struct.present, present)
        for field in struct.fields:
            if field.struct:
                visit(field.struct, intersect(present, field.versions))
        if struct not in ordered:
            ordered.append(struct)

    visit(message, message.versions)
    unused = [struct.name for struct in message.structs if struct not in ordered]
    if unused:
        raise SchemaError(f"{message.name}: nothing uses {unused}")
    message.structs = [struct for struct in ordered if struct is not message]


def read_schema(folder):
    schema = Schema()
    for path in sorted(pathlib.Path(folder).glob("*.kdef")):
        FileParser(path, schema).parse()
    schema.messages.sort(key=lambda message: message.name)
    schema.apis.sort(key=lambda api: api.key)
    schema.errors.sort(key=lambda error: error.code)
    names = [message.name for message in schema.messages]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise SchemaError(f"messages defined twice: {sorted(doubled)}")
    return schema

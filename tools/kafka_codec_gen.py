#!/usr/bin/env python3
"""Generates the Kafka wire codec from proto/kafka/schema.

    kafka_codec_gen.py --schema DIR --out DIR [--list headers|sources|registry]

Writes into OUT/proto/kafka; files that would not change are left alone, so nothing is compiled again for
them. --list prints the paths of one kind of output, relative to OUT, and writes nothing.
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True  # The source tree stays clean.

from kafka_codec import emit_message, emit_registry, emit_tables  # noqa: E402
from kafka_codec.schema import SchemaError, read_schema  # noqa: E402

# Few enough that headers are not parsed over and over, enough to keep every core of a build busy.
CODEC_UNITS = 12
REGISTRY_UNITS = 12


def weight(message):
    return 5 + sum(len(struct.fields) for struct in [message, *message.structs])


def split(messages, count):
    """Groups of about the same weight; neighbours stay together, so an edit recompiles few of them."""
    total = sum(weight(message) for message in messages)
    groups = [[] for _ in range(count)]
    seen = 0
    for message in messages:
        groups[min(count - 1, seen * count // total)].append(message)
        seen += weight(message)
    return groups


def outputs(schema):
    """Kind -> {path: function that makes the text}."""
    headers = {f"{message.stem}.h": lambda m=message: emit_message.header(m) for message in schema.messages}
    headers["api.h"] = lambda: emit_tables.api_header(schema)
    headers["kafka_error.h"] = lambda: emit_tables.error_header(schema)
    sources = {f"codec_{i:02d}.cc": lambda g=group: emit_message.group(g)
               for i, group in enumerate(split(schema.messages, CODEC_UNITS))}
    sources["api.cc"] = lambda: emit_tables.api_source(schema)
    sources["kafka_error.cc"] = lambda: emit_tables.error_source(schema)
    registry = {f"registry_{i:02d}.cc": lambda g=group, n=i: emit_registry.group(g, n)
                for i, group in enumerate(split(schema.messages, REGISTRY_UNITS))}
    registry["registry.cc"] = lambda: emit_registry.index(REGISTRY_UNITS)
    return {"headers": headers, "sources": sources, "registry": registry}


def write_if_changed(path, text):
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schema", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--list", choices=["headers", "sources", "registry"])
    arguments = parser.parse_args()
    try:
        schema = read_schema(arguments.schema)
    except SchemaError as error:
        sys.exit(f"kafka_codec_gen: {error}")
    files = outputs(schema)
    if arguments.list:
        print("\n".join(f"proto/kafka/{name}" for name in files[arguments.list]))
        return
    for kind in files.values():
        for name, make in kind.items():
            write_if_changed(pathlib.Path(arguments.out) / "proto/kafka" / name, make())


if __name__ == "__main__":
    main()

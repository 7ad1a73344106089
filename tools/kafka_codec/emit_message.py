"""One header per message, and the functions of each message."""

import re

from . import cpp
from .schema import PRIMITIVES, intersect


def header(message):
    kinds = {field.type for struct in [message, *message.structs] for field in struct.fields}
    fields = [field for struct in [message, *message.structs] for field in struct.fields]
    out = [cpp.banner(cpp.source_name(message)), "#pragma once\n\n#include <cstdint>\n"]
    if any(field.nullable for field in fields):
        out.append("#include <optional>\n")
    if "string" in kinds:
        out.append("#include <string>\n")
    if any(field.array for field in fields):
        out.append("#include <vector>\n")
    out.append("\n")
    if kinds & {"bytes", "records"}:
        out.append('#include "common/bytes/slice.h"\n')
    if "uuid" in kinds:
        out.append('#include "common/uuid.h"\n')
    out.append(f"\nnamespace {cpp.NAMESPACE} {{\n\nclass Reader;\nclass Writer;\n\n")
    if message.structs:
        # Not nested in the class: there std::optional could not hold them, because member initialisers
        # count only once the class is complete.
        out.append(f"namespace {message.stem} {{\n\n")
        for struct in message.structs:
            out.append(cpp.comment(struct.doc))
            out.append(f"struct {struct.name} {{\n{body(message, struct)}}};\n\n")
        out.append(f"}}  // namespace {message.stem}\n\n")
    out.append(cpp.comment(message.doc))
    out.append(f"struct {message.name} {{\n")
    out.append(constants(message))
    if message.structs:
        out.append("\n")
        out += [f"  using {struct.name} = {message.stem}::{struct.name};\n" for struct in message.structs]
    out.append("\n" + body(message, message))
    out.append(f"}};\n\n}}  // namespace {cpp.NAMESPACE}\n")
    # Groups that turned out empty leave double blank lines.
    return re.sub(r"\n{3,}", "\n\n", "".join(out))


def constants(message):
    out = []
    if message.kind in ("request", "response"):
        out.append(f"  static constexpr int16_t kApiKey = {message.api.key};\n")
    elif message.key is not None:
        out.append("  // The int16 in front of the key of such a record.\n")
        out.append(f"  static constexpr int16_t kRecordType = {message.key};\n")
    out.append("  // The versions whose layout is known; what a broker serves is in proto/kafka/api.h.\n")
    out.append(f"  static constexpr int16_t kMinVersion = {message.versions[0]};\n")
    out.append(f"  static constexpr int16_t kMaxVersion = {message.versions[1]};\n")
    if not message.flexible:
        out.append("  // No version is flexible.\n")
    out.append(f"  static constexpr int16_t kFirstFlexible = {cpp.first_flexible(message)};\n")
    return "".join(out)


def body(message, struct):
    indent = "  "
    out = []
    for field in struct.fields:
        doc = field.doc
        if intersect(field.versions, struct.present) != struct.present:
            doc += f" Versions {range_text(field.versions)}."
        out.append(cpp.comment(doc, indent))
        out.append(f"{indent}{cpp.cpp_type(field)} {field.member}{cpp.default_value(field)};\n")
    if message is struct:
        out.append(f"\n{indent}// REQUIRES: this is fresh, because what a version lacks is left as it is. Fails the\n"
                   f"{indent}// reader outside [kMinVersion, kMaxVersion].\n")
    else:
        out.append("\n" if struct.fields else "")
    out.append(f"{indent}void Decode(Reader& in, int16_t v);\n")
    out.append(f"{indent}void Encode(Writer& out, int16_t v) const;\n")
    out.append(f"{indent}bool operator==(const {struct.name}&) const = default;\n")
    return "".join(out)


def range_text(versions):
    first, last = versions
    if last == 32767:
        return f"{first} and later"
    return str(first) if first == last else f"{first} to {last}"


class Code:
    """Lines with an indentation that follows blocks."""

    def __init__(self):
        self.lines = []
        self.depth = 0

    def add(self, text):
        self.lines.append("  " * self.depth + text)

    def open(self, text):
        self.add(text + " {")
        self.depth += 1

    def close(self, text="}"):
        self.depth -= 1
        self.add(text)

    def text(self):
        return "\n".join(self.lines) + "\n"


def functions(message):
    return "\n".join(decode(message, struct) + "\n" + encode(message, struct)
                     for struct in [*message.structs, message])


class Context:
    """The versions that can occur where code is emitted, and how to say "flexible" there."""

    def __init__(self, message, struct):
        self.message = message
        self.known = struct.present
        flexible = intersect(message.flexible, self.known)
        self.never = flexible is None
        self.always = flexible == self.known

    def flexible(self, field=None):
        if self.never or (field is not None and field.never_flexible):
            return "false"
        return "true" if self.always else "flexible"

    def variable(self, code):
        if not self.never and not self.always:
            code.add(f"const bool flexible = v >= {self.message.flexible[0]};")


def qualified(message, struct):
    return struct.name if struct is message else f"{message.stem}::{struct.name}"


def size_min(context, struct, known):
    versions = range(known[0], min(known[1], context.message.versions[1]) + 1)
    flexible = context.message.flexible
    return min(struct.wire_size_min(bool(intersect(flexible, (v, v))), v) for v in versions)


def version_check(message, code, stream):
    code.add(f'if (v < kMinVersion || v > kMaxVersion) return {stream}.Fail("{message.name} has no such version");')


def decode(message, struct):
    context = Context(message, struct)
    code = Code()
    code.open(f"void {qualified(message, struct)}::Decode([[maybe_unused]] Reader& in, [[maybe_unused]] int16_t v)")
    if struct is message:
        version_check(message, code, "in")
    context.variable(code)
    for field in struct.fields:
        if field.tag is not None:
            continue
        cond = cpp.condition(field.versions, context.known)
        if cond is None:
            continue
        known = intersect(field.versions, context.known)
        if cond:
            code.open(f"if ({cond})")
        decode_value(code, context, field, known)
        if cond:
            code.close()
    decode_tags(code, context, struct)
    code.close()
    return code.text()


def decode_tags(code, context, struct):
    if context.never:
        return
    known = intersect(context.message.flexible, context.known)
    if not context.always:
        code.open("if (flexible)")
    tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
    if not tagged:
        code.add("in.SkipTaggedFields();")
    else:
        code.open("for (TaggedSection section(in); section.Next();)")
        code.open("switch (section.tag())")
        for field in tagged:
            code.add(f"case {field.tag}:")
            code.depth += 1
            cond = cpp.condition(field.versions, known)
            if cond:
                code.open(f"if ({cond})")
            decode_value(code, context, field, intersect(field.versions, known))
            if cond:
                code.close("} else {")
                code.depth += 1
                code.add("section.Skip();")
                code.close()
            code.add("break;")
            code.depth -= 1
        code.add("default:")
        code.add("  section.Skip();")
        code.close()
        code.close()
    if not context.always:
        code.close()


def decode_value(code, context, field, known):
    name = field.member
    flexible = context.flexible(field) if field.tag is None else "true"
    nullable = cpp.as_bool(cpp.condition(field.nullable, known)) if field.nullable else None
    if field.array and field.struct:
        smallest = size_min(context, field.struct, known)
        if field.nullable:
            code.open(f"if (auto count = in.ReadNullableArrayCount({flexible}, {nullable}, {smallest}, sizeof((*{name})[0])); count.has_value())")
            code.add(f"{name}.emplace(*count);")
            decode_elements(code, f"*{name}")
            code.close("} else {")
            code.depth += 1
            code.add(f"{name}.reset();")
            code.close()
        else:
            code.add(f"{name}.resize(in.ReadArrayCount({flexible}, {smallest}, sizeof({name}[0])));")
            decode_elements(code, name)
    elif field.array:
        if field.nullable:
            code.add(f"in.ReadNullableArray({name}, {flexible}, {nullable});")
        else:
            code.add(f"in.ReadArray({name}, {flexible});")
    elif field.struct:
        if field.nullable:
            code.open(f"if (in.ReadPresence({nullable}))")
            code.add(f"{name}.emplace().Decode(in, v);")
            code.close("} else {")
            code.depth += 1
            code.add(f"{name}.reset();")
            code.close()
        else:
            code.add(f"{name}.Decode(in, v);")
    elif field.type in ("string", "bytes", "records"):
        method = PRIMITIVES[field.type][1]
        if field.nullable:
            code.add(f"in.ReadNullable{method}({name}, {flexible}, {nullable});")
        else:
            code.add(f"in.Read{method}({name}, {flexible});")
    else:
        code.add(f"{name} = in.Read{PRIMITIVES[field.type][1]}();")


def decode_elements(code, range_text_):
    code.open(f"for (auto& element : {range_text_})")
    code.add("if (!in.ok()) return;")
    code.add("element.Decode(in, v);")
    code.close()


def encode(message, struct):
    context = Context(message, struct)
    code = Code()
    code.open(f"void {qualified(message, struct)}::Encode([[maybe_unused]] Writer& out, "
              "[[maybe_unused]] int16_t v) const")
    if struct is message:
        version_check(message, code, "out")
    context.variable(code)
    for field in struct.fields:
        if field.tag is not None:
            continue
        cond = cpp.condition(field.versions, context.known)
        if cond is None:
            continue
        known = intersect(field.versions, context.known)
        if cond:
            code.open(f"if ({cond})")
        encode_value(code, context, field, known, "out")
        if cond:
            if not field.ignorable:
                code.close(f"}} else if ({cpp.not_default(field)}) {{")
                code.depth += 1
                refuse(code, message, struct, field)
            code.close()
    encode_tags(code, context, message, struct)
    code.close()
    return code.text()


def refuse(code, message, struct, field):
    place = struct.name if struct is message else f"{message.name}.{struct.name}"
    code.add(f'out.FailUnsupported("{place}.{field.name}", v);')


def encode_tags(code, context, message, struct):
    tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
    for field in tagged:
        if field.ignorable:
            continue
        cond = cpp.condition(field.versions, context.known)
        if cond:
            code.open(f"if (!({cond}) && {cpp.not_default(field)})")
            refuse(code, message, struct, field)
            code.close()
    if context.never:
        return
    known = intersect(context.message.flexible, context.known)
    if not context.always:
        code.open("if (flexible)")
    if not tagged:
        code.add("out.WriteUvarint(0);")
    else:
        for field in tagged:
            cond = cpp.condition(field.versions, known)
            present = cpp.not_default(field)
            code.add(f"const bool tag{field.tag} = {f'{cond} && ' if cond else ''}{present};")
        total = " + ".join(f"(tag{field.tag} ? 1 : 0)" for field in tagged)
        code.add(f"out.WriteUvarint({total});")
        for field in tagged:
            code.open(f"if (tag{field.tag})")
            encode_tagged(code, context, field, intersect(field.versions, known))
            code.close()
    if not context.always:
        code.close()


def encode_tagged(code, context, field, known):
    fixed = None if field.array or field.struct else PRIMITIVES[field.type][3]
    if fixed:
        code.add(f"out.WriteTag({field.tag}, {fixed});")
        encode_value(code, context, field, known, "out")
    else:
        code.add("Writer payload;")
        encode_value(code, context, field, known, "payload")
        code.add(f"out.WriteTagged({field.tag}, std::move(payload));")


def encode_value(code, context, field, known, out):
    name = field.member
    flexible = context.flexible(field) if field.tag is None else "true"
    nullable = cpp.as_bool(cpp.condition(field.nullable, known)) if field.nullable else None
    if field.array and field.struct:
        if field.nullable:
            code.open(f"if ({name}.has_value())")
            encode_elements(code, f"*{name}", f"{name}->size()", flexible, out)
            code.close("} else {")
            code.depth += 1
            code.add(f"{out}.WriteNullArray({flexible}, {nullable});")
            code.close()
        else:
            encode_elements(code, name, f"{name}.size()", flexible, out)
    elif field.array:
        if field.nullable:
            code.add(f"{out}.WriteNullableArray({name}, {flexible}, {nullable});")
        else:
            code.add(f"{out}.WriteArray({name}, {flexible});")
    elif field.struct:
        if field.nullable:
            code.add(f"{out}.WritePresence({name}.has_value(), {nullable});")
            code.add(f"if ({name}.has_value()) {name}->Encode({out}, v);")
        else:
            code.add(f"{name}.Encode({out}, v);")
    elif field.type in ("string", "bytes", "records"):
        method = PRIMITIVES[field.type][1]
        if field.nullable:
            code.add(f"{out}.WriteNullable{method}({name}, {flexible}, {nullable});")
        else:
            code.add(f"{out}.Write{method}({name}, {flexible});")
    else:
        code.add(f"{out}.Write{PRIMITIVES[field.type][1]}({name});")


def encode_elements(code, range_text_, size, flexible, out):
    code.add(f"{out}.WriteArrayCount({size}, {flexible});")
    code.add(f"for (const auto& element : {range_text_}) element.Encode({out}, v);")


def group(messages):
    """One translation unit with the functions of several messages."""
    out = [cpp.banner("proto/kafka/schema"), "#include <utility>\n\n"]
    out += [f'#include "proto/kafka/{message.stem}.h"\n' for message in messages]
    out.append('#include "proto/kafka/reader.h"\n#include "proto/kafka/writer.h"\n')
    out.append(f"\nnamespace {cpp.NAMESPACE} {{\n\n")
    out.append("\n".join(functions(message) for message in messages))
    out.append(f"\n}}  // namespace {cpp.NAMESPACE}\n")
    return "".join(out)

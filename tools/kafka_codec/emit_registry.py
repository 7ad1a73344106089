"""For tests: a list of all messages, each of which can be filled, decoded, encoded and compared by name."""

from . import cpp
from .schema import intersect


def versions(pair):
    return f"{pair[0]}, {pair[1]}" if pair else "1, 0"


def fill(message, struct):
    """Fill(): hands each field that the version has to a Filler."""
    name = struct.name if struct is message else f"{message.name}::{struct.name}"
    out = [f"void Fill([[maybe_unused]] Filler& filler, [[maybe_unused]] {name}& value) {{\n"]
    for field in struct.fields:
        present = intersect(field.versions, message.versions)
        tagged = "true" if field.tag is not None else "false"
        info = f'{{"{field.name}", {versions(present)}, {versions(field.nullable)}, {tagged}}}'
        out.append(f"  static constexpr FieldInfo k{field.name} = {info};\n")
        out.append(f"  FillField(filler, k{field.name}, value.{field.member});\n")
    out.append("}\n")
    return "".join(out)


def group(messages, number):
    out = [cpp.banner("proto/kafka/schema")]
    out += [f'#include "proto/kafka/{message.stem}.h"\n' for message in messages]
    out.append('#include "proto/kafka/testing/registry.h"\n#include "proto/kafka/testing/fill.h"\n')
    out.append(f"\nnamespace {cpp.NAMESPACE} {{\n\n")
    # Not in an unnamed namespace, where FillValue() would not find them by their arguments.
    for message in messages:
        for struct in [*message.structs, message]:
            out.append(fill(message, struct) + "\n")
    out.append(f"void AddMessages{number:02d}(std::vector<MessageInfo>& all) {{\n")
    for message in messages:
        served = message.versions
        if message.kind in ("request", "response"):
            served = message.api.served
        out.append(f'  all.push_back({{"{message.name}", {versions(message.versions)}, {versions(served)}, '
                   f"{cpp.first_flexible(message)}, &MakeAny<{message.name}>}});\n")
    out.append(f"}}\n\n}}  // namespace {cpp.NAMESPACE}\n")
    return "".join(out)


def index(count):
    out = [cpp.banner("proto/kafka/schema"), '#include "proto/kafka/testing/registry.h"\n\n',
           f"namespace {cpp.NAMESPACE} {{\n\n"]
    out += [f"void AddMessages{i:02d}(std::vector<MessageInfo>& all);\n" for i in range(count)]
    out.append("\nconst std::vector<MessageInfo>& Messages() {\n"
               "  static const std::vector<MessageInfo> all = [] {\n    std::vector<MessageInfo> list;\n")
    out += [f"    AddMessages{i:02d}(list);\n" for i in range(count)]
    out.append(f"    return list;\n  }}();\n  return all;\n}}\n\n}}  // namespace {cpp.NAMESPACE}\n")
    return "".join(out)

#include "cli/records/record_format.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "common/json/json_writer.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

using Bytes = std::span<const uint8_t>;

void Append(Bytes bytes, std::string& to) {
  to.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::string_view ViewOf(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t LengthOf(const std::optional<Bytes>& bytes) {
  return bytes.has_value() ? static_cast<int64_t>(bytes->size()) : -1;
}

void AppendHeaders(const RecordView& view, std::string& to) {
  bool first = true;
  HeaderReader headers(view);
  while (std::optional<RecordHeaderView> header = headers.Next()) {
    if (!first) to += ',';
    first = false;
    Append(header->key, to);
    to += '=';
    if (header->value.has_value()) {
      Append(*header->value, to);
    } else {
      to += "NULL";
    }
  }
}

// Takes one escape sequence, whose backslash has been read, off `text`.
absl::StatusOr<char> TakeEscape(std::string_view& text) {
  if (text.empty()) return absl::InvalidArgumentError("a backslash stands at the end");
  const char kind = text.front();
  text.remove_prefix(1);
  switch (kind) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '0':
      return '\0';
    case '\\':
      return '\\';
    case 'x': {
      unsigned value = 0;
      const size_t digits = std::min<size_t>(2, text.size());
      auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, 16);
      if (error != std::errc() || end == text.data()) {
        return absl::InvalidArgumentError("\\x wants hexadecimal digits");
      }
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      return static_cast<char>(value);
    }
    default:
      return absl::InvalidArgumentError(
          fmt::format("\\{} is not known: \\n, \\r, \\t, \\0, \\\\ and \\xHH are accepted", kind));
  }
}

void JsonBytes(std::string_view name, const std::optional<Bytes>& bytes, JsonWriter& json) {
  if (!bytes.has_value()) {
    json.Key(name).Null();
  } else if (IsText(*bytes)) {
    json.Key(name).String(ViewOf(*bytes));
  } else {
    json.Key(fmt::format("{}_base64", name)).String(Base64(*bytes));
  }
}

}  // namespace

absl::StatusOr<std::string> Unescape(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c != '\\') {
      result += c;
      continue;
    }
    MR_ASSIGN_OR_RETURN(char escaped, TakeEscape(text));
    result += escaped;
  }
  return result;
}

absl::StatusOr<RecordFormat> RecordFormat::Parse(std::string_view format) {
  RecordFormat result;
  auto literal = [&result](char c) {
    if (result.pieces_.empty() || result.pieces_.back().field != 0)
      result.pieces_.push_back({0, {}});
    result.pieces_.back().literal += c;
  };
  while (!format.empty()) {
    const char c = format.front();
    format.remove_prefix(1);
    if (c == '\\') {
      MR_ASSIGN_OR_RETURN(char escaped, TakeEscape(format));
      literal(escaped);
    } else if (c != '%') {
      literal(c);
    } else {
      if (format.empty()) return absl::InvalidArgumentError("a % stands at the end");
      const char field = format.front();
      format.remove_prefix(1);
      if (field == '%') {
        literal('%');
      } else if (std::string_view("tpoTkshKS").find(field) != std::string_view::npos) {
        result.pieces_.push_back({field, {}});
      } else {
        return absl::InvalidArgumentError(
            fmt::format("%{} is not known: %t %p %o %T %k %s %h %K %S and %% are accepted", field));
      }
    }
  }
  return result;
}

void RecordFormat::Print(std::string_view topic, PartitionId partition, const FetchedRecord& record,
                         std::string& to) const {
  auto out = std::back_inserter(to);
  for (const Piece& piece : pieces_) {
    switch (piece.field) {
      case 0:
        to += piece.literal;
        break;
      case 't':
        to += topic;
        break;
      case 'p':
        fmt::format_to(out, "{}", partition.value());
        break;
      case 'o':
        fmt::format_to(out, "{}", record.offset.value());
        break;
      case 'T':
        fmt::format_to(out, "{}", record.timestamp.ms());
        break;
      case 'k':
        if (record.view.key.has_value()) Append(*record.view.key, to);
        break;
      case 's':
        if (record.view.value.has_value()) Append(*record.view.value, to);
        break;
      case 'h':
        AppendHeaders(record.view, to);
        break;
      case 'K':
        fmt::format_to(out, "{}", LengthOf(record.view.key));
        break;
      case 'S':
        fmt::format_to(out, "{}", LengthOf(record.view.value));
        break;
      default:
        break;
    }
  }
}

void PrintJson(std::string_view topic, PartitionId partition, const FetchedRecord& record,
               std::string& to) {
  JsonWriter json;
  json.BeginObject();
  json.Key("topic").String(topic);
  json.Key("partition").Number(partition.value());
  json.Key("offset").Number(record.offset.value());
  const bool append_time = record.timestamp_type == TimestampType::kLogAppendTime;
  json.Key("tstype").String(append_time ? "logappend" : "create");
  json.Key("ts").Number(record.timestamp.ms());
  if (record.view.header_count > 0) {
    json.Key("headers").BeginArray();  // Names and values in turn: names may repeat.
    HeaderReader headers(record.view);
    while (std::optional<RecordHeaderView> header = headers.Next()) {
      json.String(ViewOf(header->key));
      if (!header->value.has_value()) {
        json.Null();
      } else if (IsText(*header->value)) {
        json.String(ViewOf(*header->value));
      } else {
        json.BeginObject().Key("base64").String(Base64(*header->value)).EndObject();
      }
    }
    json.EndArray();
  }
  JsonBytes("key", record.view.key, json);
  JsonBytes("payload", record.view.value, json);
  json.EndObject();
  to += json.text();
  to += '\n';
}

}  // namespace millrace

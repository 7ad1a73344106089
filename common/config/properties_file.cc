#include "common/config/properties_file.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <optional>

namespace millrace {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\f'; }

struct LogicalLine {
  std::string text;  // Continuations joined, escapes still in place, leading blanks gone.
  int number;        // Of its first natural line.
};

// Splits the text into logical lines; comments and blank lines are dropped.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);  // Some editors put a BOM there.
  }

  std::optional<LogicalLine> Next() {
    while (!rest_.empty()) {
      std::string_view natural = TakeNaturalLine();
      if (natural.empty() || natural.front() == '#' || natural.front() == '!') continue;
      LogicalLine line{std::string(natural), number_};
      while (EndsInContinuation(line.text)) {
        line.text.pop_back();
        if (rest_.empty()) break;
        line.text += TakeNaturalLine();
      }
      if (line.text.empty()) continue;
      return line;
    }
    return std::nullopt;
  }

 private:
  // The next line without its terminator and its leading blanks.
  std::string_view TakeNaturalLine() {
    ++number_;
    size_t end = rest_.find_first_of("\r\n");
    std::string_view line = rest_.substr(0, end);
    if (end == std::string_view::npos) {
      rest_ = {};
    } else {
      bool is_crlf = rest_.substr(end, 2) == "\r\n";
      rest_.remove_prefix(end + (is_crlf ? 2 : 1));
    }
    while (!line.empty() && IsBlank(line.front())) line.remove_prefix(1);
    return line;
  }

  // An odd number of backslashes at the end: the last one is not itself escaped.
  static bool EndsInContinuation(std::string_view line) {
    size_t backslashes = 0;
    while (backslashes < line.size() && line[line.size() - 1 - backslashes] == '\\') ++backslashes;
    return backslashes % 2 == 1;
  }

  std::string_view rest_;
  int number_ = 0;
};

// The four hexadecimal digits of a \u escape.
std::optional<uint32_t> ReadHex4(std::string_view text) {
  if (text.size() < 4) return std::nullopt;
  uint32_t value = 0;
  for (char c : text.substr(0, 4)) {
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    value = value * 16 + digit;
  }
  return value;
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  auto byte = [&out](uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (code_point < 0x80) {
    byte(code_point);
  } else if (code_point < 0x800) {
    byte(0xC0 | code_point >> 6);
    byte(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    byte(0xE0 | code_point >> 12);
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  } else {
    byte(0xF0 | code_point >> 18);
    byte(0x80 | (code_point >> 12 & 0x3F));
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  }
}

// Reads one escape at text[at], just behind its backslash, and moves `at` past it. False: malformed
// \u.
bool ReadEscape(std::string_view text, size_t& at, std::string& out) {
  char c = text[at++];
  switch (c) {
    case 't':
      out.push_back('\t');
      return true;
    case 'n':
      out.push_back('\n');
      return true;
    case 'r':
      out.push_back('\r');
      return true;
    case 'f':
      out.push_back('\f');
      return true;
    case 'u':
      break;
    default:
      out.push_back(c);
      return true;
  }
  std::optional<uint32_t> unit = ReadHex4(text.substr(at));
  if (!unit.has_value()) return false;
  at += 4;
  if (*unit < 0xD800 || *unit > 0xDFFF) {
    AppendUtf8(*unit, out);
    return true;
  }
  // Java's escapes are UTF-16: a character beyond U+FFFF takes a pair of them, high half first.
  if (*unit > 0xDBFF || text.substr(at, 2) != "\\u") return false;
  std::optional<uint32_t> low = ReadHex4(text.substr(at + 2));
  if (!low.has_value() || *low < 0xDC00 || *low > 0xDFFF) return false;
  at += 6;
  AppendUtf8(0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00), out);
  return true;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    char c = text[at++];
    if (c != '\\') {
      out.push_back(c);
    } else if (at < text.size() && !ReadEscape(text, at, out)) {
      return std::nullopt;
    }
  }
  return out;
}

struct RawPair {
  std::string_view key;
  std::string_view value;
};

// The key ends at the first unescaped '=', ':' or blank; one '=' or ':' with blanks around
// separates.
RawPair SplitKeyAndValue(std::string_view line) {
  size_t end = 0;
  while (end < line.size() && line[end] != '=' && line[end] != ':' && !IsBlank(line[end])) {
    end += line[end] == '\\' ? 2 : 1;
  }
  if (end >= line.size()) return {line, {}};
  size_t value = end;
  while (value < line.size() && IsBlank(line[value])) ++value;
  if (value < line.size() && (line[value] == '=' || line[value] == ':')) ++value;
  while (value < line.size() && IsBlank(line[value])) ++value;
  return {line.substr(0, end), line.substr(value)};
}

void AppendEscaped(std::string_view text, bool is_key, std::string& out) {
  bool leading = true;
  for (char c : text) {
    switch (c) {
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\f':
        out += "\\f";
        break;
      case ' ':
        out += is_key || leading ? "\\ " : " ";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '=':
      case ':':
      case '#':
      case '!':
        if (is_key) out.push_back('\\');
        out.push_back(c);
        break;
      default:
        out.push_back(c);
    }
    leading = leading && c == ' ';
  }
}

}  // namespace

PropertiesFile ParseProperties(std::string_view text) {
  PropertiesFile file;
  std::vector<Property> all;
  std::map<std::string, size_t> last;  // Key to its last place in `all`.
  LineReader lines(text);
  while (std::optional<LogicalLine> line = lines.Next()) {
    RawPair raw = SplitKeyAndValue(line->text);
    std::optional<std::string> key = Unescape(raw.key);
    std::optional<std::string> value = Unescape(raw.value);
    if (!key.has_value() || !value.has_value()) {
      file.errors.push_back({line->number,
                             "malformed \\uXXXX escape (four hexadecimal digits; characters beyond "
                             "U+FFFF as a pair); write \\\\ for a backslash"});
      continue;
    }
    auto [entry, is_new] = last.try_emplace(*key, all.size());
    if (!is_new) {
      file.warnings.push_back(
          {line->number, fmt::format("{} is set again: this one stands, line {} "
                                     "does not count",
                                     *key, all[entry->second].line)});
      entry->second = all.size();
    }
    all.push_back({*std::move(key), *std::move(value), line->number});
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (last.at(all[i].key) == i) file.properties.push_back(std::move(all[i]));
  }
  return file;
}

std::string PrintProperty(std::string_view key, std::string_view value) {
  std::string out;
  AppendEscaped(key, /*is_key=*/true, out);
  out.push_back('=');
  AppendEscaped(value, /*is_key=*/false, out);
  out.push_back('\n');
  return out;
}

}  // namespace millrace

#include "common/http/http_request.h"

#include <algorithm>
#include <vector>

#include "common/check.h"

namespace millrace {
namespace {

constexpr size_t kMethodBytesMax = 16;
constexpr std::string_view kBlanks = " \t";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// tchar of RFC 9110: what names and methods are made of.
bool IsTokenCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenCharacter);
}

bool IsPrintable(char c) { return c > ' ' && c < 0x7f; }

// Bytes above 0x7f are allowed in values, whatever they mean.
bool IsControl(char c) { return (c >= 0 && c < ' ') || c == 0x7f; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<int> HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// Nothing for a malformed escape, and for one of a control character.
std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const std::optional<int> high = HexDigit(text[i + 1]);
    const std::optional<int> low = HexDigit(text[i + 2]);
    if (!high.has_value() || !low.has_value()) return std::nullopt;
    const char c = static_cast<char>(*high * 16 + *low);
    if (IsControl(c)) return std::nullopt;
    decoded += c;
    i += 2;
  }
  return decoded;
}

HttpProblem Bad(std::string text) { return {400, std::move(text)}; }

// Where the head that begins at 0 ends, from `scanned` on: behind the empty line. A line ends in
// CRLF; a lone LF is taken too (RFC 9112 §2.2).
std::optional<size_t> FindHeadEnd(std::string_view bytes, size_t scanned) {
  for (size_t at = scanned; at < bytes.size(); ++at) {
    if (bytes[at] != '\n') continue;
    size_t next = at + 1;
    if (next < bytes.size() && bytes[next] == '\r') ++next;
    if (next < bytes.size() && bytes[next] == '\n') return next + 1;
  }
  return std::nullopt;
}

std::vector<std::string_view> SplitLines(std::string_view head) {
  std::vector<std::string_view> lines;
  while (!head.empty()) {
    const size_t end = head.find('\n');
    std::string_view line = head.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
    head.remove_prefix(std::min(head.size(), end == std::string_view::npos ? end : end + 1));
  }
  return lines;
}

// What the headers said, as far as it matters here.
struct Headers {
  size_t hosts = 0;
  std::optional<std::string> content_length;
  bool has_transfer_encoding = false;
  bool close = false;
  bool keep_alive = false;
};

void ReadConnectionOptions(std::string_view value, Headers& headers) {
  while (!value.empty()) {
    const size_t comma = value.find(',');
    const std::string option = Lower(Trimmed(value.substr(0, comma)));
    headers.close = headers.close || option == "close";
    headers.keep_alive = headers.keep_alive || option == "keep-alive";
    value.remove_prefix(comma == std::string_view::npos ? value.size() : comma + 1);
  }
}

std::optional<HttpProblem> ReadHeader(std::string_view line, Headers& headers) {
  if (kBlanks.find(line.front()) != std::string_view::npos) {
    return Bad("a header goes on in a second line");
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Bad("a header is not NAME: VALUE");
  }
  const std::string name = Lower(line.substr(0, colon));
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (std::ranges::any_of(value, [](char c) { return IsControl(c) && c != '\t'; })) {
    return Bad("a header has control characters");
  }
  if (name == "host") {
    ++headers.hosts;
  } else if (name == "connection") {
    ReadConnectionOptions(value, headers);
  } else if (name == "transfer-encoding") {
    headers.has_transfer_encoding = true;
  } else if (name == "content-length") {
    if (value.empty() || !std::ranges::all_of(value, IsDigit)) {
      return Bad("the content length is not a number");
    }
    if (headers.content_length.has_value() && *headers.content_length != value) {
      return Bad("two content lengths");
    }
    headers.content_length = std::string(value);
  }
  return std::nullopt;
}

// "/path?query", or the same behind "http://host" (RFC 9112 §3.2.2).
std::optional<HttpProblem> ReadTarget(std::string_view target, HttpRequest& request) {
  if (!std::ranges::all_of(target, IsPrintable)) return Bad("the target is not printable ASCII");
  constexpr std::string_view kScheme = "http://";
  if (Lower(target.substr(0, kScheme.size())) == kScheme) {
    target.remove_prefix(kScheme.size());
    const size_t end = target.find_first_of("/?");
    if (end == 0 || target.empty()) return Bad("the target has no host");
    target = end == std::string_view::npos ? std::string_view() : target.substr(end);
    if (target.empty() || target.front() == '?') {
      request.path = "/";
      request.query = target.empty() ? "" : target.substr(1);
      return std::nullopt;
    }
  }
  if (!target.starts_with('/')) return Bad("the target is not a path");
  const size_t mark = target.find('?');
  std::optional<std::string> path = PercentDecoded(target.substr(0, mark));
  if (!path.has_value()) return Bad("the path has a malformed escape");
  request.path = *std::move(path);
  request.query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  return std::nullopt;
}

// "GET /path HTTP/1.1". Gives the minor version.
std::expected<int, HttpProblem> ReadRequestLine(std::string_view line, HttpRequest& request) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return std::unexpected(Bad("the request line is not METHOD TARGET VERSION"));
  }
  request.method = line.substr(0, first);
  if (!IsToken(request.method) || request.method.size() > kMethodBytesMax) {
    return std::unexpected(Bad("the method is not a word"));
  }
  const std::string_view version = line.substr(last + 1);
  const bool is_version = version.size() == 8 && version.starts_with("HTTP/") &&
                          IsDigit(version[5]) && version[6] == '.' && IsDigit(version[7]);
  if (!is_version) return std::unexpected(Bad("the version is not HTTP/N.N"));
  if (version[5] != '1') return std::unexpected(HttpProblem{505, "HTTP/1.1 is spoken here"});
  if (std::optional<HttpProblem> problem =
          ReadTarget(line.substr(first + 1, last - first - 1), request)) {
    return std::unexpected(*std::move(problem));
  }
  return version[7] - '0';
}

std::expected<HttpRequest, HttpProblem> ParseHead(std::string_view head) {
  const std::vector<std::string_view> lines = SplitLines(head);
  MR_CHECK(!lines.empty());  // Empty lines before it were dropped.
  HttpRequest request;
  std::expected<int, HttpProblem> minor = ReadRequestLine(lines.front(), request);
  if (!minor.has_value()) return std::unexpected(std::move(minor).error());
  if (lines.size() - 1 > HttpRequestReader::kHeadersMax) {
    return std::unexpected(HttpProblem{431, "too many headers"});
  }
  Headers headers;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (std::optional<HttpProblem> problem = ReadHeader(lines[i], headers)) {
      return std::unexpected(*std::move(problem));
    }
  }
  const bool is_old = *minor == 0;
  if (headers.hosts > 1 || (headers.hosts == 0 && !is_old)) {
    return std::unexpected(Bad("a request names its host once"));
  }
  const bool has_length = headers.content_length.has_value() &&
                          headers.content_length->find_first_not_of('0') != std::string::npos;
  if (has_length || headers.has_transfer_encoding) {
    return std::unexpected(HttpProblem{413, "requests with a body are not taken here"});
  }
  request.keep_alive = !headers.close && (!is_old || headers.keep_alive);
  return request;
}

}  // namespace

void HttpRequestReader::Feed(std::string_view bytes) {
  MR_CHECK(bytes.size() <= room());
  buffer_ += bytes;
}

std::expected<std::optional<HttpRequest>, HttpProblem> HttpRequestReader::Next() {
  // Empty lines before a request are passed over (RFC 9112 §2.2).
  const size_t begin = std::min(buffer_.find_first_not_of("\r\n"), buffer_.size());
  if (begin > 0) {
    buffer_.erase(0, begin);
    scanned_ = 0;
  }
  const std::optional<size_t> end = FindHeadEnd(buffer_, scanned_);
  if (!end.has_value()) {
    if (room() == 0) return std::unexpected(HttpProblem{431, "the request's head is too long"});
    scanned_ = buffer_.size() < 2 ? 0 : buffer_.size() - 2;  // "\n\r" may yet be followed by "\n".
    return std::nullopt;
  }
  std::expected<HttpRequest, HttpProblem> request =
      ParseHead(std::string_view(buffer_).substr(0, *end));
  buffer_.erase(0, *end);
  scanned_ = 0;
  if (!request.has_value()) return std::unexpected(std::move(request).error());
  return *std::move(request);
}

}  // namespace millrace

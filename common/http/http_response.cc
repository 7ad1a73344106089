#include "common/http/http_response.h"

#include <fmt/format.h>

#include <charconv>

namespace millrace {

std::string_view HttpReason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string PrintHttpResponse(const HttpResponse& response, bool with_body, bool keep_alive) {
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
      response.status, HttpReason(response.status), response.content_type, response.body.size(),
      keep_alive ? "keep-alive" : "close");
  for (const auto& [name, value] : response.headers) out += fmt::format("{}: {}\r\n", name, value);
  out += "\r\n";
  if (with_body) out += response.body;
  return out;
}

absl::StatusOr<HttpAnswer> ParseHttpAnswer(std::string_view bytes) {
  const size_t head_end = bytes.find("\r\n\r\n");
  if (!bytes.starts_with("HTTP/1.") || bytes.size() < 12 || head_end == std::string_view::npos) {
    return absl::InvalidArgumentError("that was no answer of HTTP/1");
  }
  int status = 0;
  auto [end, error] = std::from_chars(bytes.data() + 9, bytes.data() + 12, status);
  if (error != std::errc() || end != bytes.data() + 12 || status < 100) {
    return absl::InvalidArgumentError("that was no answer of HTTP/1");
  }
  const std::string_view head = bytes.substr(0, head_end);
  const std::string_view body = bytes.substr(head_end + 4);
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  if (const size_t at = head.find(kLength); at != std::string_view::npos) {
    size_t length = 0;
    const char* digits = head.data() + at + kLength.size();
    if (std::from_chars(digits, head.data() + head.size(), length).ec != std::errc()) {
      return absl::InvalidArgumentError("that was no answer of HTTP/1");
    }
    if (body.size() < length) return absl::DataLossError("the answer was cut short");
    return HttpAnswer{status, std::string(body.substr(0, length))};
  }
  return HttpAnswer{status, std::string(body)};
}

}  // namespace millrace

// HttpRequestReader: the bytes of a connection in, HTTP/1.1 requests out. Written for strangers:
// whatever the bytes are, it gives a request, asks for more, or says which status to answer with.
//
// What is served is small on purpose (an admin endpoint, not a web server): requests have no body,
// a head is at most kHeadBytesMax, and what RFC 9112 leaves to tolerance is refused, because two
// readers that guess differently is how requests are smuggled past a proxy.
//
// Pure. Bounds: holds at most kHeadBytesMax bytes; whoever feeds it asks room() first.
// Source: RFC 9110, RFC 9112.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

struct HttpRequest {
  std::string method;       // As written: methods are case-sensitive.
  std::string path;         // Decoded, begins with '/'.
  std::string query;        // What is behind the '?', not decoded.
  bool keep_alive = false;  // Whether the connection may serve another one.

  friend bool operator==(const HttpRequest&, const HttpRequest&) = default;
};

// A request that is answered with `status`; where the next one begins is unknown, so the connection
// ends with it.
struct HttpProblem {
  int status;
  std::string text;

  friend bool operator==(const HttpProblem&, const HttpProblem&) = default;
};

class HttpRequestReader {
 public:
  static constexpr size_t kHeadBytesMax = 8192;
  static constexpr size_t kHeadersMax = 64;

  // How many bytes Feed() takes; at least one unless Next() has something to say.
  size_t room() const { return kHeadBytesMax - buffer_.size(); }
  // REQUIRES: at most room() bytes.
  void Feed(std::string_view bytes);

  // The next request that is complete; nothing while it is not.
  std::expected<std::optional<HttpRequest>, HttpProblem> Next();

  // Nothing of a request has arrived.
  bool empty() const { return buffer_.empty(); }

 private:
  std::string buffer_;
  size_t scanned_ = 0;  // No head ends before here.
};

}  // namespace millrace

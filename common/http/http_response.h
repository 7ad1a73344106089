// HttpResponse: what a server answers, as bytes, and as a client reads it back.
//
// Pure. Source: RFC 9110, RFC 9112.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};  // Beside the usual ones.
};

// "OK", "Not Found", ...; "Status" for one we never answer with.
std::string_view HttpReason(int status);

// The whole answer, or its head alone (the answer to HEAD, which tells the length of what it leaves
// out). Nothing in it may be cached or guessed at.
std::string PrintHttpResponse(const HttpResponse& response, bool with_body, bool keep_alive);

// Status and body of an answer that ended with its connection ("Connection: close").
// Errors: kInvalidArgument: that is no answer of HTTP/1; kDataLoss: it was cut short.
struct HttpAnswer {
  int status;
  std::string body;
};
absl::StatusOr<HttpAnswer> ParseHttpAnswer(std::string_view bytes);

}  // namespace millrace

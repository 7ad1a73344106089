#include "common/http/http_request.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/http/http_response.h"

namespace millrace {
namespace {

using Result = std::expected<std::optional<HttpRequest>, HttpProblem>;

Result Read(std::string_view bytes) {
  HttpRequestReader reader;
  reader.Feed(bytes);
  return reader.Next();
}

// The status of what is refused; 200 for a request, 0 for one that is not complete.
int StatusOf(std::string_view bytes) {
  Result result = Read(bytes);
  if (!result.has_value()) return result.error().status;
  return result->has_value() ? 200 : 0;
}

HttpRequest Good(std::string_view bytes) {
  Result result = Read(bytes);
  REQUIRE(result.has_value());
  REQUIRE(result->has_value());
  return **result;
}

std::string Get(std::string_view headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}

}  // namespace

TEST_CASE("HttpRequestReader: a request as curl sends it") {
  CHECK(Good("GET /metrics?a=b HTTP/1.1\r\nHost: localhost:9644\r\nUser-Agent: curl/8\r\n"
             "Accept: */*\r\n\r\n") == HttpRequest{"GET", "/metrics", "a=b", true});
}

TEST_CASE("HttpRequestReader: whatever the pieces it arrives in, the request is the same") {
  const std::string bytes = "\r\nHEAD /a%20b HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n";
  const HttpRequest whole = Good(bytes);
  CHECK(whole == HttpRequest{"HEAD", "/a b", "", false});
  for (size_t step = 1; step < bytes.size(); ++step) {
    HttpRequestReader reader;
    for (size_t at = 0; at < bytes.size(); at += step) {
      Result before = reader.Next();
      REQUIRE(before.has_value());
      REQUIRE(!before->has_value());
      reader.Feed(std::string_view(bytes).substr(at, step));
    }
    Result result = reader.Next();
    REQUIRE(result.has_value());
    CHECK(*result == whole);
    CHECK(reader.empty());
  }
}

TEST_CASE("HttpRequestReader: requests behind each other are given one by one") {
  HttpRequestReader reader;
  reader.Feed("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3");
  CHECK((*reader.Next())->path == "/1");
  CHECK(**reader.Next() == HttpRequest{"GET", "/2", "", false});
  CHECK(!reader.Next()->has_value());
  CHECK(!reader.empty());
}

TEST_CASE("HttpRequestReader: who keeps the connection, and who does not") {
  CHECK(Good(Get("")).keep_alive);
  CHECK(!Good(Get("Connection: close\r\n")).keep_alive);
  CHECK(!Good(Get("connection: Upgrade , CLOSE\r\n")).keep_alive);
  CHECK(!Good("GET / HTTP/1.0\r\n\r\n").keep_alive);
  CHECK(Good("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

TEST_CASE("HttpRequestReader: targets as proxies write them") {
  CHECK(Good("GET http://a:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n").path == "/x");
  CHECK(Good("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n").path == "/");
  CHECK(Good("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").query == "q");
  for (const char* target : {"x", "*", "http://", "http:///x", "/%", "/%4", "/%zz", "/%00", "/%0a",
                             "/a\x01", "/\xc3\xa4", "a:443"}) {
    CAPTURE(target);
    CHECK(StatusOf("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  }
}

TEST_CASE("HttpRequestReader: what is no request is refused") {
  for (const char* line :
       {"GET", "GET /", "GET / HTTP", "GET / HTTP/1.1 ", "GET / http/1.1", "G\x01T / HTTP/1.1",
        " GET / HTTP/1.1", "GET  HTTP/1.1", "GET /a b HTTP/1.1", "AVERYLONGMETHODNAME / HTTP/1.1",
        "\x16\x03\x01\x02", "GET / HTTP/1.11"}) {
    CAPTURE(line);
    CHECK(StatusOf(std::string(line) + "\r\nHost: a\r\n\r\n") == 400);
  }
  CHECK(StatusOf("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
  CHECK(StatusOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505);
}

TEST_CASE("HttpRequestReader: headers that two readers could read differently are refused") {
  CHECK(StatusOf("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(StatusOf(Get("Host: b\r\n")) == 400);
  CHECK(StatusOf(Get("X : 1\r\n")) == 400);
  CHECK(StatusOf(Get("X\r\n")) == 400);
  CHECK(StatusOf(Get(": 1\r\n")) == 400);
  CHECK(StatusOf(Get("X: 1\r\n folded\r\n")) == 400);
  CHECK(StatusOf(Get("X: 1\rY: 2\r\n")) == 400);
  CHECK(StatusOf(Get(std::string_view("X: \0\r\n", 6))) == 400);
  CHECK(StatusOf(Get("Content-Length: 1\r\nContent-Length: 2\r\n")) == 400);
  CHECK(StatusOf(Get("Content-Length: -1\r\n")) == 400);
  CHECK(StatusOf(Get("Content-Length: +0\r\n")) == 400);
  CHECK(StatusOf(Get("Content-Length:\r\n")) == 400);
  CHECK(StatusOf(Get("X: \xff\xfe\r\n")) == 200);
}

TEST_CASE("HttpRequestReader: a body is not taken") {
  CHECK(StatusOf(Get("Content-Length: 0\r\n")) == 200);
  CHECK(StatusOf(Get("Content-Length: 1\r\n")) == 413);
  CHECK(StatusOf(Get("Content-Length: 99999999999999999999999\r\n")) == 413);
  CHECK(StatusOf(Get("Transfer-Encoding: chunked\r\n")) == 413);
}

TEST_CASE("HttpRequestReader: a head without an end is refused when it is too long") {
  HttpRequestReader reader;
  reader.Feed("GET / HTTP/1.1\r\nX: ");
  CHECK(!reader.Next()->has_value());
  reader.Feed(std::string(reader.room(), 'x'));
  CHECK(reader.room() == 0);
  Result result = reader.Next();
  REQUIRE(!result.has_value());
  CHECK(result.error().status == 431);

  std::string headers;
  for (size_t i = 0; i < HttpRequestReader::kHeadersMax; ++i) headers += "X: 1\r\n";
  CHECK(StatusOf(Get(headers)) == 431);
  // Nor are empty lines a way to send for ever without being counted: none is kept.
  HttpRequestReader lines;
  for (int i = 0; i < 3; ++i) {
    lines.Feed(std::string(lines.room(), '\n'));
    CHECK(!lines.Next()->has_value());
    CHECK(lines.empty());
  }
}

TEST_CASE("HttpResponse: a client reads what a server printed") {
  HttpResponse response{503, "text/plain", "starting\n", {{"Retry-After", "1"}}};
  const std::string bytes = PrintHttpResponse(response, /*with_body=*/true, /*keep_alive=*/false);
  absl::StatusOr<HttpAnswer> answer = ParseHttpAnswer(bytes);
  REQUIRE(answer.ok());
  CHECK(answer->status == 503);
  CHECK(answer->body == "starting\n");
  CHECK(bytes.find("\r\nRetry-After: 1\r\n") != std::string::npos);
  const std::string head = PrintHttpResponse(response, /*with_body=*/false, /*keep_alive=*/true);
  CHECK(head.find("Content-Length: 9\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    CHECK(!ParseHttpAnswer(bytes.substr(0, cut)).ok());
  CHECK(!ParseHttpAnswer("SSH-2.0-OpenSSH\r\n\r\n").ok());
}

}  // namespace millrace

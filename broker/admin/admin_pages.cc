#include "broker/admin/admin_pages.h"

#include <string>
#include <string_view>
#include <utility>

namespace millrace {
namespace {

constexpr std::string_view kIndex =
    "Millrace\n"
    "\n"
    "  /livez    the process runs\n"
    "  /readyz   it serves clients\n"
    "  /status   who it is and what it leads (JSON)\n"
    "  /metrics  Prometheus\n";

HttpResponse Text(int status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(text);
  return response;
}

}  // namespace

Task<HttpResponse> AdminPages::Handle(HttpRequest request) {
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = Text(405, "GET and HEAD are served here\n");
    response.headers.emplace_back("Allow", "GET, HEAD");
    co_return response;
  }
  if (request.path == "/") co_return Text(200, std::string(kIndex));
  if (request.path == "/livez") co_return Text(200, "alive\n");
  if (request.path == "/readyz") {
    const NodeStatus status = source_.Status();
    co_return Text(status.ready() ? 200 : 503, NodeStatusLine(status) + "\n");
  }
  if (request.path == "/status") {
    HttpResponse response = Text(200, NodeStatusJson(source_.Status()));
    response.content_type = "application/json";
    co_return response;
  }
  if (request.path == "/metrics") {
    HttpResponse response = Text(200, RenderPrometheus(co_await source_.Metrics()));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    co_return response;
  }
  co_return Text(404, "no such page; / lists them\n");
}

}  // namespace millrace

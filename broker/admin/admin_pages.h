// AdminPages: what the admin endpoint answers, page by page.
//
//   /livez    200 while the process runs its loop: restart it when this fails
//   /readyz   200 while clients may be sent here, else 503 and why
//   /status   the same and more, as JSON (node_status.h)
//   /metrics  Prometheus' text format, all shards added up
//   /         which pages there are
//
// GET and HEAD are served; every page only reads. There is no authentication: who may see them is
// decided by where the endpoint listens (millrace.admin.listeners).
//
// Shard:    one, that of its HttpServer.
// Lifetime: `source` outlives it.
#pragma once

#include "broker/admin/http_server.h"
#include "broker/admin/node_status.h"
#include "common/metrics/metrics.h"
#include "common/runtime/task.h"

namespace millrace {

// Where the pages get what they show.
class AdminSource {
 public:
  virtual ~AdminSource() = default;
  virtual NodeStatus Status() const = 0;
  virtual Task<MetricSnapshot> Metrics() = 0;
};

class AdminPages final : public HttpHandler {
 public:
  explicit AdminPages(AdminSource& source) : source_(source) {}
  Task<HttpResponse> Handle(HttpRequest request) override;

 private:
  AdminSource& source_;
};

}  // namespace millrace

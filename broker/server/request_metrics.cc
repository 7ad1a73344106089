#include "broker/server/request_metrics.h"

#include <string>

#include "proto/kafka/header.h"

namespace millrace {

RequestMetrics::Api& RequestMetrics::Of(int16_t api_key) {
  std::unique_ptr<Api>& api = apis_[api_key];
  if (api != nullptr) return *api;
  api = std::make_unique<Api>();
  const std::string name(kafka::FindApi(api_key)->name);
  registry_.Add({"millrace_request_seconds",
                 "From a request's last byte to its answer, waiting included (Kafka: TotalTimeMs).",
                 {{"api", name}}},
                &api->taken);
  registry_.Add({"millrace_request_bytes_total",
                 "Bytes of requests (Kafka: BytesInPerSec, and more).",
                 {{"api", name}}},
                &api->request_bytes);
  registry_.Add({"millrace_reply_bytes_total",
                 "Bytes of answers (Kafka: BytesOutPerSec, and more).",
                 {{"api", name}}},
                &api->reply_bytes);
  return *api;
}

void RequestMetrics::Count(int16_t api_key, Duration taken, size_t request_bytes,
                           size_t reply_bytes) {
  Api& api = Of(api_key);
  api.taken.Observe(taken);
  api.request_bytes.Add(request_bytes);
  api.reply_bytes.Add(reply_bytes);
}

}  // namespace millrace

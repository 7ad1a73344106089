#include "broker/node/dispatcher.h"

#include <fmt/format.h>

#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/api_table.h"
#include "broker/replication_door.h"
#include "common/check.h"
#include "proto/kafka/api_versions_response.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"
#include "replication/replication_hello.h"

namespace millrace {
namespace {

constexpr int16_t kApiVersionsKey = 18;

// The answer to an ApiVersions request of a version nobody knows yet: version 0, the one entry for
// itself.
ApiReply UnknownApiVersions(ApiRequest& request) {
  const ApiEntry* self = FindServedApi(kApiVersionsKey, request.connection->kind);
  kafka::ApiVersionsResponse response;
  response.error_code = ErrorCode(kafka::KafkaError::kUnsupportedVersion);
  response.api_keys.push_back({kApiVersionsKey, self->min_advertised, self->max_version});
  request.version = 0;
  return Reply(request, response);
}

// The reader keeps the frame alive: it must be gone before a handler waits.
absl::StatusOr<kafka::RequestHeader> DecodeHeader(const Slice& frame, size_t* body_bytes) {
  kafka::Reader reader(frame);
  absl::StatusOr<kafka::RequestHeader> header = kafka::DecodeRequestHeader(reader);
  *body_bytes = reader.left();
  return header;
}

}  // namespace

Task<ApiReply> Dispatcher::Handle(Slice frame, std::shared_ptr<ConnectionContext> connection,
                                  std::shared_ptr<RequestOrder> order, CancellationToken cancel,
                                  CancellationToken drain) {
  if (broker_ != nullptr && broker_->replication != nullptr && IsReplicationHello(frame.span())) {
    co_return broker_->replication->Answer(frame, *connection);
  }
  size_t body_bytes = 0;
  absl::StatusOr<kafka::RequestHeader> header = DecodeHeader(frame, &body_bytes);
  if (!header.ok()) co_return ApiReply::Close(std::string(header.status().message()));
  ApiRequest request;
  request.api_key = header->request_api_key;
  request.version = header->request_api_version;
  request.correlation_id = header->correlation_id;
  request.client_id = std::move(header->client_id);
  request.received = admin_.env.reactor.Now();
  request.connection = std::move(connection);
  request.order = std::move(order);
  request.cancel = cancel;
  request.drain = drain;

  const ApiEntry* api = FindServedApi(request.api_key, request.connection->kind);
  if (api == nullptr) {
    co_return ApiReply::Close(fmt::format("API key {} is not served", request.api_key));
  }
  if (request.version < api->min_version || request.version > api->max_version) {
    if (request.api_key == kApiVersionsKey) co_return UnknownApiVersions(request);
    co_return ApiReply::Close(fmt::format("{} v{} is not served, {} to {} are",
                                          kafka::FindApi(request.api_key)->name, request.version,
                                          api->min_version, api->max_version));
  }
  const int16_t api_key = request.api_key;
  const Instant received = request.received;
  const size_t request_bytes = frame.size();
  request.body = frame.From(frame.size() - body_bytes);
  frame = Slice();  // From here on the handler alone says how long the receive buffer is kept.
  ApiReply reply = co_await Answer(api, std::move(request));
  metrics_.Count(api_key, admin_.env.reactor.Now() - received, request_bytes, reply.body.size());
  co_return reply;
}

Task<ApiReply> Dispatcher::Answer(const ApiEntry* api, ApiRequest request) {
  if (api->by == AnsweredBy::kActiveController) {
    co_return co_await AskController(&shards_, admin_.env.reactor.shard(), &controller_, &copies_,
                                     std::move(request));
  }
  if (api->admin_handler != nullptr) {
    co_return co_await api->admin_handler(&admin_, std::move(request));
  }
  MR_CHECK(broker_ != nullptr);  // A node without one has no listener of that kind.
  co_return co_await api->broker_handler(broker_, std::move(request));
}

}  // namespace millrace

// FakeBroker: a broker for tests of the client, on the simulated network: it answers what the test
// says, and counts what was asked.
//
// Shard: one. Lifetime: `env` outlives it; Stop() before destruction.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/endian.h"
#include "common/env.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/api_versions_request.h"
#include "proto/kafka/api_versions_response.h"
#include "proto/kafka/header.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"

namespace millrace {

class FakeBroker {
 public:
  FakeBroker(Env& env, SocketAddress address)
      : env_(env), address_(std::move(address)), scope_(env.reactor) {}

  // From now on answers `Request`, up to `max_version`; nothing is sent where `answer` says nothing
  // (the connection is closed then).
  template <typename Request, typename Response>
  void On(std::function<std::optional<Response>(const Request&)> answer,
          int16_t max_version = Request::kMaxVersion) {
    Api& api = apis_[Request::kApiKey];
    api.min = Request::kMinVersion;
    api.max = max_version;
    api.answer = [answer = std::move(answer)](kafka::Reader& in, int16_t version,
                                              int32_t correlation) -> std::optional<Chain> {
      Request request;
      request.Decode(in, version);
      MR_CHECK(in.Finish().ok());
      std::optional<Response> response = answer(request);
      if (!response.has_value()) return std::nullopt;
      return *kafka::EncodeResponse(*response, version, correlation);
    };
  }

  // Metadata of one topic whose partitions `leader` says who leads (-1: nobody).
  void ServeTopic(std::string name, int32_t partitions, std::function<int32_t()> leader,
                  std::map<int32_t, SocketAddress> brokers) {
    On<kafka::MetadataRequest, kafka::MetadataResponse>(
        [=](const kafka::MetadataRequest&) -> std::optional<kafka::MetadataResponse> {
          kafka::MetadataResponse response;
          for (const auto& [id, address] : brokers) {
            response.brokers.push_back({id, address.host, address.port, std::nullopt});
          }
          kafka::MetadataResponse::MetadataResponseTopic topic;
          topic.name = name;
          topic.topic_id = Uuid(1, 2);
          for (int32_t i = 0; i < partitions; ++i) {
            kafka::MetadataResponse::MetadataResponsePartition partition;
            partition.partition_index = i;
            partition.leader_id = leader();
            topic.partitions.push_back(partition);
          }
          response.topics.push_back(std::move(topic));
          return response;
        });
  }

  // What ApiVersions itself is answered in; a newer request gets version 0 and an error (KIP-511).
  int16_t api_versions_max = kafka::ApiVersionsRequest::kMaxVersion;
  int connections = 0;
  std::vector<std::string> asked;  // "<API> v<version>", in order.

  Task<absl::Status> Start() {
    absl::StatusOr<std::unique_ptr<Listener>> listener = co_await env_.network.Listen(address_, {});
    if (!listener.ok()) co_return listener.status();
    listener_ = *std::move(listener);
    scope_.Spawn(AcceptLoop());
    co_return absl::OkStatus();
  }

  Task<void> Stop() {
    listener_->Shutdown();
    for (std::unique_ptr<Connection>& connection : connections_) connection->Shutdown();
    co_await scope_.Stop();
    for (std::unique_ptr<Connection>& connection : connections_) co_await connection->Close();
    connections_.clear();
    co_await listener_->Close();
  }

 private:
  struct Api {
    int16_t min = 0;
    int16_t max = 0;
    std::function<std::optional<Chain>(kafka::Reader&, int16_t, int32_t)> answer;
  };

  Task<void> AcceptLoop() {
    for (;;) {
      absl::StatusOr<std::unique_ptr<Connection>> connection = co_await listener_->Accept();
      if (!connection.ok()) co_return;
      ++connections;
      connections_.push_back(*std::move(connection));
      scope_.Spawn(Serve(connections_.back().get()));
    }
  }

  Task<void> Serve(Connection* connection) {
    for (;;) {
      absl::StatusOr<MutableBuffer> size =
          co_await connection->ReceiveExactly(MutableBuffer(4), 0, 4);
      if (!size.ok()) co_return;
      const auto length = LoadBig<uint32_t>(size->data());
      absl::StatusOr<MutableBuffer> body =
          co_await connection->ReceiveExactly(MutableBuffer(length), 0, length);
      if (!body.ok()) co_return;
      std::optional<Chain> answer = Answer(std::move(*body).Freeze(length));
      if (!answer.has_value() || !(co_await connection->Send(*std::move(answer))).ok()) {
        connection->Shutdown();
        co_return;
      }
    }
  }

  std::optional<Chain> Answer(Slice frame) {
    kafka::Reader in(std::move(frame));
    absl::StatusOr<kafka::RequestHeader> header = kafka::DecodeRequestHeader(in);
    MR_CHECK(header.ok());
    const int16_t version = header->request_api_version;
    asked.push_back(fmt::format("{} v{}", kafka::FindApi(header->request_api_key)->name, version));
    if (header->request_api_key == kafka::ApiVersionsRequest::kApiKey) {
      return Versions(version, header->correlation_id);
    }
    const Api& api = apis_.at(header->request_api_key);
    MR_CHECK(version >= api.min);
    MR_CHECK(version <= api.max);
    return api.answer(in, version, header->correlation_id);
  }

  Chain Versions(int16_t version, int32_t correlation) {
    kafka::ApiVersionsResponse response;
    response.api_keys.push_back({kafka::ApiVersionsRequest::kApiKey, 0, api_versions_max});
    if (version > api_versions_max) {
      response.error_code = CodeOf(kafka::KafkaError::kUnsupportedVersion);
      return *kafka::EncodeResponse(response, 0, correlation);
    }
    for (const auto& [key, api] : apis_) response.api_keys.push_back({key, api.min, api.max});
    return *kafka::EncodeResponse(response, version, correlation);
  }

  Env& env_;
  const SocketAddress address_;
  TaskScope scope_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::map<int16_t, Api> apis_;
};

}  // namespace millrace

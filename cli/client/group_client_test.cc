#include "cli/client/group_client.h"

#include <catch2/catch.hpp>

#include "cli/client/fake_broker_test_tools.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/delete_groups_request.h"
#include "proto/kafka/delete_groups_response.h"
#include "proto/kafka/find_coordinator_request.h"
#include "proto/kafka/find_coordinator_response.h"
#include "proto/kafka/offset_fetch_request.h"
#include "proto/kafka/offset_fetch_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

const SocketAddress kFirst{"one", 9092};
const SocketAddress kSecond{"two", 9092};

KafkaClientOptions Options() {
  KafkaClientOptions options;
  options.bootstrap = {kFirst};
  return options;
}

// Two brokers, of which the first says who coordinates, and a client.
struct Cluster {
  Cluster()
      : world(7),
        first_env(world.AddNode("one").Boot()),
        second_env(world.AddNode("two").Boot()),
        client_env(world.AddNode("client").Boot()),
        first(first_env, kFirst),
        second(second_env, kSecond),
        client(client_env, Options()),
        groups(client) {}

  // `coordinator`: of every group, or the error that there is none.
  void Start(std::function<std::variant<SocketAddress, KafkaError>()> coordinator,
             int16_t find_max = kafka::FindCoordinatorRequest::kMaxVersion) {
    first.On<kafka::FindCoordinatorRequest, kafka::FindCoordinatorResponse>(
        [coordinator, find_max](const kafka::FindCoordinatorRequest& request)
            -> std::optional<kafka::FindCoordinatorResponse> {
          kafka::FindCoordinatorResponse response;
          const auto found = coordinator();
          const auto* at = std::get_if<SocketAddress>(&found);
          const int32_t id = at == nullptr ? -1 : *at == kFirst ? 1 : 2;
          const int16_t code =
              at == nullptr ? static_cast<int16_t>(std::get<KafkaError>(found)) : int16_t{0};
          const SocketAddress address = at == nullptr ? SocketAddress{"", 0} : *at;
          if (find_max < 4) {
            response.error_code = code;
            response.node_id = id;
            response.host = address.host;
            response.port = address.port;
          }
          for (const std::string& key : request.coordinator_keys) {
            response.coordinators.push_back(
                {key, id, address.host, address.port, code, std::nullopt});
          }
          return response;
        },
        find_max);
    REQUIRE(world.Run(first_env, first.Start()).ok());
    REQUIRE(world.Run(second_env, second.Start()).ok());
  }
  void Stop() {
    world.Run(client_env, client.Stop());
    world.Run(first_env, first.Stop());
    world.Run(second_env, second.Stop());
  }
  Instant In(Duration duration) { return world.Now() + duration; }
  absl::Status Delete(const std::string& group, Duration timeout = seconds(30)) {
    return world.Run(client_env, groups.DeleteGroup(group, In(timeout)));
  }

  SimWorld world;
  Env& first_env;
  Env& second_env;
  Env& client_env;
  FakeBroker first;
  FakeBroker second;
  KafkaClient client;
  GroupClient groups;
};

void AnswerDelete(FakeBroker& broker, std::function<KafkaError()> code) {
  broker.On<kafka::DeleteGroupsRequest, kafka::DeleteGroupsResponse>(
      [code](
          const kafka::DeleteGroupsRequest& request) -> std::optional<kafka::DeleteGroupsResponse> {
        kafka::DeleteGroupsResponse response;
        response.results.push_back(
            {request.groups_names.at(0), static_cast<int16_t>(code()), std::nullopt});
        return response;
      });
}

}  // namespace

TEST_CASE("GroupClient: follows the coordinator to another broker, and waits until it has loaded") {
  Cluster cluster;
  SocketAddress coordinator = kFirst;
  int loading = 3;
  AnswerDelete(cluster.first, [&] {
    coordinator = kSecond;
    return KafkaError::kNotCoordinator;
  });
  AnswerDelete(cluster.second, [&] {
    return loading-- > 0 ? KafkaError::kCoordinatorLoadInProgress : KafkaError::kNone;
  });
  cluster.Start([&] { return coordinator; });
  CHECK(cluster.Delete("g").ok());
  CHECK(loading == -1);
  cluster.Stop();
}

TEST_CASE("GroupClient: a coordinator that is not there yet is asked for until the deadline") {
  Cluster cluster;
  int asked = 0;
  AnswerDelete(cluster.first, [] { return KafkaError::kNone; });
  cluster.Start([&]() -> std::variant<SocketAddress, KafkaError> {
    if (++asked < 4) return KafkaError::kCoordinatorNotAvailable;
    return kFirst;
  });
  CHECK(cluster.Delete("g").ok());
  CHECK(asked == 4);
  CHECK(cluster.Delete("g").ok());
  CHECK(asked == 4);  // It is remembered.
  asked = -1'000'000;
  CHECK(absl::IsDeadlineExceeded(cluster.Delete("other", seconds(2))));
  cluster.Stop();
}

TEST_CASE("GroupClient: what the coordinator refuses is not tried again") {
  Cluster cluster;
  int asked = 0;
  AnswerDelete(cluster.first, [&] {
    ++asked;
    return KafkaError::kNonEmptyGroup;
  });
  cluster.Start([] { return kFirst; });
  const absl::Status refused = cluster.Delete("g");
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(std::string(refused.message()).starts_with("NON_EMPTY_GROUP"));
  CHECK(asked == 1);
  cluster.Stop();
}

TEST_CASE("GroupClient: coordinators of many groups are found with one request") {
  Cluster cluster;
  int asked = 0;
  cluster.Start([&] {
    ++asked;
    return kFirst;
  });
  CHECK(cluster.world
            .Run(cluster.client_env,
                 cluster.groups.FindCoordinators({"a", "b", "c"}, cluster.In(seconds(5))))
            .ok());
  CHECK(asked == 1);
  CHECK(
      cluster.world.Run(cluster.client_env, cluster.groups.Coordinator("c", cluster.In(seconds(5))))
          .value() == BrokerId(1));
  CHECK(asked == 1);
  cluster.Stop();
}

TEST_CASE("GroupClient: positions are asked of old brokers and new ones, by the names of topics") {
  for (const int16_t version : {int16_t{7}, int16_t{9}, int16_t{10}}) {
    CAPTURE(version);
    Cluster cluster;
    cluster.first.On<kafka::OffsetFetchRequest, kafka::OffsetFetchResponse>(
        [version](
            const kafka::OffsetFetchRequest& request) -> std::optional<kafka::OffsetFetchResponse> {
          kafka::OffsetFetchResponse response;
          if (version < 8) {
            response.topics.emplace_back();
            response.topics[0].name = "t";
            response.topics[0].partitions.resize(2);
            response.topics[0].partitions[0].committed_offset = 5;
            response.topics[0].partitions[1].committed_offset = -1;
            return response;
          }
          response.groups.emplace_back();
          response.groups[0].group_id = request.groups.at(0).group_id;
          response.groups[0].topics.emplace_back();
          response.groups[0].topics[0].name = "t";
          response.groups[0].topics[0].partitions.resize(2);
          response.groups[0].topics[0].partitions[0].committed_offset = 5;
          response.groups[0].topics[0].partitions[1].committed_offset = -1;
          return response;
        },
        version);
    cluster.Start([] { return kFirst; }, version < 8 ? int16_t{3} : int16_t{6});
    absl::StatusOr<CommittedPositions> offsets = cluster.world.Run(
        cluster.client_env, cluster.groups.FetchCommitted("g", cluster.In(seconds(5))));
    REQUIRE(offsets.ok());
    REQUIRE(offsets->size() == 1);
    CHECK(offsets->at({"t", PartitionId(0)}).offset == Offset(5));
    cluster.Stop();
  }
}

}  // namespace millrace

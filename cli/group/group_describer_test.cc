#include "cli/group/group_describer.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "cli/client/fake_broker_test_tools.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/describe_groups_request.h"
#include "proto/kafka/describe_groups_response.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/find_coordinator_request.h"
#include "proto/kafka/find_coordinator_response.h"
#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"
#include "proto/kafka/offset_fetch_request.h"
#include "proto/kafka/offset_fetch_response.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

const SocketAddress kAddress{"one", 9092};
constexpr int64_t kEnd = 10;

KafkaClientOptions Options() {
  KafkaClientOptions options;
  options.bootstrap = {kAddress};
  return options;
}

// A broker with a topic t of two partitions, in which each group is at `position`, and a client.
struct Cluster {
  Cluster()
      : world(7),
        broker_env(world.AddNode("one").Boot()),
        client_env(world.AddNode("client").Boot()),
        broker(broker_env, kAddress),
        client(client_env, Options()),
        groups(client) {
    broker.ServeTopic("t", 2, [] { return 1; }, {{1, kAddress}});
    ServeGroups();
    broker.On<kafka::ListOffsetsRequest, kafka::ListOffsetsResponse>(
        [this](const kafka::ListOffsetsRequest& request) { return List(request); });
    broker.On<kafka::FetchRequest, kafka::FetchResponse>(
        [this](const kafka::FetchRequest& request) { return Fetch(request); });
    REQUIRE(world.Run(broker_env, broker.Start()).ok());
  }
  ~Cluster() {
    world.Run(client_env, client.Stop());
    world.Run(broker_env, broker.Stop());
  }

  void ServeGroups() {
    broker.On<kafka::FindCoordinatorRequest, kafka::FindCoordinatorResponse>(
        [](const kafka::FindCoordinatorRequest& request) {
          kafka::FindCoordinatorResponse response;
          for (const std::string& key : request.coordinator_keys) {
            response.coordinators.push_back(
                {key, 1, kAddress.host, kAddress.port, 0, std::nullopt});
          }
          return std::optional(response);
        });
    broker.On<kafka::DescribeGroupsRequest, kafka::DescribeGroupsResponse>(
        [](const kafka::DescribeGroupsRequest& request) {
          kafka::DescribeGroupsResponse response;
          auto& group = response.groups.emplace_back();
          group.group_id = request.groups.at(0);
          group.group_state = "Empty";
          group.protocol_type = "consumer";
          return std::optional(response);
        });
    broker.On<kafka::OffsetFetchRequest, kafka::OffsetFetchResponse>(
        [this](const kafka::OffsetFetchRequest& request) {
          kafka::OffsetFetchResponse response;
          auto& group = response.groups.emplace_back();
          group.group_id = request.groups.at(0).group_id;
          auto& topic = group.topics.emplace_back();
          topic.name = "t";
          topic.partitions.resize(2);
          for (int32_t i = 0; i < 2; ++i) {
            topic.partitions[i].partition_index = i;
            topic.partitions[i].committed_offset = position;
          }
          return std::optional(response);
        },
        kafka::OffsetFetchRequest::kMaxVersion - 1);  // Behind that, topics have ids.
  }
  std::optional<kafka::ListOffsetsResponse> List(const kafka::ListOffsetsRequest& request) const {
    kafka::ListOffsetsResponse response;
    for (const auto& asked : request.topics) {
      auto& topic = response.topics.emplace_back();
      topic.name = asked.name;
      for (const auto& one : asked.partitions) {
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = one.partition_index;
        partition.offset = one.timestamp == -1 ? kEnd : 0;
        if (one.timestamp != -1 && !knows_starts) {
          partition.error_code = CodeOf(kafka::KafkaError::kNotLeaderOrFollower);
        }
      }
    }
    return response;
  }
  std::optional<kafka::FetchResponse> Fetch(const kafka::FetchRequest& request) const {
    BatchBuilderOptions options;
    options.base_offset = Offset(request.topics.at(0).partitions.at(0).fetch_offset);
    BatchBuilder builder(options);
    builder.Append(written, std::nullopt, std::nullopt);
    kafka::FetchResponse response;
    auto& topic = response.responses.emplace_back();
    topic.topic_id = request.topics.at(0).topic_id;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = request.topics.at(0).partitions.at(0).partition;
    partition.records.emplace().Append(builder.Build()->bytes());
    return response;
  }

  DescribedGroups Ask(std::vector<std::string> ids) {
    absl::StatusOr<DescribedGroups> described =
        world.Run(client_env,
                  AskGroups(groups, std::move(ids), GroupDetail::kAges, world.Now() + seconds(5)));
    REQUIRE(described.ok());
    return *described;
  }
  size_t fetches() const {
    return static_cast<size_t>(std::ranges::count_if(
        broker.asked, [](const std::string& what) { return what.starts_with("Fetch "); }));
  }

  SimWorld world;
  Env& broker_env;
  Env& client_env;
  FakeBroker broker;
  KafkaClient client;
  GroupClient groups;
  int64_t position = 4;
  bool knows_starts = true;
  Timestamp written{0};
};

}  // namespace

TEST_CASE("GroupDescriber: records that several groups wait for are asked for once") {
  Cluster cluster;
  cluster.written = Timestamp(cluster.client_env.clock.Now().ms() - 60'000);
  const DescribedGroups described = cluster.Ask({"a", "b", "c"});
  REQUIRE(described.size() == 3);
  for (const auto& [id, group] : described) {
    REQUIRE(group.ok());
    CHECK(group->total_lag() == 12);
    REQUIRE(group->age_max().has_value());
    CHECK(*group->age_max() >= seconds(60));
    CHECK(*group->age_max() < seconds(65));
  }
  CHECK(cluster.fetches() == 2);
}

TEST_CASE("GroupDescriber: where nobody tells ages there are positions and ends all the same") {
  Cluster cluster;
  cluster.knows_starts = false;
  const DescribedGroups described = cluster.Ask({"a"});
  REQUIRE(described.at("a").ok());
  const GroupDescription& group = *described.at("a");
  CHECK(group.total_lag() == 12);
  CHECK(!group.age_max().has_value());
}

TEST_CASE("GroupDescriber: of what is read to its end no record is asked for") {
  Cluster cluster;
  cluster.position = kEnd;
  const DescribedGroups described = cluster.Ask({"a"});
  REQUIRE(described.at("a").ok());
  CHECK(described.at("a")->age_max() == Duration(0));
  CHECK(described.at("a")->partitions.at(0).age == Duration(0));
  CHECK(cluster.fetches() == 0);
}

}  // namespace millrace

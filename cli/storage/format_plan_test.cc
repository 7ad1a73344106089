#include "cli/storage/format_plan.h"

#include <catch2/catch.hpp>

#include "controller/image/feature_levels.h"

namespace millrace {
namespace {

const DirectoryId kDirectory(7, 7000);
const DirectoryId kOther(8, 8000);

BrokerConfig Config(std::vector<ConfigSetting> settings) {
  for (ConfigSetting& setting : settings) setting.where = "test";
  BrokerConfigResult result = BuildBrokerConfig(settings, /*strict=*/false);
  for (const std::string& error : result.report.errors) UNSCOPED_INFO(error);
  REQUIRE(result.config.has_value());
  return *std::move(result.config);
}

BrokerConfig Dynamic() {
  return Config({{"process.roles", "broker,controller", ""},
                 {"node.id", "2", ""},
                 {"listeners", "PLAINTEXT://:9092,CONTROLLER://h2:9093", ""},
                 {"controller.listener.names", "CONTROLLER", ""},
                 {"controller.quorum.bootstrap.servers", "h2:9093", ""}});
}

FormatRequest Request() {
  FormatRequest request;
  request.cluster_id = "abc";
  return request;
}

std::string Refusal(const FormatRequest& request, const BrokerConfig& config) {
  return std::string(PlanFormat(request, config, kDirectory).status().message());
}

}  // namespace

TEST_CASE("FormatPlan: a configuration that names no quorum makes a node of its own") {
  absl::StatusOr<FormatPlan> plan = PlanFormat(Request(), Config({}), kDirectory);
  REQUIRE(plan.ok());
  CHECK(plan->bootstrap.quorum == InitialQuorum::kVoters);
  CHECK(plan->bootstrap.voters ==
        std::vector<InitialVoter>{{BrokerId(1), kDirectory, {"127.0.0.1", 9093}}});
  CHECK(!plan->metadata_directory.has_value());
  CHECK(plan->bootstrap.features.at("metadata.version") == kMetadataVersionLatest);
  CHECK(plan->bootstrap.features.at("kraft.version") == 1);
}

TEST_CASE("FormatPlan: with controller.quorum.voters the quorum is what they say") {
  BrokerConfig config = Config({{"process.roles", "broker,controller", ""},
                                {"node.id", "1", ""},
                                {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093", ""},
                                {"controller.listener.names", "CONTROLLER", ""},
                                {"controller.quorum.voters", "1@a:9093", ""}});
  absl::StatusOr<FormatPlan> plan = PlanFormat(Request(), config, kDirectory);
  REQUIRE(plan.ok());
  CHECK(plan->bootstrap.quorum == InitialQuorum::kStatic);
  CHECK(!plan->bootstrap.features.contains("kraft.version"));
  FormatRequest request = Request();
  request.standalone = true;
  CHECK(Refusal(request, config).starts_with("You cannot specify --standalone"));
  request = Request();
  request.features = {"kraft.version=1"};
  CHECK(Refusal(request, config).starts_with("kraft.version 1 needs"));
}

TEST_CASE("FormatPlan: a controller of a dynamic quorum is asked how it begins") {
  CHECK(Refusal(Request(), Dynamic())
            .starts_with("Because controller.quorum.voters is not set on this controller"));
  FormatRequest request = Request();
  request.standalone = true;
  absl::StatusOr<FormatPlan> plan = PlanFormat(request, Dynamic(), kDirectory);
  REQUIRE(plan.ok());
  CHECK(plan->bootstrap.voters ==
        std::vector<InitialVoter>{{BrokerId(2), kDirectory, {"h2", 9093}}});

  request.no_initial_controllers = true;
  CHECK(Refusal(request, Dynamic()).starts_with("Only one of"));
  request.standalone = false;
  CHECK(PlanFormat(request, Dynamic(), kDirectory)->bootstrap.quorum == InitialQuorum::kNone);
}

TEST_CASE("FormatPlan: --initial-controllers says which directory id this node gets") {
  FormatRequest request = Request();
  request.initial_controllers =
      "1@h1:9093:" + kOther.ToString() + ",2@h2:9093:" + kDirectory.ToString();
  absl::StatusOr<FormatPlan> plan = PlanFormat(request, Dynamic(), kOther);
  REQUIRE(plan.ok());
  CHECK(plan->bootstrap.voters.size() == 2);
  CHECK(plan->metadata_directory == kDirectory);
  request.initial_controllers = "1@h1:9093:" + kOther.ToString();
  CHECK(Refusal(request, Dynamic()).find("not among them") != std::string::npos);
  request.initial_controllers = "nonsense";
  CHECK(Refusal(request, Dynamic()).starts_with("--initial-controllers: nonsense is not"));
}

TEST_CASE("FormatPlan: features of a new cluster") {
  FormatRequest request = Request();
  request.release_version = "3.9";
  CHECK(InitialFeatures(request, /*has_static_voters=*/true)->at("metadata.version") == 21);
  request.release_version = "4.0-IV1";
  CHECK(InitialFeatures(request, true)->at("metadata.version") == 23);
  CHECK(!InitialFeatures(request, true)->contains("eligible.leader.replicas.version"));
  request.release_version = "4";
  CHECK(!InitialFeatures(request, true).ok());
  request.release_version.reset();
  CHECK(InitialFeatures(request, true)->at("eligible.leader.replicas.version") == 1);
  request.features = {"eligible.leader.replicas.version=0"};
  CHECK(!InitialFeatures(request, true)->contains("eligible.leader.replicas.version"));
  for (const char* wrong : {"x=1", "metadata.version", "metadata.version=", "metadata.version=1000",
                            "metadata.version=-1", "kraft.version=2", "metadata.version=3x"}) {
    CAPTURE(wrong);
    request.features = {wrong};
    CHECK(absl::IsInvalidArgument(InitialFeatures(request, true).status()));
  }
  request.features = {"metadata.version=20", "metadata.version=21"};
  CHECK(!InitialFeatures(request, true).ok());
}

TEST_CASE("FormatPlan: a cluster id that would break a line of meta.properties is refused") {
  CHECK(CheckClusterId("5L6g3nShT-eMCtK--X86sw").ok());
  for (const std::string& id :
       {std::string(), std::string("a b"), std::string("a\nb"), std::string(256, 'x')}) {
    CHECK(!CheckClusterId(id).ok());
  }
}

}  // namespace millrace

#include "broker/coordinator/coordinator_loader.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

// Keeps what it is given: key=value, or key alone for a tombstone.
class Heard final : public CoordinatorMachine {
 public:
  absl::Status Load(std::span<const uint8_t> key, std::optional<std::span<const uint8_t>> value,
                    CoordinatorTime) override {
    std::string said(key.begin(), key.end());
    if (said == "bad") return absl::InvalidArgumentError("it is bad");
    if (value.has_value()) said += "=" + std::string(value->begin(), value->end());
    loaded.push_back(std::move(said));
    return absl::OkStatus();
  }
  void OnLoaded(CoordinatorTime) override {}
  Instant deadline() const override { return Instant::Max(); }
  std::vector<CoordinatorRecord> OnTime(CoordinatorTime) override { return {}; }
  std::vector<CoordinatorRecord> OnTopicsDeleted(const std::vector<DeletedTopic>&,
                                                 CoordinatorTime) override {
    return {};
  }
  void Dismiss() override {}

  std::vector<std::string> loaded;
};

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct World {
  SimWorld sim{1};
  Env& env = sim.AddNode("n1").Boot();
  Chain log;
  Offset next{0};

  void Add(BatchBuilderOptions options,
           const std::vector<std::pair<std::string, std::optional<std::string>>>& records) {
    options.base_offset = next;
    options.leader_epoch = LeaderEpoch(0);
    BatchBuilder builder(options);
    for (const auto& [key, value] : records) {
      builder.Append(Timestamp(1), Bytes(key),
                     value.has_value() ? std::optional(Bytes(*value)) : std::nullopt);
    }
    absl::StatusOr<BatchView> batch = builder.Build();
    REQUIRE(batch.ok());
    next = batch->header().next_offset();
    log.Append(batch->bytes());
  }
  void AddMarker(ProducerId producer, bool commit) {
    // int16 version, int16 type; int16 version, int32 coordinator epoch.
    const std::string key{'\0', '\0', '\0', commit ? '\1' : '\0'};
    const std::string value(6, '\0');
    Add({.producer = {{producer, ProducerEpoch(0), std::nullopt}},
         .transactional = true,
         .control = true},
        {{key, value}});
  }
};

}  // namespace

TEST_CASE(
    "CoordinatorLoader: what a transaction wrote counts when it is committed, where it ends") {
  World world;
  const auto of = [](int64_t producer) {
    return BatchBuilderOptions{.producer = {{ProducerId(producer), ProducerEpoch(0), Sequence(0)}},
                               .transactional = true};
  };
  world.Add({}, {{"a", "1"}, {"b", "1"}});
  world.Add(of(7), {{"a", "committed"}});
  world.Add(of(8), {{"a", "aborted"}});
  world.Add(of(9), {{"a", "open"}});
  world.Add({.compression = Compression::kZstd}, {{"a", "2"}, {"b", std::nullopt}, {"bad", "x"}});
  world.AddMarker(ProducerId(8), /*commit=*/false);
  world.AddMarker(ProducerId(7), /*commit=*/true);
  world.Add({}, {{"c", "3"}});
  Heard machine;
  CoordinatorLoader loader(world.env, machine);
  REQUIRE(loader.Load(world.log).ok());
  CHECK(machine.loaded == std::vector<std::string>{"a=1", "b=1", "a=2", "b", "a=committed", "c=3"});
}

}  // namespace millrace

// The suite over everything an Env gives: each scenario runs in every world there is, and must tell
// the same story. What differs between worlds is in their factories and nowhere else.
//
// Used by *_contract_test.cc.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/contract_world.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/sys/real_contract_world.h"

namespace millrace {

struct WorldKind {
  const char* name;
  std::unique_ptr<ContractWorld> (*make)();
};

inline std::vector<WorldKind> Kinds() {
  return {
      {"io_uring",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kUring);
       }},
      {"epoll",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kEpoll);
       }},
      {"sim",
       []() -> std::unique_ptr<ContractWorld> { return std::make_unique<SimContractWorld>(1); }},
  };
}

// Runs `scenario` in every world; what it did is in its result, so that the test's own thread
// judges.
template <typename Result>
void InEveryWorld(Task<Result> (*scenario)(ContractWorld* world), Result expected) {
  for (const WorldKind& kind : Kinds()) {
    CAPTURE(kind.name);
    std::unique_ptr<ContractWorld> world = kind.make();
    std::optional<Result> result;
    struct Runner {
      static Task<void> Run(Task<Result> task, std::optional<Result>* into) {
        into->emplace(co_await std::move(task));
      }
    };
    world->RunUntilDone(Runner::Run(scenario(world.get()), &result));
    REQUIRE(result.has_value());
    CHECK(*result == expected);
  }
}

using Story = std::vector<std::string>;

inline std::string Say(const absl::Status& status) {
  return absl::StatusCodeToString(status.code());
}
template <typename T>
std::string Say(const absl::StatusOr<T>& value) {
  return Say(value.status());
}
inline std::string Say(const absl::StatusOr<Slice>& value) {
  return value.ok() ? "'" + std::string(value->view()) + "'" : Say(value.status());
}
inline std::string Say(const absl::StatusOr<uint64_t>& value) {
  return value.ok() ? std::to_string(*value) : Say(value.status());
}

inline Chain Text(std::string_view text) { return Chain(Slice::Copy(text)); }

}  // namespace millrace

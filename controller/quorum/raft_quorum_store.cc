// RaftQuorum: the store it starts from and writes to, and what becomes of a damaged one.
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "controller/quorum/raft_quorum.h"

namespace millrace {

// What is in the store stays there until a leader has been heard: should nobody else have the log
// either, this one may be worth mending by hand.
absl::StatusOr<RaftStore::Contents> RaftQuorum::BeginAnew(const absl::Status& damage) {
  if (dialer_ == nullptr || !options_.HasOthers()) {
    return absl::DataLossError(
        fmt::format("{}; {}", std::string(damage.message()), kNobodyToRestoreFrom));
  }
  anew_ = env_.random.NextUuid();
  env_.logger.Error(
      "quorum: {}. What this replica promised is not known any more: it goes on as a new one with "
      "directory id {} and is restored from the other controllers, once their leader is heard",
      std::string(damage.message()), *anew_);
  return RaftStore::Contents{*anew_, {}, {}, {}};
}

Task<absl::StatusOr<RaftStore::Contents>> RaftQuorum::LoadOrFormat() {
  auto stored = co_await store_.Load();
  if (stored.ok() && !stored->has_value()) {
    if (options_.had_store) {
      co_return BeginAnew(absl::DataLossError("the store of the metadata log is gone"));
    }
    MR_CO_RETURN_IF_ERROR(options_.first_start);
    MR_CO_RETURN_IF_ERROR(co_await store_.Format(options_.directory, options_.initial_voters));
    stored = co_await store_.Load();
  }
  if (absl::IsDataLoss(stored.status())) co_return BeginAnew(stored.status());
  if (!stored.ok()) co_return stored.status();
  raft::RaftStart start = StartFrom(**stored);
  if (const std::optional<std::string> wrong = raft::WhatIsWrong(start)) {
    co_return BeginAnew(
        absl::DataLossError(fmt::format("the metadata log is damaged: {}", *wrong)));
  }
  if (stored->value().hard_state.term > RaftTerm(0)) {
    MR_CO_RETURN_IF_ERROR(co_await RememberStore());
  }
  co_return **std::move(stored);
}

Task<absl::Status> RaftQuorum::RememberStore() {
  if (store_remembered_) co_return absl::OkStatus();
  if (options_.remember_store) MR_CO_RETURN_IF_ERROR(co_await options_.remember_store());
  store_remembered_ = true;
  co_return absl::OkStatus();
}

Task<absl::Status> RaftQuorum::RememberAlone() {
  const raft::VoterSet& voters = core_->voters();
  if (voters.empty() || !options_.remember_alone) co_return absl::OkStatus();
  const bool alone = voters.size() == 1 && voters.Find(self_.id) != nullptr;
  if (alone_remembered_ == alone) co_return absl::OkStatus();
  MR_CO_RETURN_IF_ERROR(co_await options_.remember_alone(alone));
  alone_remembered_ = alone;
  co_return absl::OkStatus();
}

raft::RaftStart RaftQuorum::StartFrom(RaftStore::Contents contents) const {
  raft::RaftStart start;
  start.hard_state = contents.hard_state;
  start.snapshot = contents.snapshot.meta;
  start.entries = std::move(contents.entries);
  start.static_voters = options_.static_voters;
  start.lost = anew_.has_value();
  for (const raft::VoterSet* voters : {&options_.static_voters, &options_.initial_voters}) {
    for (const auto& [id, voter] : voters->all()) start.contacts.push_back(id);
  }
  return start;
}

Task<absl::Status> RaftQuorum::WriteToStore(raft::Write write) {
  absl::Status written = co_await RememberAlone();
  if (written.ok() &&
      anew_.has_value()) {  // The first words of a leader: now what was here before may go.
    written = co_await store_.Format(*std::exchange(anew_, std::nullopt), {});
  }
  if (written.ok()) written = co_await store_.Write(std::move(write));
  if (absl::IsDataLoss(written) && options_.remember_damage) {
    (co_await options_.remember_damage()).IgnoreError();  // What is said is why the write failed.
  }
  co_return written;
}

}  // namespace millrace

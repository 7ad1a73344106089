#include "controller/single_node_quorum.h"

#include <fmt/format.h>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr std::string_view kHardStateKey = "hard-state";
constexpr size_t kReplayEntriesMax = 1000;
constexpr size_t kReplayBytesMax = size_t{4} << 20;

std::string EntryKey(RaftIndex index) {
  std::string key(8, '\0');
  StoreBig<int64_t>(reinterpret_cast<uint8_t*>(key.data()), index.value());
  return key;
}

}  // namespace

SingleNodeQuorum::SingleNodeQuorum(Env& env, KvStore& kv, BrokerId node_id,
                                   CommittedEntries& committed)
    : node_id_(node_id),
      env_(env),
      kv_(kv),
      committed_(committed),
      gate_(env.reactor),
      free_(env.reactor) {}

Task<absl::Status> SingleNodeQuorum::Replay() {
  std::string from;
  for (;;) {
    auto page = co_await kv_.Scan({KvSpace::kRaftLog, from, std::nullopt}, kReplayEntriesMax,
                                  kReplayBytesMax);
    if (!page.ok()) co_return page.status();
    for (const KvEntry& stored : page->entries) {
      if (stored.key != EntryKey(next_index())) {
        co_return absl::DataLossError(
            fmt::format("the metadata log has no entry {}", next_index()));
      }
      absl::StatusOr<MetadataEntry> entry = DecodeEntry(stored.value);
      if (entry.ok())
        entry = committed_.OnCommitted(next_index(), *entry).ok()
                    ? std::move(entry)
                    : absl::StatusOr<MetadataEntry>(
                          absl::DataLossError("it does not fit what came before"));
      if (!entry.ok()) {
        co_return absl::DataLossError(fmt::format("metadata log entry {}: {}", next_index(),
                                                  std::string(entry.status().message())));
      }
      last_index_ = next_index();
    }
    if (!page->next_key.has_value()) co_return absl::OkStatus();
    from = *page->next_key;
  }
}

Task<absl::Status> SingleNodeQuorum::Start() {
  auto stored = co_await kv_.Get(KvSpace::kRaftState, std::string(kHardStateKey));
  if (!stored.ok()) co_return stored.status();
  if (stored->has_value()) {
    absl::StatusOr<HardState> state = DecodeHardState(**stored);
    if (!state.ok()) co_return state.status();
    hard_state_ = *state;
  }
  // With one voter every durable entry is committed: it was on a majority when its write was
  // synced.
  MR_CO_RETURN_IF_ERROR(co_await Replay());
  if (last_index_ < hard_state_.commit) {
    co_return absl::DataLossError(fmt::format("the metadata log ends at {}, but {} was committed",
                                              last_index_, hard_state_.commit));
  }
  // A new term, voted for by all (us) and durable before anything is written in it (P29).
  hard_state_.term = RaftTerm(hard_state_.term.value() + 1);
  hard_state_.voted_for = node_id_;
  hard_state_.commit = last_index_;
  KvBatch batch;
  batch.Put(KvSpace::kRaftState, kHardStateKey, EncodeHardState(hard_state_));
  MR_CO_RETURN_IF_ERROR(co_await kv_.Write(std::move(batch), {.sync = true}));
  leading_ = true;
  env_.logger.Info("metadata: replayed {} entries; leader of term {}", last_index_,
                   hard_state_.term);
  co_return absl::OkStatus();
}

Task<void> SingleNodeQuorum::Stop() {
  leading_ = false;
  co_await gate_.Close();
}

std::optional<RaftTerm> SingleNodeQuorum::leading_term() const {
  return leading_ ? std::optional(hard_state_.term) : std::nullopt;
}

Task<absl::StatusOr<RaftIndex>> SingleNodeQuorum::Propose(std::vector<MetadataRecord> records) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the controller is stopping");
  while (proposing_) co_await free_.Wait();
  if (!leading_)
    co_return MakeError(ErrorKind::kNotController, "this node is not the active controller");
  proposing_ = true;
  const RaftIndex index = next_index();
  MetadataEntry entry{hard_state_.term, env_.clock.Now(), std::move(records)};
  KvBatch batch;
  batch.Put(KvSpace::kRaftLog, EntryKey(index), EncodeEntry(entry));
  absl::Status written = co_await kv_.Write(std::move(batch), {.sync = true});
  if (written.ok()) {
    last_index_ = index;
    written = committed_.OnCommitted(index, entry);
  }
  // The store is final after a failed write, and an entry that does not apply is our own bug: lead
  // no more.
  if (!written.ok()) {
    leading_ = false;
    env_.logger.Error("metadata: entry {} failed, this node leads no more: {}", index,
                      std::string(written.message()));
  }
  proposing_ = false;
  free_.Pulse();
  if (!written.ok()) co_return written;
  co_return index;
}

}  // namespace millrace

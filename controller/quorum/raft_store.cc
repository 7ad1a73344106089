#include "controller/quorum/raft_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr std::string_view kIdentityKey = "identity";
constexpr std::string_view kStateKey = "state";
constexpr std::string_view kSnapshotKey = "snapshot";
// Of one read while loading.
constexpr size_t kLoadEntriesMax = 1000;
constexpr size_t kLoadBytesMax = size_t{4} << 20;

std::string EntryKey(RaftIndex index) {
  std::string key(8, '\0');
  StoreBig<int64_t>(reinterpret_cast<uint8_t*>(key.data()), index.value());
  return key;
}

std::string PieceKey(RaftIndex index, uint32_t number) {
  std::string key = EntryKey(index) + std::string(4, '\0');
  StoreBig<uint32_t>(reinterpret_cast<uint8_t*>(key.data()) + 8, number);
  return key;
}

absl::Status Damaged(std::string_view what, const absl::Status& why) {
  return {why.code(), fmt::format("the metadata log's {}: {}", what, std::string(why.message()))};
}

absl::Status Missing(std::string_view what) {
  return absl::DataLossError(fmt::format("the metadata log has no {}", what));
}

}  // namespace

Task<absl::Status> RaftStore::CheckNothingThere() {
  for (KvSpace space : {KvSpace::kRaftState, KvSpace::kRaftLog, KvSpace::kRaftSnapshot}) {
    auto page = co_await kv_.Scan({space, "", std::nullopt}, 1, 1);
    if (!page.ok()) co_return page.status();
    if (!page->entries.empty()) co_return Missing("identity, but has entries");
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::optional<RaftStore::Contents>>> RaftStore::Load() {
  auto identity = co_await kv_.Get(KvSpace::kRaftState, std::string(kIdentityKey));
  if (!identity.ok()) co_return identity.status();
  if (!identity->has_value()) {
    MR_CO_RETURN_IF_ERROR(co_await CheckNothingThere());
    co_return std::nullopt;
  }
  absl::StatusOr<DirectoryId> directory = ReadIdentity(kIdentityKey, **identity);
  if (!directory.ok()) co_return Damaged("identity", directory.status());

  auto stored = co_await kv_.Get(KvSpace::kRaftState, std::string(kStateKey));
  if (!stored.ok()) co_return stored.status();
  if (!stored->has_value()) co_return Missing("term and vote");
  absl::StatusOr<StoredState> state = ReadState(kStateKey, **stored);
  if (!state.ok()) co_return Damaged("term and vote", state.status());

  Contents contents{*directory, state->hard_state, {}, {}};
  MR_CO_RETURN_IF_ERROR(co_await LoadSnapshot(&contents));
  MR_CO_RETURN_IF_ERROR(co_await LoadLog(&contents));
  const RaftIndex last =
      contents.entries.empty() ? contents.snapshot.meta.index : contents.entries.back().index;
  if (last != std::max(state->log_end, contents.snapshot.meta.index)) {
    co_return absl::DataLossError(
        fmt::format("the metadata log ends at {}, but reached {}", last, state->log_end));
  }
  log_end_ = last;
  co_return contents;
}

// Borrowed by Load(), which awaits it in place.
Task<absl::Status> RaftStore::LoadSnapshot(Contents* contents) {
  auto stored = co_await kv_.Get(KvSpace::kRaftState, std::string(kSnapshotKey));
  if (!stored.ok()) co_return stored.status();
  if (!stored->has_value()) co_return Missing("snapshot");
  absl::StatusOr<StoredSnapshot> snapshot = millrace::ReadSnapshot(kSnapshotKey, **stored);
  if (!snapshot.ok()) co_return Damaged("snapshot", snapshot.status());
  snapshot_ = *snapshot;
  contents->snapshot.meta = snapshot_.meta;

  std::vector<std::string> pieces;
  for (uint32_t number = 0; number < snapshot_.pieces; ++number) {
    auto piece = co_await ReadSnapshotPiece(snapshot_.meta.index, number);
    if (absl::IsNotFound(piece.status())) {
      co_return Missing(fmt::format("piece {} of its snapshot", number));
    }
    if (!piece.ok()) co_return piece.status();
    pieces.push_back(*std::move(piece));
  }
  if (snapshot_.meta.index > RaftIndex(0)) {
    contents->snapshot.data = std::make_shared<const std::vector<std::string>>(std::move(pieces));
  }
  // What an interrupted snapshot left; without a sync: the next one that is written syncs it.
  KvBatch batch;
  batch.DeleteRange(KvSpace::kRaftSnapshot, "", EntryKey(snapshot_.meta.index));
  batch.DeleteRange(KvSpace::kRaftSnapshot, EntryKey(raft::After(snapshot_.meta.index)),
                    std::nullopt);
  co_return co_await kv_.Write(std::move(batch), {.sync = false});
}

Task<absl::Status> RaftStore::LoadLog(Contents* contents) {
  RaftIndex next = raft::After(contents->snapshot.meta.index);
  std::string from = EntryKey(next);
  for (;;) {
    auto page =
        co_await kv_.Scan({KvSpace::kRaftLog, from, std::nullopt}, kLoadEntriesMax, kLoadBytesMax);
    if (!page.ok()) co_return page.status();
    for (const KvEntry& stored : page->entries) {
      if (stored.key != EntryKey(next)) co_return Missing(fmt::format("entry {}", next));
      absl::StatusOr<raft::LogEntry> entry = ReadLogEntry(stored.key, stored.value);
      if (entry.ok() && entry->index != next) entry = absl::DataLossError("it is another entry");
      if (!entry.ok()) co_return Damaged(fmt::format("entry {}", next), entry.status());
      contents->entries.push_back(*std::move(entry));
      next = raft::After(next);
    }
    if (!page->next_key.has_value()) co_return absl::OkStatus();
    from = *page->next_key;
  }
}

Task<absl::Status> RaftStore::Format(DirectoryId directory, raft::VoterSet voters) {
  snapshot_ = StoredSnapshot{{RaftIndex(0), RaftTerm(0), std::move(voters)}, 0};
  log_end_ = RaftIndex(0);
  KvBatch batch;
  batch.DeleteRange(KvSpace::kRaftState, "", std::nullopt);
  batch.DeleteRange(KvSpace::kRaftLog, "", std::nullopt);
  batch.DeleteRange(KvSpace::kRaftSnapshot, "", std::nullopt);
  batch.Put(KvSpace::kRaftState, kIdentityKey, StoreIdentity(kIdentityKey, directory));
  batch.Put(KvSpace::kRaftState, kStateKey, StoreState(kStateKey, {}));
  batch.Put(KvSpace::kRaftState, kSnapshotKey, StoreSnapshot(kSnapshotKey, snapshot_));
  co_return co_await kv_.Write(std::move(batch), {.sync = true});
}

Task<absl::Status> RaftStore::Write(raft::Write write) {
  KvBatch batch;
  if (write.install.has_value()) {
    const raft::Snapshot& install = *write.install;
    snapshot_ = {install.meta,
                 static_cast<uint32_t>(install.data == nullptr ? 0 : install.data->size())};
    batch.DeleteRange(KvSpace::kRaftLog, "", std::nullopt);
    batch.DeleteRange(KvSpace::kRaftSnapshot, "", std::nullopt);
    for (uint32_t number = 0; number < snapshot_.pieces; ++number) {
      const std::string key = PieceKey(install.meta.index, number);
      batch.Put(KvSpace::kRaftSnapshot, key, StorePiece(key, (*install.data)[number]));
    }
    batch.Put(KvSpace::kRaftState, kSnapshotKey, StoreSnapshot(kSnapshotKey, snapshot_));
    log_end_ = install.meta.index;
  }
  if (write.truncate_from.has_value()) {
    batch.DeleteRange(KvSpace::kRaftLog, EntryKey(*write.truncate_from), std::nullopt);
    log_end_ = raft::Before(*write.truncate_from);
  }
  for (const raft::LogEntry& entry : write.entries) {
    const std::string key = EntryKey(entry.index);
    batch.Put(KvSpace::kRaftLog, key, StoreLogEntry(key, entry));
    log_end_ = entry.index;
  }
  if (write.drop_through.has_value()) {
    batch.DeleteRange(KvSpace::kRaftLog, "", EntryKey(raft::After(*write.drop_through)));
  }
  batch.Put(KvSpace::kRaftState, kStateKey, StoreState(kStateKey, {write.hard_state, log_end_}));
  co_return co_await kv_.Write(std::move(batch), {.sync = true});
}

Task<absl::Status> RaftStore::WriteSnapshotPiece(RaftIndex index, uint32_t number,
                                                 std::string piece) {
  const std::string key = PieceKey(index, number);
  KvBatch batch;
  batch.Put(KvSpace::kRaftSnapshot, key, StorePiece(key, piece));
  co_return co_await kv_.Write(std::move(batch), {.sync = false});
}

Task<absl::StatusOr<bool>> RaftStore::FinishSnapshot(raft::SnapshotMeta meta, uint32_t pieces) {
  if (meta.index <= snapshot_.meta.index) co_return false;
  KvBatch batch;
  batch.DeleteRange(KvSpace::kRaftSnapshot, "", EntryKey(meta.index));
  snapshot_ = {std::move(meta), pieces};
  batch.Put(KvSpace::kRaftState, kSnapshotKey, StoreSnapshot(kSnapshotKey, snapshot_));
  MR_CO_RETURN_IF_ERROR(co_await kv_.Write(std::move(batch), {.sync = true}));
  co_return true;
}

Task<absl::StatusOr<std::string>> RaftStore::ReadSnapshotPiece(RaftIndex index, uint32_t number) {
  std::string key = PieceKey(index, number);
  auto stored = co_await kv_.Get(KvSpace::kRaftSnapshot, key);
  if (!stored.ok()) co_return stored.status();
  if (!stored->has_value()) co_return absl::NotFoundError("the snapshot has been replaced");
  absl::StatusOr<std::string> piece = ReadStatePiece(key, **stored);
  if (!piece.ok()) co_return Damaged(fmt::format("snapshot piece {}", number), piece.status());
  co_return *std::move(piece);
}

}  // namespace millrace

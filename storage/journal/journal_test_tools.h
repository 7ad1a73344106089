// What the journal's tests share: entries whose content follows from their number, and a visitor
// that keeps what it is given.
#pragma once

#include <absl/status/status.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_recovery.h"

namespace millrace {

inline constexpr const char* kTestLogDir = "/data";

// Entry `number` of the stream `seed`: its kind, partition, length and bytes are a function of
// both.
inline JournalEntry TestEntry(uint64_t seed, uint64_t number, size_t bytes_max) {
  SimRandom random(MixBits(seed) ^ number);
  const TopicPartitionId partition{Uuid(7, random.Below(3)),
                                   PartitionId(static_cast<int32_t>(random.Below(5)))};
  const IncarnationId incarnation(seed, random.Below(2));
  const Offset offset(static_cast<int64_t>(number * 10));
  switch (random.Below(10)) {
    case 0:
      return JournalTruncate{partition, incarnation, offset};
    case 1:
      return JournalReset{partition, incarnation, offset};
    case 2:
      return JournalDelete{partition, incarnation};
    default:
      break;
  }
  std::string bytes(1 + random.Below(bytes_max), '\0');
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), bytes.size() - at));
  }
  return JournalAppend{partition, incarnation, offset,
                       LeaderEpoch(static_cast<int32_t>(number % 100)), Slice::Copy(bytes)};
}

inline JournalEntry TestAppend(uint64_t number, size_t bytes) {
  return JournalAppend{{Uuid(1, 2), PartitionId(3)},
                       Uuid(4, 5),
                       Offset(static_cast<int64_t>(number)),
                       LeaderEpoch(6),
                       Slice::Copy(std::string(bytes, static_cast<char>('a' + number % 26)))};
}

inline bool SameEntry(const JournalEntry& a, const JournalEntry& b) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<JournalAppend>(&a)) {
    const auto& y = std::get<JournalAppend>(b);
    return x->partition == y.partition && x->incarnation == y.incarnation &&
           x->base_offset == y.base_offset && x->leader_epoch == y.leader_epoch &&
           x->bytes.view() == y.bytes.view();
  }
  if (const auto* x = std::get_if<JournalTruncate>(&a)) {
    const auto& y = std::get<JournalTruncate>(b);
    return x->partition == y.partition && x->incarnation == y.incarnation &&
           x->end_offset == y.end_offset;
  }
  if (const auto* x = std::get_if<JournalReset>(&a)) {
    const auto& y = std::get<JournalReset>(b);
    return x->partition == y.partition && x->incarnation == y.incarnation &&
           x->start_offset == y.start_offset;
  }
  const auto& x = std::get<JournalDelete>(a);
  const auto& y = std::get<JournalDelete>(b);
  return x.partition == y.partition && x.incarnation == y.incarnation;
}

class KeepingVisitor final : public JournalVisitor {
 public:
  Task<absl::Status> OnJournalEntry(JournalReplay replay) override {
    replays.push_back(std::move(replay));
    co_return absl::OkStatus();
  }
  std::vector<JournalReplay> replays;
};

class CountingListener final : public JournalListener {
 public:
  void OnJournalDurable(JournalPosition position) override { durable.push_back(position.value()); }
  void OnJournalFailed(const absl::Status& status) override { failures.push_back(status); }
  std::vector<uint64_t> durable;
  std::vector<absl::Status> failures;
};

inline Journal::Options SmallJournal() {
  Journal::Options options;
  options.extent_bytes = 64 << 10;
  options.bytes_max = 4 * options.extent_bytes;
  options.frame_bytes_max = 16 << 10;
  options.pending_bytes_max = 64 << 10;
  return options;
}

// A machine, and a journal on it.
class JournalFixture {
 public:
  explicit JournalFixture(uint64_t seed, Journal::Options options = SmallJournal(),
                          SimOptions sim = {})
      : options_(options), world(seed, sim), node(world.AddNode("n1")), env(&node.Boot()) {
    REQUIRE(world.Run(*env, env->disk.CreateDirectories(kTestLogDir)).ok());
    node.disk().SyncEverything();
  }
  ~JournalFixture() {
    if (journal != nullptr) Stop().IgnoreError();
  }

  absl::Status Open(ShardId shard = ShardId(0)) {
    auto opened = world.Run(*env, Journal::Open(*env, kTestLogDir, shard, options_));
    if (!opened.ok()) return opened.status();
    journal = *std::move(opened);
    return absl::OkStatus();
  }
  absl::Status Stop() {
    absl::Status status = world.Run(*env, journal->Stop());
    journal = nullptr;
    return status;
  }
  JournalPosition Enqueue(const JournalEntry& entry, JournalListener* listener = nullptr) {
    absl::StatusOr<JournalPosition> position = journal->Enqueue(entry, listener);
    REQUIRE(position.ok());
    return *position;
  }
  absl::Status Wait(JournalPosition position) {
    return world.Run(*env, journal->WaitDurable(position, {}));
  }
  // Ends the process, lets its objects end in its afterlife, and starts the next one.
  void Reboot(bool power_lost) {
    if (power_lost) {
      node.PowerLoss();
    } else {
      node.Kill();
    }
    if (journal != nullptr) Stop().IgnoreError();
    env = &node.Boot();
  }
  absl::StatusOr<JournalRecoveryReport> Recover(JournalVisitor& visitor) {
    return world.Run(*env, RecoverJournals(env->disk, kTestLogDir, visitor));
  }
  absl::Status Discard() { return world.Run(*env, DiscardJournals(env->disk, kTestLogDir)); }
  // The bytes of an extent, for surgery; by its number.
  SimFileData& Extent(uint64_t number, uint32_t shard = 0) {
    SimFileData* data = node.disk().Find(JournalDirectory(kTestLogDir) + "/" +
                                         JournalExtentName{ShardId(shard), number}.ToString());
    REQUIRE(data != nullptr);
    return *data;
  }
  size_t ExtentFiles() {
    size_t count = 0;
    for (const std::string& path : node.disk().Files()) count += path.ends_with(".journal") ? 1 : 0;
    return count;
  }

 private:
  Journal::Options options_;

 public:
  SimWorld world;
  SimNode& node;
  Env* env;
  std::unique_ptr<Journal> journal;
};

}  // namespace millrace

// Random histories of three replicas against a dumb model: a map of what was ever committed. Appends,
// leader changes that some hear of late, hellos, fetches, syncs and reports in any order, answers of
// the controller that get lost, crashes that lose what was not durable. Elections are clean.
#include <catch2/catch.hpp>
#include <random>

#include "replication/replica_table.h"
#include "test/rounds.h"

namespace millrace {
namespace {

class History {
 public:
  History(uint32_t seed, size_t isr_min)
      : random_(seed), table_({1, 2, 3}, {.isr_min = isr_min, .page_cache = false}) {
    table_.Elect(BrokerId(1), std::nullopt);
  }

  void Step() {
    const BrokerId id = Any();
    switch (Below(16)) {
      case 0:
      case 1:
      case 2:
        if (table_.at(id).leading() != nullptr) {
          table_.Append(id, "v" + std::to_string(next_value_++), Below(2) == 0);
        }
        break;
      case 3:
      case 4:
        if (table_.at(id).up) table_.Sync(id);
        break;
      case 5:
        Hello(id);
        break;
      case 6:
      case 7:
        if (Ready(id)) table_.Fetch(id, 1 + Below(3));
        break;
      case 8:
      case 9:
        if (Ready(id)) table_.Report(id);
        break;
      case 10:
        if (Ready(id)) table_.Hear(id);
        break;
      case 11:
        if (table_.at(id).up) table_.Tell(id);
        break;
      case 12:
        if (!table_.proposals().empty()) table_.Decide(/*answer_lost=*/Below(4) == 0);
        break;
      case 13:
        table_.Tick(milliseconds(Below(12'000)));
        break;
      case 14:
        if (Below(3) == 0) Disturb(id);
        break;
      default:
        table_.at(id).kept_high_watermark = table_.at(id).high_watermark;
    }
    Look();
  }

  // Everybody is up, hears everything, and replicates until nothing moves.
  void Heal() {
    for (BrokerId id : kAll) {
      if (!table_.at(id).up) Start(id);
      table_.Known(id).active = true;
    }
    Supervise();
    for (int round = 0; round < 200; ++round) {
      for (BrokerId id : kAll) table_.Tell(id);
      for (BrokerId id : kAll) {
        Hello(id);
        if (!Ready(id)) continue;
        table_.Fetch(id, 100);
        table_.Sync(id);
        table_.Report(id);
        table_.Hear(id);
      }
      table_.Sync(*table_.truth().leader);
      while (!table_.proposals().empty()) table_.Decide();
      table_.Tick(milliseconds(500));
      Look();
    }
    const TableReplica& leader = table_.at(*table_.truth().leader);
    REQUIRE(table_.truth().isr_size() == 3);
    for (BrokerId id : kAll) {
      INFO(table_.Show(id));
      REQUIRE(table_.at(id).high_watermark == leader.end());
      REQUIRE(table_.at(id).records == leader.records);
    }
  }

  std::string Story() const { return story_; }

 private:
  static constexpr std::array<BrokerId, 3> kAll = {BrokerId(1), BrokerId(2), BrokerId(3)};

  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_()) % bound; }
  BrokerId Any() { return kAll[Below(3)]; }

  bool HasLeader(BrokerId id) {
    TableReplica& replica = table_.at(id);
    if (!replica.up || replica.following() == nullptr) return false;
    TableReplica& leader = table_.at(*replica.known->leader);
    return leader.up && leader.leading() != nullptr &&
           leader.leading()->leader_epoch() == replica.following()->epoch();
  }
  bool Ready(BrokerId id) {
    return HasLeader(id) &&
           table_.at(id).following()->phase() == PartitionFollower::Phase::kFollowing;
  }
  void Hello(BrokerId id) {
    if (HasLeader(id)) table_.Hello(id);
  }

  // The controller: dead members leave the ISR, but not the last; who died leads no more.
  void Supervise() {
    std::set<BrokerId> isr;
    for (const AssignedReplica& replica : table_.truth().replicas) {
      if (replica.in_isr) isr.insert(replica.broker);
    }
    for (BrokerId id : kAll) {
      if (!table_.at(id).up && isr.size() > 1) isr.erase(id);
    }
    std::vector<BrokerId> fit;
    for (BrokerId id : isr) {
      if (table_.at(id).up) fit.push_back(id);
    }
    if (!fit.empty()) table_.Elect(fit[Below(static_cast<uint32_t>(fit.size()))], isr);
  }
  void Start(BrokerId id) {
    table_.Start(id);
    seen_.erase(id);
    // A new incarnation ends its leaderships. Its disk was replayed: it stays in the ISR.
    if (table_.truth().leader == id) Supervise();
  }
  // It loses its disk, and says so when it registers: it is out of the ISR in the same moment. Not
  // the last one: then something would be lost, and nobody could help it.
  void Wipe(BrokerId id) {
    std::set<BrokerId> isr;
    for (const AssignedReplica& replica : table_.truth().replicas) {
      if (replica.in_isr && replica.broker != id) isr.insert(replica.broker);
    }
    const bool another_up =
        std::ranges::any_of(isr, [&](BrokerId other) { return table_.at(other).up; });
    if (!another_up) return;
    table_.Crash(id, Offset(0));
    table_.at(id).start = table_.at(id).durable = table_.at(id).kept_high_watermark = Offset(0);
    table_.Start(id);
    seen_.erase(id);
    table_.Elect(*std::ranges::find_if(isr, [&](BrokerId other) { return table_.at(other).up; }),
                 isr);
  }
  void Disturb(BrokerId id) {
    switch (Below(6)) {
      case 0:
        Supervise();
        break;
      case 1:
        if (table_.at(id).up) table_.Crash(id, table_.at(id).durable);
        if (Below(2) == 0) Supervise();
        break;
      case 2:
        if (!table_.at(id).up) Start(id);
        break;
      case 3:
        Wipe(id);
        break;
      default:
        table_.Known(id).active = !table_.Known(id).active && table_.at(id).up;
    }
  }

  void Look() {
    story_ += table_.TakeNotes();
    REQUIRE_FALSE(table_.lost_committed);  // P10.
    for (BrokerId id : kAll) {
      TableReplica& replica = table_.at(id);
      if (!replica.up) continue;
      REQUIRE(replica.start <= replica.high_watermark);
      REQUIRE(replica.high_watermark <= replica.end());
      // P5, for who reads from this replica.
      auto [seen, first] = seen_.emplace(id, replica.high_watermark);
      REQUIRE(seen->second <= replica.high_watermark);
      seen->second = replica.high_watermark;
      // P3, P6, P8: below the high watermarks there is one value at each offset, for ever.
      for (Offset at = replica.start; at < replica.high_watermark; at = at + OffsetDelta(1)) {
        auto [known, unknown] = committed_.emplace(at, replica.at(at));
        // Millions of times: only what fails is worth a sentence.
        if (known->second != replica.at(at))
          FAIL("offset " << at.value() << " of " << table_.Show(id));
      }
    }
    // Whoever leads by the latest decision has all of it.
    TableReplica& leader = table_.at(*table_.truth().leader);
    if (leader.leading() != nullptr &&
        leader.leading()->leader_epoch() == table_.truth().leader_epoch && !committed_.empty()) {
      REQUIRE(committed_.rbegin()->first < leader.end());
    }
    // P11: so has every member of the ISR, on its disk.
    for (const AssignedReplica& replica : table_.truth().replicas) {
      if (!replica.in_isr || committed_.empty()) continue;
      if (committed_.rbegin()->first >= table_.at(replica.broker).durable)
        FAIL(table_.Show(replica.broker));
    }
    // P1: what was acknowledged is committed.
    for (const std::string& value : table_.acknowledged()) {
      if (found_.contains(value)) continue;
      const bool found = std::ranges::any_of(
          committed_, [&](const auto& record) { return record.second.value == value; });
      REQUIRE(found);
      found_.insert(value);
    }
  }

  std::mt19937 random_;
  ReplicaTable table_;
  int next_value_ = 0;
  std::map<Offset, TableRecord> committed_;
  std::map<BrokerId, Offset> seen_;
  std::set<std::string> found_;
  std::string story_;
};

}  // namespace

TEST_CASE("Replication: in random histories nothing committed is lost, changed, or cut off") {
  for (uint32_t seed = 1; seed <= Rounds(50); ++seed) {
    History history(seed, 1 + seed % 3);
    INFO("seed " << seed);
    for (int step = 0; step < 400; ++step) history.Step();
    history.Heal();
  }
}

}  // namespace millrace

// A few replicas of one partition on a table, for stories and random histories: the cores of this
// folder, logs that are lists of records, and a controller that does what it is told. What is said
// is written down, line by line.
//
// For tests. A record is a batch; its offset is its place.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/error_kind.h"
#include "replication/log_match.h"
#include "replication/partition_follower.h"
#include "replication/partition_leader.h"

namespace millrace {

struct TableRecord {
  LeaderEpoch epoch;
  std::string value;
  friend bool operator==(const TableRecord&, const TableRecord&) = default;
};

struct TableReplica {
  using Role = std::variant<std::monostate, PartitionLeader, PartitionFollower>;

  explicit TableReplica(BrokerId broker) : id(broker) {}

  Offset end() const { return start + OffsetDelta(static_cast<int64_t>(records.size())); }
  ReplicaEnds ends() const { return {start, end(), std::min(durable, end())}; }
  const TableRecord& at(Offset offset) const {
    return records.at(static_cast<size_t>((offset - start).value()));
  }
  PartitionLeader* leading() { return std::get_if<PartitionLeader>(&role); }
  PartitionFollower* following() { return std::get_if<PartitionFollower>(&role); }
  void Append(TableRecord record) {
    epochs.Assign(record.epoch, end());
    records.push_back(std::move(record));
  }
  void CutFrom(Offset at) {
    while (end() > at) records.pop_back();
    durable = std::min(durable, at);
    epochs.TruncateFromEnd(at);
  }
  void CutStart(Offset at) {
    while (start < at && !records.empty()) {
      records.pop_front();
      start = start + OffsetDelta(1);
    }
    epochs.TruncateFromStart(start);
  }

  BrokerId id;
  BrokerEpoch epoch{0};
  bool up = true;
  // The disk.
  std::deque<TableRecord> records;
  Offset start{0};
  Offset durable{0};
  LeaderEpochCache epochs;
  Offset kept_high_watermark{0};
  // What it knows and does.
  std::optional<PartitionAssignment> known;
  Role role;
  Offset high_watermark{0};
  std::map<Offset, std::string> unacknowledged;  // acks=all, by the offset that it waits for.
};

class ReplicaTable {
 public:
  struct Options {
    size_t isr_min = 1;
    bool page_cache = false;  // Nothing has to be synced to count.
    Duration lag_max = seconds(30);
  };

  ReplicaTable(const std::vector<int>& ids, Options options) : options_(options) {
    for (int id : ids) {
      TableReplica& replica =
          replicas_.emplace(BrokerId(id), TableReplica(BrokerId(id))).first->second;
      replica.epoch = NextBrokerEpoch();
      truth_.replicas.push_back(
          {.broker = replica.id, .epoch = replica.epoch, .in_isr = true, .active = true});
    }
  }

  TableReplica& at(BrokerId id) { return replicas_.at(id); }
  std::map<BrokerId, TableReplica>& replicas() { return replicas_; }
  const PartitionAssignment& truth() const { return truth_; }
  Instant now() const { return now_; }
  const Options& options() const { return options_; }
  void set_isr_min(size_t isr_min) { options_.isr_min = isr_min; }

  // --- The controller ---
  void Elect(BrokerId leader, std::optional<std::set<BrokerId>> isr) {
    truth_.leader = leader;
    truth_.leader_epoch = LeaderEpoch(truth_.leader_epoch.value() + 1);
    truth_.partition_epoch = PartitionEpoch(truth_.partition_epoch.value() + 1);
    truth_.recovering = false;
    for (AssignedReplica& replica : truth_.replicas) {
      if (isr.has_value()) replica.in_isr = isr->contains(replica.broker);
    }
  }
  AssignedReplica& Known(BrokerId id) {
    return *std::ranges::find(truth_.replicas, id, &AssignedReplica::broker);
  }
  void SetRecovering() { truth_.recovering = true; }
  // `id` learns what has been decided.
  void Tell(BrokerId id) {
    TableReplica& replica = at(id);
    const bool same =
        replica.known.has_value() && replica.known->leader_epoch == truth_.leader_epoch;
    replica.known = truth_;
    if (same && replica.leading() != nullptr) {
      Do(replica, replica.leading()->OnAssignment(truth_, IsrMin(), now_));
    } else if (!same) {
      TakeRole(replica);
    }
  }
  const std::deque<std::pair<BrokerId, IsrProposal>>& proposals() const { return proposals_; }
  // Decides on the oldest proposal as rules 5.10 and 5.11 say; the answer may get lost.
  void Decide(bool answer_lost = false) {
    if (proposals_.empty()) return Note("no proposal");
    const auto [from, proposal] = proposals_.front();
    proposals_.pop_front();
    IsrOutcome outcome = Judge(proposal);
    if (outcome.has_value()) {
      Note(fmt::format("controller: ISR {} in partition epoch {}", Join(outcome->isr),
                       outcome->partition_epoch));
    } else {
      Note(fmt::format("controller: {}", outcome.error() == IsrRefusal::kGivenUp
                                             ? "INELIGIBLE_REPLICA"
                                             : "INVALID_UPDATE_VERSION"));
    }
    TableReplica& leader = at(from);
    if (answer_lost || !leader.up || leader.leading() == nullptr) return;
    Do(leader, leader.leading()->OnIsrOutcome(proposal, outcome, now_));
  }
  // Registers `id` anew.
  void Register(BrokerId id) {
    at(id).epoch = NextBrokerEpoch();
    Known(id).epoch = at(id).epoch;
    Known(id).active = true;
  }

  // --- A leader ---
  bool Append(BrokerId id, const std::string& value, bool acks_all) {
    TableReplica& replica = at(id);
    PartitionLeader* leader = replica.leading();
    if (!replica.up || leader == nullptr) return Refuse(id, "NOT_LEADER_OR_FOLLOWER");
    if (acks_all && !leader->has_enough_replicas()) return Refuse(id, "NOT_ENOUGH_REPLICAS");
    replica.Append({leader->leader_epoch(), value});
    if (acks_all) replica.unacknowledged.emplace(replica.end(), value);
    if (options_.page_cache) Sync(id);
    return true;
  }
  void Tick(Duration by) {
    now_ = now_ + by;
    for (auto& [id, replica] : replicas_) {
      PartitionLeader* leader = replica.leading();
      if (!replica.up || leader == nullptr) continue;
      // As the shell does: woken when it is due, and not before.
      while (std::optional<Instant> due = leader->Due(now_)) {
        if (*due > now_) break;
        const PartitionLeader::Output output = leader->OnTime(now_);
        Do(replica, output);
        if (!output.propose.has_value() && !output.high_watermark_moved) break;
      }
    }
  }

  // --- Any ---
  // What it has is durable now.
  void Sync(BrokerId id) {
    TableReplica& replica = at(id);
    replica.durable = replica.end();
    if (replica.leading() != nullptr) {
      Do(replica, replica.leading()->OnOwnEnd(replica.durable, now_));
    }
  }
  void Crash(BrokerId id, Offset keeps) {
    TableReplica& replica = at(id);
    replica.up = false;
    replica.CutFrom(std::max(keeps, replica.start));
    replica.known.reset();
    replica.role.emplace<std::monostate>();
    replica.unacknowledged.clear();
    std::erase_if(proposals_, [&](const auto& proposal) { return proposal.first == id; });
  }
  void Start(BrokerId id) {
    TableReplica& replica = at(id);
    replica.up = true;
    replica.durable = replica.end();
    replica.high_watermark = std::clamp(replica.kept_high_watermark, replica.start, replica.end());
    Register(id);
  }

  // --- A follower ---
  // One hello and what is done about its answer. True: the logs meet.
  bool Hello(BrokerId id) {
    TableReplica& replica = at(id);
    PartitionFollower* follower = replica.following();
    if (!replica.up || follower == nullptr) return Refuse(id, "does not follow");
    follower->AskAgain();
    const ReplicaEnds own = replica.ends();
    const std::optional<LeaderEpoch> last =
        LastRecordEpoch(replica.epochs, own.log_start, own.log_end);
    TableReplica& leader = at(*replica.known->leader);
    std::optional<LogMatch> match = Answer(leader, replica, last, own);
    if (!match.has_value()) return false;
    Note(fmt::format("{} hello last-epoch={} end={} -> {}", id,
                     last.has_value() ? fmt::to_string(last->value()) : "none", own.log_end,
                     Describe(*match)));
    std::optional<PartitionFollower::Cut> cut = follower->OnAnswer(*match, replica.epochs, own);
    if (!cut.has_value()) return follower->phase() == PartitionFollower::Phase::kFollowing;
    if (cut->at < replica.high_watermark) {
      Note(fmt::format("{} loses committed records", id));
      lost_committed = true;
    }
    if (cut->whole) {
      replica.CutFrom(replica.start);
      replica.start = replica.durable = cut->at;
      replica.epochs.Clear();
    } else {
      replica.CutFrom(cut->at);
    }
    Note(fmt::format("{} {} {}", id, cut->whole ? "begins anew at" : "truncates to", cut->at));
    follower->OnCut(replica.ends());
    replica.high_watermark = follower->high_watermark();
    return false;
  }
  // Takes up to `count` records, and the leader's high watermark and start with them.
  void Fetch(BrokerId id, size_t count) {
    TableReplica& replica = at(id);
    if (!Follows(id)) return;
    TableReplica& leader = at(*replica.known->leader);
    if (replica.end() < leader.start) {
      replica.following()->AskAgain();
      return Note(fmt::format("{} is below the leader's start", id));
    }
    for (; count > 0 && replica.end() < leader.end(); --count) {
      replica.Append(leader.at(replica.end()));
    }
    if (options_.page_cache) Sync(id);
    if (replica.following()->OnAppended(replica.end())) MoveHighWatermark(replica);
    Hear(id);
  }
  // What the leader says of itself.
  void Hear(BrokerId id) {
    TableReplica& replica = at(id);
    if (!Follows(id)) return;
    PartitionFollower& follower = *replica.following();
    TableReplica& leader = at(*replica.known->leader);
    follower.OnLeaderLogStart(leader.start);
    if (follower.OnLeaderHighWatermark(leader.high_watermark, replica.end())) {
      MoveHighWatermark(replica);
    }
    if (follower.log_start() > replica.start) replica.CutStart(follower.log_start());
  }
  // Its progress reaches the leader.
  void Report(BrokerId id) {
    TableReplica& replica = at(id);
    if (!Follows(id)) return;
    TableReplica& leader = at(*replica.known->leader);
    auto output = leader.leading()->OnFollowerProgress(id, replica.epoch, replica.ends(), now_);
    if (!output.ok()) return (void)Refuse(id, NameOf(output.status()));
    Do(leader, *output);
  }
  // Follows, and its leader is one, in the same epoch, and up.
  bool Follows(BrokerId id) {
    TableReplica& replica = at(id);
    PartitionFollower* follower = replica.following();
    if (!replica.up || follower == nullptr) return Refuse(id, "does not follow");
    TableReplica& leader = at(*replica.known->leader);
    if (!leader.up || leader.leading() == nullptr ||
        leader.leading()->leader_epoch() != follower->epoch()) {
      return Refuse(id, "has no leader to talk to");
    }
    if (follower->phase() != PartitionFollower::Phase::kFollowing) {
      return Refuse(id, "has not agreed with its leader");
    }
    return true;
  }

  std::string Show(BrokerId id) {
    TableReplica& replica = at(id);
    std::string log;
    for (const TableRecord& record : replica.records) {
      log += fmt::format(" {}/{}", record.value, record.epoch);
    }
    const char* role = !replica.up                      ? "down"
                       : replica.leading() != nullptr   ? "leads"
                       : replica.following() != nullptr ? "follows"
                                                        : "idle";
    return fmt::format("{} {} hw={} durable={} log [{},{}){}", id, role, replica.high_watermark,
                       std::min(replica.durable, replica.end()), replica.start, replica.end(), log);
  }

  std::string TakeNotes() { return std::exchange(notes_, {}); }
  void Note(const std::string& line) { notes_ += line + "\n"; }

  bool lost_committed = false;

 private:
  static std::string Join(const std::vector<BrokerId>& ids) {
    return fmt::format("{}", fmt::join(ids, ","));
  }
  static std::string NameOf(const absl::Status& status) {
    switch (KindOf(status).value_or(ErrorKind::kInvalidRequest)) {
      case ErrorKind::kStaleBrokerEpoch:
        return "STALE_BROKER_EPOCH";
      case ErrorKind::kUnknownLeaderEpoch:
        return "UNKNOWN_LEADER_EPOCH";
      default:
        return std::string(status.message());
    }
  }
  static std::string Describe(const LogMatch& match) {
    if (const auto* meet = std::get_if<LogsMeet>(&match); meet != nullptr) {
      return fmt::format("meet at {}", meet->from);
    }
    if (const auto* diverge = std::get_if<LogsDiverge>(&match); diverge != nullptr) {
      return fmt::format("epoch {} ends at {}", diverge->epoch, diverge->end_offset);
    }
    const auto& outside = std::get<OutsideLog>(match);
    return fmt::format("outside [{},{})", outside.start, outside.end);
  }

  BrokerEpoch NextBrokerEpoch() { return BrokerEpoch(next_broker_epoch_++); }
  size_t IsrMin() const { return std::min(options_.isr_min, truth_.replicas.size()); }
  bool Refuse(BrokerId id, const std::string& why) {
    Note(fmt::format("{} {}", id, why));
    return false;
  }

  void TakeRole(TableReplica& replica) {
    if (!replica.unacknowledged.empty()) Note(fmt::format("{} fails who waits", replica.id));
    replica.unacknowledged.clear();
    std::erase_if(proposals_, [&](const auto& one) { return one.first == replica.id; });
    const PartitionAssignment& known = *replica.known;
    if (known.leader == replica.id) {
      replica.epochs.Assign(known.leader_epoch, replica.end());
      LeaderOptions leader_options;
      leader_options.lag_max = options_.lag_max;
      PartitionLeader& leader = replica.role.emplace<PartitionLeader>(
          replica.id, known,
          PartitionLeader::Start{replica.end(), replica.high_watermark, replica.ends().durable_end,
                                 IsrMin()},
          now_, leader_options);
      Note(fmt::format("{} leads epoch {} from {}, hw={}", replica.id, known.leader_epoch,
                       replica.end(), replica.high_watermark));
      Do(replica, leader.OnTime(now_));
    } else {
      replica.epochs.TruncateFromEnd(replica.end());
      replica.role.emplace<PartitionFollower>(known.leader_epoch, replica.high_watermark);
    }
  }

  std::optional<LogMatch> Answer(TableReplica& leader, TableReplica& follower,
                                 std::optional<LeaderEpoch> last, const ReplicaEnds& ends) {
    if (!leader.up || leader.leading() == nullptr ||
        leader.leading()->leader_epoch() < follower.following()->epoch()) {
      Refuse(follower.id, "UNKNOWN_LEADER_EPOCH");
      return std::nullopt;
    }
    if (leader.leading()->leader_epoch() > follower.following()->epoch()) {
      Refuse(follower.id, "FENCED_LEADER_EPOCH");
      return std::nullopt;
    }
    absl::Status known = leader.leading()->CheckFollower(follower.id, follower.epoch);
    if (!known.ok()) {
      Refuse(follower.id, NameOf(known));
      return std::nullopt;
    }
    std::optional<LogMatch> match =
        MatchLogs(leader.epochs, leader.start, leader.end(), last, ends.log_end);
    if (match.has_value() && std::holds_alternative<LogsMeet>(*match)) {
      Do(leader, *leader.leading()->OnFollowerAgreed(follower.id, follower.epoch, ends, now_));
    }
    return match;
  }

  IsrOutcome Judge(const IsrProposal& proposal) {
    if (proposal.leader_epoch != truth_.leader_epoch ||
        proposal.partition_epoch != truth_.partition_epoch) {
      return std::unexpected(IsrRefusal::kSuperseded);
    }
    for (const IsrMember& member : proposal.isr) {
      const AssignedReplica& replica = Known(member.broker);
      if (!replica.active || (member.broker_epoch && member.broker_epoch != replica.epoch)) {
        return std::unexpected(IsrRefusal::kGivenUp);
      }
    }
    truth_.partition_epoch = PartitionEpoch(truth_.partition_epoch.value() + 1);
    truth_.recovering = false;
    for (AssignedReplica& replica : truth_.replicas) {
      replica.in_isr =
          std::ranges::find(proposal.isr, replica.broker, &IsrMember::broker) != proposal.isr.end();
    }
    CommittedIsr committed{truth_.leader_epoch, truth_.partition_epoch, {}};
    for (const IsrMember& member : proposal.isr) committed.isr.push_back(member.broker);
    return committed;
  }

  void Do(TableReplica& replica, const PartitionLeader::Output& output) {
    if (output.propose.has_value()) {
      Note(fmt::format("{} asks for ISR {}", replica.id, DescribeIsr(*output.propose)));
      proposals_.emplace_back(replica.id, *output.propose);
    }
    if (output.high_watermark_moved) MoveHighWatermark(replica);
  }
  void MoveHighWatermark(TableReplica& replica) {
    replica.high_watermark = replica.leading() != nullptr ? replica.leading()->high_watermark()
                                                          : replica.following()->high_watermark();
    std::string acknowledged;
    while (!replica.unacknowledged.empty() &&
           replica.unacknowledged.begin()->first <= replica.high_watermark) {
      acknowledged += " " + replica.unacknowledged.begin()->second;
      acknowledged_.insert(replica.unacknowledged.begin()->second);
      replica.unacknowledged.erase(replica.unacknowledged.begin());
    }
    Note(fmt::format("{} hw={}{}{}", replica.id, replica.high_watermark,
                     acknowledged.empty() ? "" : ", acknowledges", acknowledged));
  }

 public:
  const std::set<std::string>& acknowledged() const { return acknowledged_; }

 private:
  Options options_;
  PartitionAssignment truth_;
  std::map<BrokerId, TableReplica> replicas_;
  std::deque<std::pair<BrokerId, IsrProposal>> proposals_;
  Instant now_{1'000'000'000};
  int64_t next_broker_epoch_ = 1;
  std::set<std::string> acknowledged_;
  std::string notes_;
};

}  // namespace millrace

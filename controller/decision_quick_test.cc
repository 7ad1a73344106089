// Random events against a dumb model of replicas: whatever brokers, leaders and operators do, a
// leader that is elected cleanly has everything that was committed (P12), there is one leader per
// epoch (P9), who joins an ISR is who may (P11), and epochs only go up.
//
// The model: a replica's log is the list of the leader epochs of its records. Followers copy
// prefixes of the leader's log, cutting off what differs. A record is committed when the whole ISR
// has it while the ISR has min.insync.replicas members. A kill costs a `page-cache` replica any
// part of its log's end, a `disk` replica nothing.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "controller/cluster_story.h"
#include "controller/config_decisions.h"
#include "controller/image/same_entry.h"
#include "test/rounds.h"

namespace millrace {
namespace {

struct Replica {
  std::vector<int32_t> log;
};

struct PartitionModel {
  std::map<BrokerId, Replica> replicas;
  std::vector<int32_t> committed;
  size_t epoch_start = 0;
  std::map<LeaderEpoch, std::pair<BrokerId, BrokerEpoch>> leaders;
};

size_t CommonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  size_t n = 0;
  while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
  return n;
}

class RandomCluster {
 public:
  RandomCluster(uint32_t seed, bool elr) : random_(seed), elr_(elr) {
    page_cache_ = elr && seed % 2 == 1;
    MetadataRecords first;
    if (elr) {
      first = {FeatureLevelRecord{"metadata.version", 33},
               FeatureLevelRecord{"eligible.leader.replicas.version", 1}};
    }
    Apply(first);
    for (int32_t id = 1; id <= kBrokers; ++id) Start(BrokerId(id), /*clean=*/false);
    MetadataRecords topic{TopicRecord{"t", kTopic}};
    topic.emplace_back(ConfigRecord{ConfigResource::kTopic, "t", "min.insync.replicas",
                                    std::to_string(1 + seed % 3)});
    if (page_cache_) {
      topic.emplace_back(
          ConfigRecord{ConfigResource::kTopic, "t", "millrace.durability", "page-cache"});
    }
    for (int32_t p = 0; p < kPartitions; ++p) {
      PartitionImage state;
      BrokerIds replicas;
      for (int32_t r = 0; r < 3; ++r) replicas.emplace_back(1 + (p + r) % kBrokers);
      state.replicas = replicas;
      state.isr = state.replicas;
      state.leader = state.replicas.front();
      DirectoryIds directories;
      for (BrokerId id : replicas) directories.push_back(FirstDirectory(*image_, id));
      state.directories = directories;
      topic.emplace_back(PartitionRecord{kTopic, PartitionId(p), state});
    }
    models_.resize(kPartitions);
    Apply(topic);
  }

  void Step() {
    const auto p = static_cast<size_t>(Below(kPartitions));
    const BrokerId broker(1 + Below(kBrokers));
    switch (Below(18)) {
      case 0:
        return Kill(broker);
      case 1:
        return StopCleanly(broker);
      case 2:
      case 3:
        return alive_.contains(broker) ? void() : Start(broker, clean_.contains(broker));
      case 4:
      case 5:
        return Beat(broker);
      case 6:
        // A blip: it is fenced, and lives.
        return Apply(RecordsOfFencing(*image_, {}, grades_, broker));
      case 7:
      case 8:
      case 9:
        return Append(p);
      case 10:
      case 11:
      case 12:
        return Copy(p, broker);
      case 13:
        return Propose(p, broker, /*join=*/true);
      case 14:
        return Below(3) == 0 ? Propose(p, broker, /*join=*/false) : void();
      case 15:
        return Below(3) == 0 ? Move(p) : void();
      case 16:
        return Below(2) == 0 ? Apply(DecideLeaderBalance(*image_, {}, grades_))
                             : Apply(DecideLeaderless(*image_, {}));
      default:
        return Below(4) == 0 ? ChangeMin() : void();
    }
  }

 private:
  static constexpr int32_t kBrokers = 5;
  static constexpr int32_t kPartitions = 4;
  static constexpr TopicId kTopic{7, 7};

  int32_t Below(int32_t bound) {
    return static_cast<int32_t>(random_() % static_cast<uint32_t>(bound));
  }
  const PartitionImage& State(size_t p) const { return image_->FindTopic(kTopic)->partitions[p]; }
  bool Lives(BrokerId id) const { return alive_.contains(id); }

  void Apply(const MetadataRecords& records) {
    if (records.empty()) return;
    const MetadataEntry entry{RaftTerm(1), Timestamp(index_), records};
    const absl::StatusOr<MetadataEntry> read = DecodeEntry(EncodeEntry(entry));
    REQUIRE(read.ok());
    REQUIRE(SameEntry(*read, entry));
    std::shared_ptr<const MetadataImage> before = image_;
    MetadataDelta delta(image_);
    for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
    image_ = delta.Build(RaftIndex(++index_));
    MetadataImage::Topic topic = image_->FindTopic(kTopic);
    if (topic == nullptr) return;
    MetadataImage::Topic old = before->FindTopic(kTopic);
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      CheckState(topic->partitions[p]);
      if (old != nullptr) CheckStep(old->partitions[p], topic->partitions[p]);
      OnState(p, old == nullptr ? nullptr : &old->partitions[p]);
    }
  }

  void CheckState(const PartitionImage& state) {
    INFO(PartitionText(state));
    std::set<BrokerId> replicas(state.replicas.begin(), state.replicas.end());
    REQUIRE(replicas.size() == state.replicas.size());
    REQUIRE(state.directories.size() == state.replicas.size());
    std::set<BrokerId> isr(state.isr.begin(), state.isr.end());
    REQUIRE(isr.size() == state.isr.size());
    REQUIRE((elr_ || !isr.empty()));
    for (const auto* some : {&state.isr, &state.elr, &state.adding, &state.removing}) {
      for (BrokerId id : *some) REQUIRE(replicas.contains(id));
    }
    for (BrokerId id : state.elr) REQUIRE_FALSE(isr.contains(id));
    if (elr_) {
      for (BrokerId id : state.isr) REQUIRE(image_->FindBroker(id)->active());
    }
    if (!state.leader.has_value()) return;
    REQUIRE(isr.contains(*state.leader));
    REQUIRE(image_->FindBroker(*state.leader)->active());
  }

  static void CheckStep(const PartitionImage& before, const PartitionImage& after) {
    INFO(PartitionText(before) << " -> " << PartitionText(after));
    REQUIRE(after.leader_epoch >= before.leader_epoch);
    REQUIRE(after.partition_epoch >= before.partition_epoch);
    if (after != before) REQUIRE(after.partition_epoch > before.partition_epoch);
    if (after.leader != before.leader) REQUIRE(after.leader_epoch > before.leader_epoch);
  }

  // What a change of the metadata means for the data.
  void OnState(size_t p, const PartitionImage* before) {
    PartitionModel& model = models_[p];
    const PartitionImage& state = State(p);
    for (auto it = model.replicas.begin(); it != model.replicas.end();) {
      it = IsMember(state.replicas, it->first) ? std::next(it) : model.replicas.erase(it);
    }
    if (!state.leader.has_value()) return;
    const BrokerEpoch epoch = image_->FindBroker(*state.leader)->epoch;
    auto [leads, fresh] = model.leaders.try_emplace(state.leader_epoch, *state.leader, epoch);
    INFO(PartitionText(state));
    // One leader per epoch, and one incarnation of it.
    REQUIRE(leads->second == std::pair(*state.leader, epoch));
    // A leader that is dead, which the controller does not know yet, does not begin an epoch.
    if (!fresh || !Lives(*state.leader)) return;
    std::vector<int32_t>& log = model.replicas[*state.leader].log;
    const bool unclean = state.recovery == LeaderRecovery::kRecovering &&
                         (before == nullptr || before->leader != state.leader);
    const size_t has = CommonPrefix(log, model.committed);
    if (unclean) {
      model.committed.resize(has);  // What may be lost is lost; it is told.
    }
    REQUIRE(has == model.committed.size());
    model.epoch_start = log.size();
  }

  void Commit(size_t p) {
    PartitionModel& model = models_[p];
    const PartitionImage& state = State(p);
    if (!state.leader.has_value() || !Lives(*state.leader)) return;
    const auto min =
        static_cast<size_t>(SettingsOf(*image_, *image_->FindTopic(kTopic), {}).isr_min);
    // Without eligible leader replicas the high watermark moves whatever the minimum is: the
    // smallest ISR has it all.
    if (elr_ && state.isr.size() < std::min(min, state.replicas.size())) return;
    const std::vector<int32_t>& log = model.replicas[*state.leader].log;
    size_t high_watermark = log.size();
    for (BrokerId id : state.isr) {
      high_watermark = std::min(high_watermark, CommonPrefix(model.replicas[id].log, log));
    }
    if (high_watermark <= model.committed.size()) return;
    REQUIRE(CommonPrefix(log, model.committed) == model.committed.size());
    model.committed.assign(log.begin(), log.begin() + static_cast<ptrdiff_t>(high_watermark));
  }

  void Append(size_t p) {
    const PartitionImage& state = State(p);
    if (!state.leader.has_value() || !Lives(*state.leader)) return;
    models_[p].replicas[*state.leader].log.push_back(state.leader_epoch.value());
    Commit(p);
  }

  void Copy(size_t p, BrokerId follower) {
    const PartitionImage& state = State(p);
    if (!state.leader.has_value() || !Lives(*state.leader) || !Lives(follower)) return;
    if (state.leader == follower || !IsMember(state.replicas, follower)) return;
    const std::vector<int32_t>& from = models_[p].replicas[*state.leader].log;
    std::vector<int32_t>& to = models_[p].replicas[follower].log;
    const size_t common = CommonPrefix(from, to);
    const size_t upto =
        common + static_cast<size_t>(Below(static_cast<int32_t>(from.size() - common) + 1));
    to.assign(from.begin(), from.begin() + static_cast<ptrdiff_t>(upto));
    Commit(p);
  }

  void Propose(size_t p, BrokerId other, bool join) {
    const PartitionImage state = State(p);
    if (!state.leader.has_value() || !Lives(*state.leader) || state.leader == other) return;
    if (!IsMember(state.replicas, other) || join == IsMember(state.isr, other)) return;
    PartitionModel& model = models_[p];
    const std::vector<int32_t>& log = model.replicas[*state.leader].log;
    const size_t has = CommonPrefix(log, model.replicas[other].log);
    const bool caught_up = has >= model.committed.size() && has >= model.epoch_start;
    if (join && !caught_up) return;
    IsrChange proposal{
        {kTopic, PartitionId(static_cast<int32_t>(p))}, state.leader_epoch, state.partition_epoch};
    for (BrokerId id : state.isr) {
      if (join || id != other) proposal.isr.push_back({id, image_->FindBroker(id)->epoch});
    }
    if (join) proposal.isr.push_back({other, epochs_.at(other)});
    AlterPartitionRequest request{*state.leader, epochs_.at(*state.leader), {proposal}};
    auto decision = DecideAlterPartition(*image_, {}, grades_, request);
    // P11: a member is who serves, by its current epoch.
    const BrokerImage& joining = *image_->FindBroker(other);
    const bool may = !join || (joining.active() && joining.epoch == epochs_.at(other));
    if (decision.reply.ok() && !may) REQUIRE_FALSE(decision.reply->front().status.ok());
    Apply(decision.records);
    Commit(p);
  }

  void Move(size_t p) {
    ReassignmentRequest request{"t", PartitionId(static_cast<int32_t>(p)), std::nullopt};
    if (Below(3) != 0) {
      std::set<BrokerId> target;
      const auto size = static_cast<size_t>(1 + Below(3));
      while (target.size() < size) target.emplace(1 + Below(kBrokers));
      request.replicas = BrokerIds(target.begin(), target.end());
    }
    const bool electable = Electable(p);
    Apply(DecideReassignments(*image_, {}, {request}, true).records);
    // Who moves replicas does not throw away the only ones with what was committed.
    INFO(PartitionText(State(p)));
    REQUIRE((Electable(p) || !electable));
  }

  // Somebody may yet lead without loss.
  bool Electable(size_t p) const { return !State(p).isr.empty() || !State(p).elr.empty(); }

  void ChangeMin() {
    const ConfigChange change{"min.insync.replicas", ConfigOp::kSet, std::to_string(1 + Below(3))};
    Apply(
        DecideAlterConfigs(*image_, {}, {{ConfigResource::kTopic, "t", {change}}}, false).records);
    for (size_t p = 0; p < models_.size(); ++p) Commit(p);
  }

  void Kill(BrokerId id) {
    if (alive_.erase(id) == 0) return;
    clean_.erase(id);
    if (page_cache_) {
      for (PartitionModel& model : models_) {
        auto found = model.replicas.find(id);
        if (found == model.replicas.end()) continue;
        std::vector<int32_t>& log = found->second.log;
        log.resize(log.size() - static_cast<size_t>(Below(static_cast<int32_t>(log.size()) + 1)));
      }
    }
    // It may be back before anybody notices.
    if (Below(2) == 0) Apply(RecordsOfFencing(*image_, {}, grades_, id));
  }

  void StopCleanly(BrokerId id) {
    if (!Lives(id) || image_->FindBroker(id)->epoch != epochs_.at(id)) return;
    for (int beat = 0; beat < 2; ++beat) {
      BrokerHeartbeat heartbeat{id, epochs_.at(id), RaftIndex(index_)};
      heartbeat.wants_shutdown = true;
      auto decision = DecideHeartbeat(*image_, {}, grades_, heartbeat, std::nullopt, std::nullopt);
      REQUIRE(decision.reply.ok());
      Apply(decision.records);
    }
    REQUIRE(image_->FindBroker(id)->fenced);
    alive_.erase(id);
    clean_.insert(id);
  }

  void Start(BrokerId id, bool clean) {
    BrokerRegistration request{
        id, IncarnationId(1, static_cast<uint64_t>(++incarnation_)), "c", {}};
    request.log_directories = {{DirectoryId(1000, static_cast<uint64_t>(id.value())), true, true}};
    request.features = AnnouncedFeatures();
    if (clean) request.clean_epoch = epochs_.at(id);
    auto decision = DecideRegistration(*image_, "c", {}, grades_, request, SessionState::kBroken,
                                       BrokerEpoch(index_ + 1));
    REQUIRE(decision.reply.ok());
    epochs_.insert_or_assign(id, decision.reply->epoch);
    alive_.insert(id);
    clean_.erase(id);
    Apply(decision.records);
    if (models_.empty() || Below(2) == 0) Beat(id);
  }

  void Beat(BrokerId id) {
    if (!Lives(id)) return;
    BrokerHeartbeat heartbeat{id, epochs_.at(id), RaftIndex(index_)};
    // Disks fill up and get room, become slow and steady, and now and then another controller hears of it first.
    if (Below(4) == 0) {
      heartbeat.full_directories = {DirectoryId(1000, static_cast<uint64_t>(id.value()))};
    }
    if (Below(4) == 0) {
      heartbeat.slow_directories = {DirectoryId(1000, static_cast<uint64_t>(id.value()))};
    }
    if (Below(20) == 0) grades_.Clear();
    now_ = now_ + seconds(5);
    (void)grades_.Hear(id, heartbeat.full_directories, heartbeat.slow_directories, now_);
    // It serves with the first, what is full is relieved with the second, and nothing is left to do.
    for (int again = 0; again < 3; ++again) {
      auto decision = DecideHeartbeat(*image_, {}, grades_, heartbeat, std::nullopt, std::nullopt);
      REQUIRE(decision.reply.ok());
      REQUIRE((decision.records.empty() || again < 2));
      Apply(decision.records);
    }
  }

  std::mt19937 random_;
  const bool elr_;
  bool page_cache_ = false;
  std::shared_ptr<const MetadataImage> image_ = std::make_shared<const MetadataImage>();
  DirectoryGrades grades_;
  Instant now_{0};
  int64_t index_ = 0;
  int64_t incarnation_ = 0;
  std::set<BrokerId> alive_;
  std::set<BrokerId> clean_;
  std::map<BrokerId, BrokerEpoch> epochs_;
  std::vector<PartitionModel> models_;
};

void RunSeeds(bool elr) {
  for (uint32_t seed = 1; seed <= Rounds(300); ++seed) {
    INFO("seed " << seed);
    RandomCluster cluster(seed, elr);
    for (int step = 0; step < 300; ++step) cluster.Step();
  }
}

}  // namespace

TEST_CASE("Decisions: with eligible leader replicas nothing committed is lost, whatever happens") {
  RunSeeds(/*elr=*/true);
}

TEST_CASE("Decisions: without them nothing committed is lost on durable replicas") {
  RunSeeds(/*elr=*/false);
}

}  // namespace millrace

#include "test/sim/quorum_story.h"

#include <algorithm>
#include <utility>

#include "common/runtime/sim/sim_fabric.h"
#include "controller/image/image_snapshot.h"
#include "controller/quorum/raft_codec.h"
#include "test/sim/quorum_bugs.h"

namespace millrace::simtest {
namespace {

// A healed quorum has a leader and has caught up within this (P33).
constexpr Duration kPatience = seconds(60);

}  // namespace

const char* QuorumBugName(QuorumBug bug) {
  switch (bug) {
    case QuorumBug::kNone:
      return "none";
    case QuorumBug::kWritesWithoutSync:
      return "writes-without-sync";
    case QuorumBug::kWipedKeepsIdentity:
      return "wiped-keeps-identity";
    case QuorumBug::kTrustsDamage:
      return "trusts-damage";
    case QuorumBug::kSnapshotsOlderState:
      return "snapshots-older-state";
    case QuorumBug::kSnapshotsWithoutVoters:
      return "snapshots-without-voters";
  }
  return "";
}

// --- What must hold ------------------------------------------------------------------------------

void QuorumChecker::Active(int id, RaftTerm term) {
  const auto [known, first] = leaders_.try_emplace(term, id);
  if (known->second != id) {
    Wrong(fmt::format("one leader a term: {} and {} both lead term {}", known->second, id, term));
  }
}

void QuorumChecker::Committed(int id, RaftIndex before, RaftIndex index, const MetadataEntry& entry,
                              std::shared_ptr<const MetadataImage> image) {
  if (index != raft::After(before)) {
    Wrong(fmt::format("{} applies {} after {}", id, index, before));
  }
  const auto [known, first] = entries_.try_emplace(index, MixText(1, EncodeEntry(entry)));
  if (!first && known->second != MixText(1, EncodeEntry(entry))) {
    Wrong(fmt::format("committed prefixes are equal: {} applies another entry {}", id, index));
  }
  if (!first) return;
  images_[index] = std::move(image);
  for (const MetadataRecord& record : entry.records) {
    if (const auto* removal = std::get_if<RemoveTopicRecord>(&record)) {
      ever_deleted_.insert(removal->topic_id);
    }
    const auto* creation = std::get_if<TopicRecord>(&record);
    if (creation != nullptr && ever_deleted_.contains(creation->topic_id)) {
      Wrong(fmt::format("deleted topics do not come back: entry {} makes one again", index));
    }
  }
}

void QuorumChecker::Restored(int id, RaftIndex index, const MetadataImage& image) {
  ++restored_;
  const auto known = images_.find(index);
  if (known == images_.end()) {
    Wrong(fmt::format("{} takes a snapshot of {}, which nobody has applied", id, index));
  } else if (!known->second->SameAs(image)) {
    Wrong(fmt::format("snapshot = replay: {} takes a snapshot of {} that is another state", id,
                      index));
  }
}

void QuorumChecker::Created(const TopicId& id, RaftIndex index) {
  created_.emplace(id, index);
  if (!entries_.contains(index)) {
    Wrong(fmt::format("entry {} was acknowledged before it was applied", index));
  }
}

void QuorumChecker::Final(const MetadataImage& image) {
  for (const auto& [id, index] : created_) {
    if (ever_deleted_.contains(id) || image.FindTopic(id) != nullptr) continue;
    Wrong(fmt::format("the topic of entry {} was acknowledged and is not there", index));
  }
  for (const TopicId& id : deleted_) {
    if (image.FindTopic(id) != nullptr)
      Wrong("a deletion was acknowledged, but the topic is there");
  }
}

void QuorumChecker::Voters(int id, RaftIndex index, const raft::VoterSet& voters) {
  const auto [known, first] = voters_.try_emplace(index, voters);
  if (!first) {
    if (known->second != voters) {
      Wrong(fmt::format("voters are agreed on: {} has others since entry {}", id, index));
    }
    return;
  }
  voters_max_ = std::max(voters_max_, voters.size());
  if (voters.size() + 1 < voters_max_) {
    Wrong(fmt::format("voters go one at a time: {} are left of {} at entry {}", voters.size(),
                      voters_max_, index));
  }
}

// --- The machines --------------------------------------------------------------------------------

class QuorumStory::Observer final : public LeadershipObserver {
 public:
  Observer(QuorumChecker& checker, int id) : checker_(checker), id_(id) {}
  void OnLeadership(std::optional<RaftTerm> active) override {
    if (active.has_value()) checker_.Active(id_, *active);
  }

 private:
  QuorumChecker& checker_;
  const int id_;
};

// The state, watched.
class QuorumStory::Watched final : public CommittedEntries {
 public:
  Watched(QuorumStory& story, int id, MetadataState& state)
      : story_(story), id_(id), state_(state) {}

  absl::Status OnCommitted(RaftIndex index, const MetadataEntry& entry) override {
    older_ = state_.image();
    const absl::Status applied = state_.OnCommitted(index, entry);
    if (!applied.ok()) {
      story_.checker_.Wrong(
          fmt::format("{} cannot apply entry {}: {}", id_, index, std::string(applied.message())));
      return applied;
    }
    story_.checker_.Committed(id_, at_, index, entry, state_.image());
    story_.LookAtVoters();
    at_ = index;
    return applied;
  }
  absl::Status OnSnapshot(RaftIndex index, const std::vector<std::string>& chunks) override {
    const absl::Status restored = state_.OnSnapshot(index, chunks);
    if (restored.ok()) story_.checker_.Restored(id_, index, *state_.image());
    at_ = index;
    return restored;
  }
  std::move_only_function<std::optional<std::string>()> TakeSnapshot() const override {
    if (story_.bug_ != QuorumBug::kSnapshotsOlderState || older_ == nullptr) {
      return state_.TakeSnapshot();
    }
    return [writer = ImageSnapshotWriter(older_, kSnapshotChunkBytes)]() mutable {
      return writer.Next();
    };
  }

 private:
  QuorumStory& story_;
  const int id_;
  MetadataState& state_;
  RaftIndex at_{0};
  std::shared_ptr<const MetadataImage> older_;
};

QuorumStory::QuorumStory(uint64_t seed, QuorumKind kind, QuorumBug bug,
                         std::function<void(std::string)> trace, Logger* logger)
    : kind_(kind), bug_(bug), swarm_(SimRandom::Derived(seed, "swarm")) {
  world_ = std::make_unique<SimWorld>(seed, DrawWorld());
  if (trace) world_->trace().set_sink(std::move(trace));
  if (logger != nullptr) world_->set_logger(*logger);
  tuning_.tick = milliseconds(swarm_.Between(20, 60));
  tuning_.heartbeat = tuning_.tick * swarm_.Between(1, 3);
  tuning_.election_timeout = tuning_.heartbeat * swarm_.Between(4, 8);
  tuning_.snapshot_bytes = static_cast<int64_t>(swarm_.Between(200, 4000));
  tuning_.entries_kept = static_cast<int64_t>(swarm_.Below(20));
  kill_weight_ = swarm_.Below(4);
  power_weight_ = swarm_.Below(4);
  wipe_weight_ = swarm_.Below(3);
  damage_weight_ = swarm_.Below(3);
  pause_weight_ = swarm_.Below(2);
  network_weight_ = swarm_.Below(5);
  fault_gap_max_ = swarm_.Between(milliseconds(200), milliseconds(5000));
  think_max_ = swarm_.Between(milliseconds(1), milliseconds(200));
  const bool joined = kind_ == QuorumKind::kJoined;
  const int count = swarm_.Coin() ? 3 : static_cast<int>(swarm_.Between(joined ? 2 : 1, 5));
  for (int id = 1; id <= count; ++id) {
    auto machine = std::make_unique<Machine>();
    machine->id = id;
    machine->node = &world_->AddNode(QuorumHost(id));
    machine->directory = swarm_.NextUuid();
    machine->observer = std::make_unique<Observer>(checker_, id);
    machines_.push_back(std::move(machine));
  }
  if (!joined) return;
  const uint64_t founders = swarm_.Between(1, static_cast<uint64_t>(count));
  std::map<BrokerId, raft::Voter> voters;
  for (size_t i = 0; i < founders; ++i) {
    Machine& machine = *machines_[i];
    machine.founder = true;
    voters[BrokerId(machine.id)] = {machine.directory,
                                    {{"CONTROLLER", QuorumHost(machine.id), kQuorumPort}}};
  }
  founders_ = raft::VoterSet(std::move(voters));
}

QuorumStory::~QuorumStory() = default;

void QuorumStory::SetQuorum(const Machine& machine, RaftQuorumOptions& options) const {
  if (kind_ == QuorumKind::kStatic) return;
  options.static_voters = raft::VoterSet();
  if (machine.founder) options.initial_voters = founders_;
  for (const auto& other : machines_) {
    options.bootstrap.push_back({QuorumHost(other->id), kQuorumPort});
  }
  options.endpoints = {{"CONTROLLER", QuorumHost(machine.id), kQuorumPort}};
  options.auto_join = true;
}

void QuorumStory::LookAtVoters() {
  for (const auto& machine : machines_) {
    QuorumProgram* program = Running(*machine);
    if (program == nullptr) continue;
    const raft::RaftCore& core = program->quorum().core();
    const RaftIndex index = core.log().voters_index();
    if (index > core.log().commit() || core.voters().empty()) continue;
    checker_.Voters(machine->id, index, core.voters());
  }
}

SimOptions QuorumStory::DrawWorld() {
  SimOptions options;
  options.turn_delay_max = swarm_.Between(Duration(1000), microseconds(200));
  options.resumes_per_turn_max = static_cast<uint32_t>(swarm_.Between(1, 64));
  options.network.latency_max =
      swarm_.Coin() ? microseconds(500) : swarm_.Between(milliseconds(1), milliseconds(30));
  options.network.segment_bytes_max = swarm_.Between(200, 16 * 1024);
  options.disk.latency_max = swarm_.Between(Duration(microseconds(20)), milliseconds(3));
  options.disk.sync_latency_max = swarm_.Between(Duration(microseconds(100)), milliseconds(20));
  if (swarm_.Coin()) options.network.breaks = {static_cast<uint32_t>(swarm_.Between(10, 3000))};
  return options;
}

void QuorumStory::Start(Machine& machine) {
  machine.node->Start([this, &machine](SimProcess& process) {
    QuorumProgram::Options options;
    options.quorum =
        QuorumOptions(machine.id, static_cast<int>(machines_.size()), machine.directory);
    SetQuorum(machine, options.quorum);
    options.quorum.tick = tuning_.tick;
    options.quorum.heartbeat = tuning_.heartbeat;
    options.quorum.election_timeout = tuning_.election_timeout;
    options.quorum.snapshot_bytes = tuning_.snapshot_bytes;
    options.quorum.entries_kept = tuning_.entries_kept;
    options.connected = machines_.size() > 1;
    options.observer = machine.observer.get();
    options.wrap_state = [this, id = machine.id](MetadataState& state) {
      return std::make_unique<Watched>(*this, id, state);
    };
    options.wrap_store = [this, &machine](std::unique_ptr<KvStore> kv) {
      const bool damage = std::exchange(machine.damage_next, false);
      return PlantQuorumBug(std::move(kv), bug_, damage,
                            raft::ReplicaKey{BrokerId(machine.id), machine.directory});
    };
    options.work = [this](QuorumProgram* program) { return Work(this, program); };
    return std::make_unique<QuorumProgram>(process, std::move(options));
  });
}

// What a controller would do: it decides on the image, and what it proposed is committed or not.
Task<void> QuorumStory::Work(QuorumStory* story, QuorumProgram* program) {
  Env& env = program->env();
  while (program->started()) {
    const Duration think(
        static_cast<int64_t>(env.random.Below(static_cast<uint64_t>(story->think_max_.count()))));
    (void)co_await Sleep(env.reactor, think, program->scope().token());
    if (program->started() && program->quorum().leading_term().has_value()) {
      co_await Once(story, program);
    }
  }
}

Task<void> QuorumStory::Once(QuorumStory* story, QuorumProgram* program) {
  constexpr size_t kTopicsMax = 12;
  Env& env = program->env();
  const std::shared_ptr<const MetadataImage> image = program->state().image();
  MetadataImage::Topic topic;
  uint64_t skip = env.random.Below(image->topics().size() + 1);
  image->topics().ForEach([&](const std::string&, const MetadataImage::Topic& one) {
    topic = one;
    return skip-- > 0;
  });
  std::vector<MetadataRecord> records;
  if (topic != nullptr && env.random.Below(kTopicsMax) < image->topics().size()) {
    records.emplace_back(RemoveTopicRecord{topic->topic_id});
    if ((co_await program->quorum().Propose(std::move(records))).ok()) {
      story->checker_.Deleted(topic->topic_id);
    }
    co_return;
  }
  const TopicId id = env.random.NextUuid();
  const RaftIndex next = program->quorum().next_index();
  records.emplace_back(TopicRecord{id.ToString(), id});
  const auto index = co_await program->quorum().Propose(std::move(records));
  if (!index.ok()) co_return;
  if (*index != next) story->checker_.Wrong("a proposal got another index than was foretold");
  story->checker_.Created(id, *index);
}

QuorumProgram* QuorumStory::Running(Machine& machine) {
  if (!machine.node->up() || machine.node->state() != SimNode::State::kRunning) return nullptr;
  return static_cast<QuorumProgram*>(&machine.node->program());
}

QuorumProgram* QuorumStory::Active() {
  QuorumProgram* active = nullptr;
  for (const auto& machine : machines_) {
    QuorumProgram* program = Running(*machine);
    if (program == nullptr || !program->quorum().leading_term().has_value()) continue;
    if (active == nullptr || *program->quorum().leading_term() > *active->quorum().leading_term()) {
      active = program;
    }
  }
  return active;
}

bool QuorumStory::Converged() {
  QuorumProgram* active = Active();
  if (active == nullptr) return false;
  const RaftIndex end = active->quorum().applied();
  for (const auto& machine : machines_) {
    QuorumProgram* program = Running(*machine);
    if (program == nullptr || program->quorum().applied().value() + 3 < end.value()) return false;
    if (program->quorum().leader() != active->quorum().self().id) return false;
    if (!active->quorum().core().voters().Contains(program->quorum().self())) return false;
  }
  return active->quorum().core().voters().size() == machines_.size();
}

bool QuorumStory::Whole() {
  if (machines_.size() < 3) return false;
  for (const auto& machine : machines_) {
    if (Running(*machine) == nullptr) return false;
  }
  const raft::VoterSet& voters = Running(*machines_.front())->quorum().core().voters();
  for (const auto& machine : machines_) {
    const raft::RaftCore& core = Running(*machine)->quorum().core();
    // Nobody may go by an older set, in which fewer would be left.
    if (core.voters() != voters || !voters.complete()) return false;
    if (voters.size() != machines_.size() || !voters.Contains(core.self())) return false;
    if (core.log().voters_index() > core.log().commit()) return false;
  }
  return true;
}

// --- What breaks ---------------------------------------------------------------------------------

void QuorumStory::KeepUp() {
  for (const auto& machine : machines_) {
    if (machine->node->up() && machine->node->state() == SimNode::State::kFailed) {
      machine->node->Kill();
    }
    QuorumProgram* program = Running(*machine);
    if (program != nullptr && !program->failure().ok()) machine->node->Kill();
    if (!machine->node->up()) Start(*machine);
  }
}

void QuorumStory::BreakSomething() {
  if (!breaking_ || !checker_.violations().empty()) return;
  SimRandom& dice = world_->dice();
  world_->After(dice.Between(milliseconds(10), fault_gap_max_), [this] { BreakSomething(); });
  KeepUp();
  const uint64_t machines =
      kill_weight_ + power_weight_ + wipe_weight_ + damage_weight_ + pause_weight_;
  if (machines + network_weight_ == 0) return;
  ++faults_;
  if (dice.Below(machines + network_weight_) < machines) {
    BreakMachine(*machines_[dice.Below(machines_.size())]);
  } else {
    BreakNetwork();
  }
}

void QuorumStory::BreakMachine(Machine& machine) {
  SimRandom& dice = world_->dice();
  const Duration down = dice.Between(milliseconds(1), milliseconds(3000));
  const auto start_later = [this, &machine, down] {
    world_->After(down, [this, &machine] {
      if (breaking_ && !machine.node->up()) Start(machine);
    });
  };
  uint64_t drawn =
      dice.Below(kill_weight_ + power_weight_ + wipe_weight_ + damage_weight_ + pause_weight_);
  const auto is = [&drawn](uint64_t weight) {
    const bool yes = drawn < weight;
    drawn -= yes ? 0 : weight;
    return yes;
  };
  if (is(kill_weight_)) {
    machine.node->Kill();
    start_later();
  } else if (is(power_weight_)) {
    // Now and then all at once: then only what was synced counts.
    const bool all = dice.Below(4) == 0;
    for (const auto& other : machines_) {
      if (other.get() != &machine && !(all && other->node->up())) continue;
      other->node->PowerLoss();
    }
    start_later();
  } else if (is(wipe_weight_)) {
    if (!Whole()) return;
    machine.node->Wipe();
    machine.founder = false;  // Or it would begin a quorum of its own.
    if (bug_ != QuorumBug::kWipedKeepsIdentity) machine.directory = dice.NextUuid();
    start_later();
  } else if (is(damage_weight_)) {
    if (!Whole()) return;
    machine.node->PowerLoss();
    machine.damage_next = true;
    start_later();
  } else {
    machine.node->Pause();
    world_->After(down, [&machine] { machine.node->Resume(); });
  }
}

void QuorumStory::BreakNetwork() {
  SimRandom& dice = world_->dice();
  SimFabric& network = world_->network();
  SimNode& a = *machines_[dice.Below(machines_.size())]->node;
  SimNode& b = *machines_[dice.Below(machines_.size())]->node;
  switch (dice.Below(5)) {
    case 0:
      network.CutOneWay(a, b);
      break;
    case 1:
      network.Cut(a, b);
      break;
    case 2:  // Alone.
      for (const auto& machine : machines_) {
        if (machine->node != &a) network.Cut(a, *machine->node);
      }
      break;
    default:
      network.Break(a, b);
      return;
  }
  world_->After(dice.Between(milliseconds(10), milliseconds(8000)), [this] {
    if (breaking_) world_->network().HealAll();
  });
}

// --- The seed ------------------------------------------------------------------------------------

std::string QuorumStory::Describe() {
  std::string text;
  for (const auto& machine : machines_) {
    QuorumProgram* program = Running(*machine);
    if (program == nullptr) {
      text += fmt::format("; {} does not run: {}", machine->id,
                          machine->node->state() == SimNode::State::kFailed
                              ? machine->node->start_status().ToString()
                              : "");
      continue;
    }
    const raft::RaftCore& core = program->quorum().core();
    text += fmt::format("; {} role {} term {} applied {} of {} voters", machine->id,
                        static_cast<int>(core.role()), core.term(), program->quorum().applied(),
                        core.log().last_index());
    for (const auto& [id, voter] : core.voters().all()) {
      text += fmt::format(" {}{}", id, voter.directory.has_value() ? "" : "?");
    }
    if (!program->failure().ok()) text += " failed: " + program->failure().ToString();
  }
  return text;
}

Outcome QuorumStory::Run() {
  for (const auto& machine : machines_) Start(*machine);
  breaking_ = true;
  world_->After(swarm_.Between(milliseconds(10), milliseconds(3000)), [this] { BreakSomething(); });
  const Instant end = world_->Now() + swarm_.Between(seconds(15), seconds(30));
  while (world_->Now() < end && checker_.violations().empty()) world_->RunFor(milliseconds(500));
  breaking_ = false;
  if (!checker_.violations().empty()) return Finish();

  world_->network().HealAll();
  world_->network().options().breaks = {};
  for (const auto& machine : machines_) machine->node->Resume();
  const size_t before = checker_.committed();
  Instant next_look = world_->Now();
  const bool healed = world_->RunUntil(
      [&] {
        if (world_->Now() < next_look) return false;
        next_look = world_->Now() + milliseconds(50);
        KeepUp();
        LookAtVoters();
        return !checker_.violations().empty() || (Converged() && checker_.committed() > before);
      },
      kPatience);
  if (!healed) {
    checker_.Wrong(fmt::format("liveness: healed, but after {} s not one leader and equal logs{}",
                               std::chrono::duration_cast<seconds>(kPatience).count(), Describe()));
  }
  if (QuorumProgram* active = Active()) checker_.Final(*active->state().image());
  return Finish();
}

Outcome QuorumStory::Finish() {
  Outcome outcome;
  outcome.violations = checker_.violations();
  outcome.trace_hash = world_->trace().hash();
  outcome.events = world_->trace().records();
  outcome.summary = fmt::format(
      "{} controllers, {} entries committed, {} acknowledged, {} terms, {} sets of voters, {} "
      "snapshots taken over, {} faults, {} events, {:.1f} virtual s",
      machines_.size(), checker_.committed(), checker_.acknowledged(), checker_.terms(),
      checker_.voter_sets(), checker_.restored(), faults_, outcome.events,
      static_cast<double>(world_->Now().nanoseconds()) / 1e9);
  return outcome;
}

}  // namespace millrace::simtest

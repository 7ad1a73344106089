#include "test/sim/story.h"

#include <algorithm>

#include "common/runtime/sim/sim_fabric.h"
#include "test/sim/group_member.h"
#include "test/sim/mover.h"

namespace millrace::simtest {
namespace {

// What a healed cluster may take to acknowledge everything that was sent (P33, P34).
constexpr Duration kPatience = seconds(120);
// Of so many power losses one hits all brokers.
constexpr uint64_t kBlackoutOneIn = 6;

}  // namespace

// All producers and consumers of the story; their machine does not crash.
class Story::Clients final : public SimProgram {
 public:
  Clients(SimProcess& process, Story& story, int producers, int consumers, int members,
          int watchers) {
    Env& env = process.env();
    for (int i = 0; i < producers; ++i) {
      producers_.push_back(std::make_unique<SimProducer>(env, story.plan_, story.history_, i));
    }
    for (int i = 0; i < consumers; ++i) {
      consumers_.push_back(std::make_unique<SimConsumer>(env, story.plan_, story.history_, i));
    }
    for (int i = 0; i < members; ++i) {
      members_.push_back(std::make_unique<SimGroupMember>(env, story.plan_, story.history_, i));
    }
    for (int i = 0; i < watchers; ++i) {
      watchers_.push_back(
          std::make_unique<SimGroupMember>(env, story.watching_, story.history_, 100 + i));
    }
    if (story.options_.moves) {
      mover_ = std::make_unique<SimMover>(env, story.plan_, story.history_);
    }
  }
  Task<absl::Status> Start() override {
    for (auto& producer : producers_) producer->Start();
    for (auto& consumer : consumers_) consumer->Start();
    for (auto& member : members_) member->Start();
    for (auto& watcher : watchers_) watcher->StartWatching();
    if (mover_ != nullptr) mover_->Start();
    co_return absl::OkStatus();
  }
  Task<void> Stop() override {
    for (auto& producer : producers_) co_await producer->Stop();
    for (auto& consumer : consumers_) co_await consumer->Stop();
    for (auto& member : members_) co_await member->Stop();
    for (auto& watcher : watchers_) co_await watcher->Stop();
    if (mover_ != nullptr) co_await mover_->Stop();
  }
  void Drain() {
    for (auto& producer : producers_) producer->Drain();
    for (auto& consumer : consumers_) consumer->ReadToTheEnd();
    if (mover_ != nullptr) mover_->Rest();
  }
  bool Drained() const {
    if (mover_ != nullptr && !mover_->done()) return false;
    return std::all_of(producers_.begin(), producers_.end(),
                       [](const auto& producer) { return producer->done(); });
  }
  std::string Stuck() const {
    std::string stuck;
    for (const auto& producer : producers_) {
      if (producer->done()) continue;
      stuck += fmt::format(" {} batches ({})", producer->outstanding(), producer->state());
    }
    if (mover_ != nullptr && !mover_->done()) stuck += " partitions that are being moved";
    return stuck;
  }
  // P28: what was acknowledged and has not come to every consumer; empty: nothing.
  std::string Undelivered(const WorkloadPlan& plan, const History& history) const {
    for (int32_t partition = 0; partition < plan.partitions; ++partition) {
      const int64_t end = history.AcknowledgedEnd({plan.topic, partition});
      for (const auto& consumer : consumers_) {
        if (consumer->reached(partition) >= end) continue;
        return fmt::format("partition {}: {} of {} ({})", partition, consumer->reached(partition),
                           end, consumer->state());
      }
    }
    return "";
  }
  // Positions that members of the group have committed.
  uint64_t Committed() const {
    uint64_t committed = 0;
    for (const auto& member : members_) committed += member->committed();
    return committed;
  }
  uint64_t Moves() const { return mover_ == nullptr ? 0 : mover_->moves(); }
  bool HasMembers() const { return !members_.empty(); }
  void SilenceAllButOne() {
    members_.front()->Stay();
    for (size_t i = 1; i < members_.size(); ++i) members_[i]->FallSilent();
  }
  // Partitions of who is left then.
  size_t OwnedByOne() const { return members_.front()->owned(); }
  std::string Members() const {
    std::string states;
    for (const auto& member : members_) states += " " + member->state();
    return states;
  }

 private:
  std::vector<std::unique_ptr<SimProducer>> producers_;
  std::vector<std::unique_ptr<SimConsumer>> consumers_;
  std::vector<std::unique_ptr<SimGroupMember>> members_;
  std::vector<std::unique_ptr<SimGroupMember>> watchers_;
  std::unique_ptr<SimMover> mover_;  // May be null.
};

Story::Story(uint64_t seed, const StoryOptions& options)
    : options_(options),
      swarm_(SimRandom::Derived(seed, "swarm")),
      shard_dice_(SimRandom::Derived(seed, "shards")),
      blackout_dice_(SimRandom::Derived(seed, "blackouts")),
      history_(options.promises) {
  world_ = std::make_unique<SimWorld>(seed, DrawWorld());
  if (options.trace) world_->trace().set_sink(options.trace);
  if (options.logger != nullptr) world_->set_logger(*options.logger);
  DrawPlan();
}

Story::~Story() = default;

SimOptions Story::DrawWorld() {
  SimOptions options;
  options.turn_delay_max = swarm_.Between(Duration(1000), microseconds(200));
  options.resumes_per_turn_max = static_cast<uint32_t>(swarm_.Between(1, 64));
  options.network.latency_max =
      swarm_.Coin() ? microseconds(500) : swarm_.Between(milliseconds(1), milliseconds(50));
  options.network.buffer_bytes = swarm_.Between(2000, 256 * 1024);
  options.network.segment_bytes_max = swarm_.Between(200, 16 * 1024);
  options.disk.latency_max = swarm_.Between(Duration(microseconds(20)), milliseconds(5));
  options.disk.sync_latency_max = swarm_.Between(Duration(microseconds(100)), milliseconds(20));
  options.disk.direct_alignment = swarm_.Coin() ? 4096 : (swarm_.Coin() ? 512 : 1);
  if (options_.network_faults && swarm_.Coin()) {
    options.network.breaks = {static_cast<uint32_t>(swarm_.Between(10, 3000))};
  }
  if (options_.disk_faults && swarm_.Coin()) {
    options.disk.stalls = {static_cast<uint32_t>(swarm_.Between(10, 2000))};
    options.disk.stall = swarm_.Between(milliseconds(10), milliseconds(2000));
  }
  options.disk.syncs_together = swarm_.Coin();
  return options;
}

void Story::DrawPlan() {
  plan_.partitions = static_cast<int32_t>(swarm_.Between(1, 4));
  plan_.produce_version =
      static_cast<int16_t>(swarm_.Between(9, static_cast<uint64_t>(options_.produce_version_max)));
  plan_.fetch_version =
      static_cast<int16_t>(swarm_.Between(11, static_cast<uint64_t>(options_.fetch_version_max)));
  plan_.in_flight_max = static_cast<int>(swarm_.Between(1, 5));
  plan_.records_per_batch_max = static_cast<int>(swarm_.Between(1, 20));
  plan_.padding_max = swarm_.Coin() ? 20 : swarm_.Between(100, 4000);
  plan_.think_max = swarm_.Between(milliseconds(1), milliseconds(200));
  kill_weight_ = options_.kills ? swarm_.Below(4) : 0;
  power_weight_ = options_.power_losses ? swarm_.Below(4) : 0;
  pause_weight_ = swarm_.Below(2);
  network_weight_ = options_.network_faults ? swarm_.Below(4) : 0;
  disk_weight_ = options_.disk_faults ? swarm_.Below(3) : 0;
  fault_gap_max_ = swarm_.Between(milliseconds(500), milliseconds(8000));
  for (int i = 0; i < options_.brokers; ++i) {
    SimNode& node = world_->AddNode(fmt::format("broker-{}", i + 1));
    brokers_.push_back(&node);
    if (!options_.folder.empty()) MakeFolder(node);
    plan_.bootstrap.push_back({node.name(), kBrokerPort});
  }
  plan_.replication = static_cast<int16_t>(std::min(options_.brokers, 3));
  client_node_ = &world_->AddNode("clients");
  if (options_.hunted && options_.groups) {
    plan_.group.session = swarm_.Between(seconds(1), seconds(6));
    plan_.group.rebalance = swarm_.Between(seconds(1), seconds(6));
    plan_.group.ghosts = true;
  }
  if (!options_.fills_up.empty()) full_weight_ = 1 + swarm_.Below(4);
  if (!options_.slows.empty()) {
    slow_weight_ = 1 + swarm_.Below(4);
    plan_.sent_max /= 2;  // More is sent at the end, and all of it is to be read.
  }
  if (options_.bad_disk) bad_disk_ = swarm_.Below(brokers_.size());
  plan_.topic_configs = options_.topic_configs;
  plan_.epochs = options_.epochs;
  watching_ = plan_;
  watching_.patience = seconds(1);
}

void Story::StartBroker(SimNode& node) {
  node.Start([this](SimProcess& process) { return options_.broker(process); },
             shard_dice_.Between(options_.shards_min, options_.shards_max));
}

bool Story::KeepBrokersUp() {
  bool all_running = true;
  for (SimNode* node : brokers_) {
    if (node->up() && node->state() == SimNode::State::kFailed) {
      start_failure_ = fmt::format("{}: {}", node->name(), node->start_status().ToString());
      node->Kill();
    }
    if (!node->up()) {
      ReplaceDiskThatIsRefused(*node);
      StartBroker(*node);
    }
    all_running = all_running && node->state() == SimNode::State::kRunning;
  }
  return all_running;
}

bool Story::AllRunning() { return KeepBrokersUp(); }

void Story::RestartAfter(SimNode& node, Duration delay) {
  world_->After(delay, [this, &node] {
    if (breaking_ && !node.up()) StartBroker(node);
  });
}

void Story::BreakSomething() {
  if (!breaking_) return;
  SimRandom& dice = world_->dice();
  world_->After(dice.Between(milliseconds(10), fault_gap_max_), [this] { BreakSomething(); });
  SimNode& node = *brokers_[dice.Below(brokers_.size())];
  if (node.up() && node.state() == SimNode::State::kFailed) node.Kill();
  if (!node.up()) {
    if (options_.bad_disk && dice.Coin()) ReplaceDiskThatIsRefused(node);
    StartBroker(node);
    return;
  }
  if (options_.bad_disk && dice.Coin()) {
    HarmDisk();
    return;
  }
  if (options_.hunted && dice.Coin()) {
    Hunt();
    return;
  }
  const uint64_t nodes = kill_weight_ + power_weight_ + pause_weight_;
  const uint64_t all = nodes + network_weight_ + disk_weight_ + full_weight_ + slow_weight_;
  if (all == 0) return;
  ++faults_;
  const uint64_t drawn = dice.Below(all);
  if (drawn < nodes) {
    BreakNode(node);
  } else if (drawn < nodes + network_weight_) {
    BreakNetwork();
  } else if (drawn < nodes + network_weight_ + disk_weight_) {
    BreakDisk(node);
  } else if (drawn < nodes + network_weight_ + disk_weight_ + full_weight_) {
    FillDisk(node);
  } else {
    SlowDisk(node);
  }
}

void Story::BreakNode(SimNode& node) {
  SimRandom& dice = world_->dice();
  const uint64_t drawn = dice.Below(kill_weight_ + power_weight_ + pause_weight_);
  const Duration down = dice.Between(milliseconds(1), milliseconds(3000));
  if (drawn < kill_weight_) {
    node.Kill();
    RestartAfter(node, down);
  } else if (drawn < kill_weight_ + power_weight_) {
    if (options_.blackouts && blackout_dice_.Below(kBlackoutOneIn) == 0) {
      BlackOut();
      return;
    }
    node.PowerLoss();
    RestartAfter(node, down);
  } else {
    node.Pause();
    world_->After(down, [&node] { node.Resume(); });
  }
}

// The whole room goes dark under load, in one moment (chaos 14): nobody has what was acknowledged
// but the disks. The machines come back one by one, in any order.
void Story::BlackOut() {
  for (SimNode* node : brokers_) {
    node->PowerLoss();
    RestartAfter(*node, blackout_dice_.Between(milliseconds(1), milliseconds(3000)));
  }
}

void Story::BreakNetwork() {
  SimRandom& dice = world_->dice();
  SimFabric& network = world_->network();
  SimNode& a = *brokers_[dice.Below(brokers_.size())];
  SimNode& b =
      brokers_.size() == 1 || dice.Coin() ? *client_node_ : *brokers_[dice.Below(brokers_.size())];
  switch (dice.Below(4)) {
    case 0:
      network.CutOneWay(a, b);
      break;
    case 1:
      network.CutOneWay(b, a);
      break;
    case 2:
      network.Cut(a, b);
      break;
    default:
      network.Break(a, b);
      return;
  }
  world_->After(dice.Between(milliseconds(10), milliseconds(30'000)), [this, &a, &b] {
    if (breaking_) world_->network().Heal(a, b);
  });
}

void Story::BreakDisk(SimNode& node) {
  SimRandom& dice = world_->dice();
  switch (dice.Below(3)) {
    case 0:
      node.disk().FailNextWrite();
      break;
    case 1:
      node.disk().FailNextRead();
      break;
    default:
      // The kernel now believes pages that the medium does not have, and shows them to whatever is
      // started before the power is lost: a process that ends for the failure is started again, as
      // a supervisor does it, and must not build upon them.
      node.disk().FailNextSync();
      world_->After(dice.Between(milliseconds(1), milliseconds(2000)), [this, &node] {
        if (!breaking_) return;
        node.PowerLoss();
        RestartAfter(node, milliseconds(100));
      });
  }
}

void Story::FillDisk(SimNode& node) {
  node.disk().Break(options_.fills_up, SimAccess::kRoom,
                    absl::ResourceExhaustedError("no space left on the simulated disk"));
  world_->After(world_->dice().Between(milliseconds(10), seconds(60)),
                [this, &node] { node.disk().Mend(options_.fills_up); });
}

void Story::Heal() {
  breaking_ = false;
  world_->network().HealAll();
  world_->network().options().breaks = {};
  for (SimNode* node : brokers_) {
    node->Resume();
    node->disk().options().stalls = {};
    node->disk().Mend(options_.folder);
    // Faults that were ordered and never met, and a directory that was taken offline: an operator
    // restarts the machine, or the process alone; what that one is shown must last, too.
    if (world_->dice().Coin()) {
      node->PowerLoss();
    } else {
      node->Kill();
    }
    node->disk().ForgetOrderedFaults();
    if (!options_.fills_up.empty()) node->disk().Mend(options_.fills_up);
    if (!options_.slows.empty()) SetSlow(*node, Duration(0));
    StartBroker(*node);
  }
}

bool Story::Verify(int replica) {
  if (!world_->RunUntil([this] { return AllRunning(); }, kPatience)) {
    history_.Wrong(fmt::format("a healed broker does not start: {}", start_failure_));
    return false;
  }
  Env& env = client_node_->process().env();
  SimConsumer reader(env, plan_, history_, 1000 + replica);
  absl::StatusOr<std::map<TopicPartition, std::vector<ReadRecord>>> logs =
      absl::UnavailableError("not tried");
  const Instant give_up = world_->Now() + kPatience;
  for (;;) {
    logs = world_->Run(env, reader.ReadAll());
    if (logs.ok() || world_->Now() > give_up || absl::IsDataLoss(logs.status())) break;
    world_->RunFor(milliseconds(200));
  }
  world_->Run(env, reader.Stop());
  if (!logs.ok()) {
    history_.Wrong(fmt::format("the healed log cannot be read: {}", logs.status().ToString()));
    return false;
  }
  for (const auto& [partition, records] : *logs) {
    history_.FinalLog(replica, partition, records);
  }
  return !clients_->HasMembers() || VerifyPositions(env);
}

void Story::VerifySilentMembersAreReplaced() {
  clients_->SilenceAllButOne();
  const auto has_all = [this] {
    return clients_->OwnedByOne() == static_cast<size_t>(plan_.partitions);
  };
  if (!world_->RunUntil(has_all, kPatience)) {
    history_.Wrong(
        fmt::format("members that are not heard of keep their partitions:{}", clients_->Members()));
  }
}

bool Story::VerifyPositions(Env& env) {
  SimGroupMember reader(env, plan_, history_, 1000);
  absl::Status told;
  const Instant give_up = world_->Now() + kPatience;
  for (;;) {
    told = world_->Run(env, reader.TellPositions());
    if (told.ok() || world_->Now() > give_up || absl::IsDataLoss(told)) break;
    world_->RunFor(milliseconds(200));
  }
  world_->Run(env, reader.Stop());
  if (!told.ok())
    history_.Wrong(fmt::format("where the group is is not told: {}", told.ToString()));
  return told.ok();
}

Outcome Story::Run() {
  const int producers = static_cast<int>(swarm_.Between(1, 3));
  const int consumers = static_cast<int>(swarm_.Between(1, 2));
  const int members = options_.groups ? static_cast<int>(swarm_.Between(2, 4)) : 0;
  const int watchers = options_.hunted && options_.groups ? 2 : 0;
  for (SimNode* node : brokers_) StartBroker(*node);
  client_node_->Start([&](SimProcess& process) {
    auto clients =
        std::make_unique<Clients>(process, *this, producers, consumers, members, watchers);
    clients_ = clients.get();
    return clients;
  });
  breaking_ = true;
  world_->After(milliseconds(100), [this] { BreakSomething(); });
  world_->RunFor(swarm_.Between(seconds(20), seconds(40)));

  Heal();
  if (!options_.slows.empty()) VerifySlowDiskLeadsNothing();
  clients_->Drain();
  if (!world_->RunUntil([this] { return AllRunning() && clients_->Drained(); }, kPatience)) {
    history_.Wrong(fmt::format("healed, but after {} s not acknowledged:{}",
                               std::chrono::duration_cast<seconds>(kPatience).count(),
                               clients_->Stuck()));
  }
  const auto undelivered = [this] { return clients_->Undelivered(plan_, history_); };
  if (!world_->RunUntil([&] { return undelivered().empty(); }, kPatience)) {
    history_.Wrong(
        fmt::format("healed, but a consumer does not get everything: {}", undelivered()));
  }
  if (options_.bad_disk) VerifyRotIsRepaired();
  // A healed group is served again: somebody gets partitions, and commits.
  const uint64_t committed = clients_->Committed();
  if (clients_->HasMembers() &&
      !world_->RunUntil([&] { return clients_->Committed() > committed; }, kPatience)) {
    history_.Wrong(fmt::format("healed, but nobody commits:{}", clients_->Members()));
  }
  if (clients_->HasMembers()) VerifySilentMembersAreReplaced();
  if (!Verify(0)) return Finish();
  for (SimNode* node : brokers_) node->StopGracefully();
  if (!Verify(1)) return Finish();
  for (SimNode* node : brokers_) node->PowerLoss();
  Verify(2);
  return Finish();
}

Outcome Story::Finish() {
  const uint64_t moves = clients_->Moves();
  client_node_->StopGracefully();
  Outcome outcome;
  outcome.violations = history_.Finish();
  outcome.trace_hash = world_->trace().hash();
  outcome.events = world_->trace().records();
  outcome.summary = fmt::format(
      "{} sent, {} acknowledged, {} read, {} committed, {} faults, {} events, {:.1f} virtual s",
      history_.sent(), history_.acknowledged(), history_.read(), history_.committed(), faults_,
      outcome.events, static_cast<double>(world_->Now().nanoseconds()) / 1e9);
  if (options_.bad_disk || options_.moves) {
    outcome.summary +=
        fmt::format(", {} bits rotted, {} journals refused, {} moves", rotted_, refused_, moves);
  }
  return outcome;
}

}  // namespace millrace::simtest

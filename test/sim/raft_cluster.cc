#include "test/sim/raft_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace::simtest {
namespace {

constexpr uint64_t kTick = 10;  // Of a replica; delays are in these units too.
constexpr uint64_t kBreakingTime = 6000;
constexpr uint64_t kPatience = 3000;  // 15 to 35 election times.

raft::SnapshotData Pack(uint64_t state) {
  return std::make_shared<const std::vector<std::string>>(1, std::to_string(state));
}

}  // namespace

const char* RaftBugName(RaftBug bug) {
  switch (bug) {
    case RaftBug::kNone:
      return "none";
    case RaftBug::kSpeaksBeforeSync:
      return "speaks-before-sync";
    case RaftBug::kForgetsTerm:
      return "forgets-term";
    case RaftBug::kForgetsVote:
      return "forgets-vote";
    case RaftBug::kCommitsOlderTerms:
      return "commits-older-terms";
    case RaftBug::kSnapshotsWithoutVoters:
      return "snapshots-without-voters";
    case RaftBug::kWipedVoterKeepsIdentity:
      return "wiped-voter-keeps-identity";
    case RaftBug::kKeepsTruncatedTail:
      return "keeps-truncated-tail";
  }
  return "";
}

RaftCluster::RaftCluster(uint64_t seed, RaftBug bug, std::function<void(std::string)> trace)
    : bug_(bug),
      trace_(std::move(trace)),
      swarm_(SimRandom::Derived(seed, "swarm")),
      dice_(SimRandom::Derived(seed, "dice")) {
  const auto rate = [this](uint32_t most) {
    return PerMillion{swarm_.Coin() ? 0 : static_cast<uint32_t>(swarm_.Below(most))};
  };
  loss_ = rate(300'000);
  duplication_ = rate(300'000);
  crashes_ = rate(500'000);
  wipes_ = rate(200'000);
  cuts_ = rate(600'000);
  changes_ = rate(200'000);
  brief_leaders_ = rate(1'000'000);
  write_survives_ = {static_cast<uint32_t>(swarm_.Below(1'000'000))};
  delay_max_ = swarm_.Between(1, swarm_.Coin() ? 10 : 60);
  write_max_ = swarm_.Between(1, swarm_.Coin() ? 5 : 60);
  snapshot_every_ = static_cast<int64_t>(swarm_.Between(3, 40));
  options_.entries_kept = static_cast<int64_t>(swarm_.Below(10));
  options_.election_ticks = static_cast<int>(swarm_.Between(4, 10));
  options_.heartbeat_ticks = static_cast<int>(swarm_.Between(1, 2));
  options_.flow.append_bytes_max = swarm_.Coin() ? 1 : 1000;
  options_.flow.in_flight_max = swarm_.Between(1, 20);
  options_.flow.in_flight_bytes_max = swarm_.Between(100, 10'000);

  brief_voters_ = rate(500'000);
  if (SimRandom::Derived(seed, "figure 8").Below(4) == 0) DrawFigureEight();

  const int voters = swarm_.Coin() ? 3 : static_cast<int>(swarm_.Between(1, 5));
  const int spares = static_cast<int>(swarm_.Below(3));
  for (int id = 1; id <= voters + spares; ++id) {
    const raft::ReplicaKey key{BrokerId(id), DirectoryId(1, static_cast<uint64_t>(id))};
    machines_.push_back(std::make_unique<Machine>(key));
    if (id <= voters) static_voters_ = static_voters_.With(key.id, {});
  }
}

// A world where every leader dies young and nothing else happens: what Figure 8 of the paper needs
// is four such deaths in a row.
void RaftCluster::DrawFigureEight() {
  loss_ = duplication_ = wipes_ = cuts_ = changes_ = brief_voters_ = PerMillion{0};
  brief_leaders_ = PerMillion{900'000};
  options_.flow.append_bytes_max = 1;
  options_.flow.in_flight_max = 1;
}

void RaftCluster::At(Time delay, std::function<void()> what) {
  events_.emplace(std::pair(now_ + delay, event_number_++), std::move(what));
}

void RaftCluster::RunUntil(Time end) {
  while (!events_.empty() && events_.begin()->first.first <= end &&
         invariants_.violations().empty()) {
    auto event = events_.extract(events_.begin());
    now_ = event.key().first;
    event.mapped()();
  }
  now_ = std::max(now_, end);
}

void RaftCluster::Trace(const std::string& line) {
  hash_ = MixText(MixBits(hash_ ^ now_), line);
  if (trace_) trace_(fmt::format("{:>6} {}", now_, line));
}

RaftCluster::Machine* RaftCluster::Find(BrokerId id) {
  for (const auto& machine : machines_) {
    if (machine->key.id == id) return machine.get();
  }
  return nullptr;
}

void RaftCluster::Boot(Machine& machine) {
  raft::RaftStart start;
  start.hard_state = machine.disk.hard_state;
  start.snapshot = machine.disk.snapshot.meta;
  for (const auto& [index, entry] : machine.disk.entries) {
    if (index > start.snapshot.index) start.entries.push_back(entry);
  }
  const RaftTerm last_term =
      start.entries.empty() ? start.snapshot.term : start.entries.back().term;
  if (bug_ == RaftBug::kForgetsTerm) start.hard_state.term = last_term;
  if (const auto wrong = raft::WhatIsWrong(start)) {
    invariants_.Wrong(fmt::format("{} cannot start: {}", machine.key.id, *wrong));
    return;
  }
  if (StaticVotersStand()) start.static_voters = static_voters_;
  for (const auto& other : machines_) start.contacts.push_back(other->key.id);
  machine.applied = start.snapshot.index;
  machine.state =
      machine.disk.snapshot.data == nullptr ? 0 : std::stoull(machine.disk.snapshot.data->front());
  ++machine.process;
  Trace(fmt::format("{} starts in term {}", machine.key.id, start.hard_state.term));
  machine.core = std::make_unique<raft::RaftCore>(machine.key, options_, std::move(start));
  invariants_.Restarted(*machine.core);
  TickLater(machine);
  After(machine);
}

// Whether an operator would still name the first voters to an empty machine. Once other ids vote,
// that would tell it to begin a quorum of its own.
bool RaftCluster::StaticVotersStand() const {
  if (ids_changed_) return false;
  const auto same_ids = [this](const auto& entry) {
    return static_voters_.Find(entry.first) != nullptr;
  };
  for (const auto& machine : machines_) {
    if (machine->core == nullptr || machine->core->voters().empty()) continue;
    const raft::VoterSet& voters = machine->core->voters();
    if (voters.size() != static_voters_.size() || !std::ranges::all_of(voters.all(), same_ids)) {
      return false;
    }
  }
  return true;
}

void RaftCluster::Crash(Machine& machine, bool write_survives) {
  Trace(fmt::format("{} crashes", machine.key.id));
  machine.core.reset();
  if (!machine.writing.empty() && write_survives) Store(machine, machine.writing.front());
  machine.writing.clear();
  machine.snapshotting = false;
  ++machine.process;
}

// Evidence of its end, which may be wrong, and does not reach everyone.
void RaftCluster::BreakConnections(const Machine& machine) {
  for (const auto& other : machines_) {
    if (other->core == nullptr || dice_.Coin()) continue;
    other->core->PeerLost(machine.key.id);
    After(*other);
  }
}

// The interesting deaths: while a new leader's first entries are on their way: some have arrived,
// and of the later ones none will.
void RaftCluster::CrashSoon(Machine& machine) {
  Time cut_after = 0;  // To the last of the others; to each at a time of its own.
  for (const auto& other : machines_) {
    const Time cut_link_after = dice_.Below(3 * (delay_max_ + write_max_));
    cut_after = std::max(cut_after, cut_link_after);
    At(cut_link_after, [this, &machine, id = other->key.id, process = machine.process] {
      if (machine.process == process && breaking_) cut_.insert({machine.key.id, id});
    });
  }
  const Time crash_after = cut_after + dice_.Below(2 * (delay_max_ + write_max_));
  At(crash_after, [this, &machine, process = machine.process] {
    if (machine.process != process || !breaking_) return;
    Crash(machine, dice_.Chance(write_survives_));
    BreakConnections(machine);
    At(dice_.Between(1, 60), [this, &machine] {
      std::erase_if(cut_, [&](const auto& link) { return link.first == machine.key.id; });
      if (machine.core == nullptr) Boot(machine);
    });
  });
}

// No set that anyone may go by loses its majority: a fault atlas that damages all copies finds
// nothing but itself.
bool RaftCluster::MayWipe(const Machine& machine) const {
  for (const auto& other : machines_) {
    if (other->core == nullptr) return false;  // What its disk would say is not known here.
    const raft::VoterSet& voters = other->core->voters();
    size_t whole = 0;
    for (const auto& candidate : machines_) {
      if (candidate.get() != &machine && voters.Contains(candidate->key)) ++whole;
    }
    if (voters.Contains(machine.key) && whole < voters.majority()) return false;
  }
  return true;
}

void RaftCluster::Wipe(Machine& machine) {
  Crash(machine, false);
  Trace(fmt::format("{} loses its disk", machine.key.id));
  machine.disk = Disk();
  if (bug_ == RaftBug::kWipedVoterKeepsIdentity) return;
  machine.key.directory =
      DirectoryId(machine.key.directory.high() + 1, machine.key.directory.low());
}

void RaftCluster::TickLater(Machine& machine) {
  At(kTick - 2 + dice_.Below(5), [this, &machine, process = machine.process] {
    if (machine.process != process) return;
    machine.core->Tick(static_cast<uint32_t>(dice_.Next()));
    TickLater(machine);
    After(machine);
  });
}

void RaftCluster::After(Machine& machine) {
  raft::RaftCore& core = *machine.core;
  const RaftIndex commit_before = machine.applied;
  raft::Output output = core.Take();
  if (output.write.has_value()) StartWrite(machine, *std::move(output.write));
  for (raft::Message& message : output.messages) Send(machine, std::move(message));
  if (output.restore.has_value()) {
    machine.applied = output.restore->meta.index;
    machine.state = std::stoull(output.restore->data->front());
    invariants_.Applied(machine.applied, machine.state);
  }
  for (const raft::LogEntry& entry : output.committed) Apply(machine, entry);
  for (RaftIndex at = raft::After(std::max(commit_before, core.log().start_index()));
       at <= core.log().commit(); at = raft::After(at)) {
    invariants_.Committed(at, *core.log().TermAt(at));
  }
  if (output.role.has_value()) {
    Trace(fmt::format("{} is {} of term {}", machine.key.id, static_cast<int>(output.role->role),
                      output.role->term));
    if (output.role->role == raft::Role::kLeader) {
      invariants_.Leads(core);
      if (breaking_ && dice_.Chance(brief_leaders_)) CrashSoon(machine);
    }
  }
  invariants_.LeaderLog(core);
  if (bug_ == RaftBug::kCommitsOlderTerms) CountOlderTerms(machine);
  SnapshotMaybe(machine);
  // A write that ended within this call left something to say.
  if (bug_ == RaftBug::kSpeaksBeforeSync && !output.empty()) After(machine);
}

void RaftCluster::CountOlderTerms(const Machine& machine) {
  const raft::RaftCore& core = *machine.core;
  if (core.role() != raft::Role::kLeader) return;
  std::vector<RaftIndex> matches;
  if (core.voters().Contains(core.self())) matches.push_back(core.log().stable());
  for (const auto& [key, peer] : core.peers()) {
    if (core.voters().Contains(key)) matches.push_back(peer.match());
  }
  if (matches.size() < core.voters().majority()) return;
  std::ranges::sort(matches, std::greater());
  const RaftIndex agreed = matches[core.voters().majority() - 1];
  for (RaftIndex at = raft::After(core.log().commit()); at <= agreed; at = raft::After(at)) {
    invariants_.Committed(at, *core.log().TermAt(at));
  }
}

void RaftCluster::StartWrite(Machine& machine, raft::Write write) {
  const raft::WriteId id = write.id;
  machine.writing.push_back(std::move(write));
  At(dice_.Between(1, write_max_), [this, &machine, id, process = machine.process] {
    if (machine.process != process) return;
    Store(machine, machine.writing.front());
    machine.writing.pop_front();
    if (bug_ == RaftBug::kSpeaksBeforeSync) return;
    machine.core->Persisted(id);
    After(machine);
  });
  if (bug_ == RaftBug::kSpeaksBeforeSync) machine.core->Persisted(id);
}

void RaftCluster::Store(Machine& machine, const raft::Write& write) {
  Disk& disk = machine.disk;
  disk.hard_state = write.hard_state;
  if (bug_ == RaftBug::kForgetsVote) disk.hard_state.vote.reset();
  if (write.install.has_value()) {
    disk.entries.clear();
    disk.snapshot = *write.install;
  }
  if (write.truncate_from.has_value() && bug_ != RaftBug::kKeepsTruncatedTail) {
    disk.entries.erase(disk.entries.lower_bound(*write.truncate_from), disk.entries.end());
  }
  for (const raft::LogEntry& entry : write.entries) {
    disk.entries.insert_or_assign(entry.index, entry);
    const auto previous = disk.entries.find(raft::Before(entry.index));
    if (previous != disk.entries.end()) invariants_.Appended(entry, previous->second.term);
  }
  if (write.drop_through.has_value()) {
    disk.entries.erase(disk.entries.begin(), disk.entries.upper_bound(*write.drop_through));
  }
}

void RaftCluster::SnapshotMaybe(Machine& machine) {
  const int64_t behind = machine.applied.value() - machine.core->log().snapshot().index.value();
  if (machine.snapshotting || behind < snapshot_every_) return;
  std::optional<raft::SnapshotMeta> meta = machine.core->DescribeApplied();
  if (!meta.has_value()) return;
  if (bug_ == RaftBug::kSnapshotsWithoutVoters) meta->voters = static_voters_;
  machine.snapshotting = true;
  // It is written beside the log, which goes on meanwhile.
  At(dice_.Between(1, 4 * write_max_), [this, &machine, process = machine.process,
                                        snapshot = raft::Snapshot{*meta, Pack(machine.state)}] {
    if (machine.process != process) return;
    machine.snapshotting = false;
    if (snapshot.meta.index > machine.disk.snapshot.meta.index) {
      machine.disk.snapshot = snapshot;
      machine.core->Compact(snapshot.meta);
    }
    After(machine);
  });
}

// While the other candidates of the term still ask.
void RaftCluster::CrashVoter(Machine& machine) {
  At(dice_.Below(delay_max_), [this, &machine, process = machine.process] {
    if (machine.process != process || !breaking_) return;
    Crash(machine, dice_.Chance(write_survives_));
    At(dice_.Between(1, 5), [this, &machine] {
      if (machine.core == nullptr) Boot(machine);
    });
  });
}

void RaftCluster::Send(Machine& machine, raft::Message message) {
  invariants_.Sent(message);
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  if (vote != nullptr && vote->granted && !vote->pre && breaking_ && dice_.Chance(brief_voters_)) {
    CrashVoter(machine);
  }
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    RaftTerm previous = append->prev_term;
    for (const raft::LogEntry& entry : append->entries) {
      invariants_.Appended(entry, std::exchange(previous, entry.term));
    }
  }
  const Machine* to = Find(message.to);
  if (to == nullptr) return;
  bool lost = cut_.contains({message.from.id, message.to}) || dice_.Chance(loss_);
  if (auto* install = std::get_if<raft::InstallSnapshot>(&message.body)) {
    install->snapshot = machine.disk.snapshot;
    lost = lost || install->snapshot.data == nullptr;
    At(dice_.Between(1, 100),
       [this, &machine, peer = raft::ReplicaKey{to->key.id, *message.to_directory}, lost,
        process = machine.process] {
         if (machine.process != process) return;
         machine.core->SnapshotSent(peer, !lost);
         After(machine);
       });
  }
  if (lost) return;
  if (dice_.Chance(duplication_)) {
    At(dice_.Between(1, 4 * delay_max_), [this, message] { Arrive(message); });
  }
  At(dice_.Between(1, delay_max_), [this, message = std::move(message)] { Arrive(message); });
}

void RaftCluster::Arrive(raft::Message message) {
  Machine* to = Find(message.to);
  if (to->core == nullptr) return;
  Trace(fmt::format("{} hears {} of term {}: {}", to->key.id, message.from.id, message.term,
                    message.body.index()));
  to->core->Step(std::move(message));
  After(*to);
}

void RaftCluster::Apply(Machine& machine, const raft::LogEntry& entry) {
  if (entry.index != raft::After(machine.applied)) {
    invariants_.Wrong(
        fmt::format("{} applies {} after {}", machine.key.id, entry.index, machine.applied));
  }
  machine.applied = entry.index;
  machine.state =
      MixBits(machine.state ^ HashOf(entry) ^ static_cast<uint64_t>(entry.term.value()) << 32);
  invariants_.Applied(machine.applied, machine.state);
}

void RaftCluster::BreakSomething() {
  if (!breaking_) return;
  At(dice_.Between(20, 200), [this] { BreakSomething(); });
  Machine& machine = *machines_[dice_.Below(machines_.size())];
  if (machine.core != nullptr && dice_.Chance(crashes_)) {
    Crash(machine, dice_.Chance(write_survives_));
  } else if (machine.core != nullptr && dice_.Chance(wipes_) && MayWipe(machine)) {
    Wipe(machine);
  }
  if (machine.core == nullptr) {
    At(dice_.Between(1, 300), [this, &machine] {
      if (machine.core == nullptr) Boot(machine);
    });
  } else if (dice_.Coin()) {
    BreakConnections(machine);
  }
  if (!dice_.Chance(cuts_)) return;
  if (dice_.Coin()) {
    cut_.clear();
    return;
  }
  const BrokerId other = machines_[dice_.Below(machines_.size())]->key.id;
  cut_.insert({machine.key.id, other});
  if (dice_.Coin()) cut_.insert({other, machine.key.id});
  if (dice_.Below(4) == 0) {
    for (const auto& third : machines_) cut_.insert({third->key.id, machine.key.id});
  }
}

RaftCluster::Machine* RaftCluster::Leader() {
  Machine* leader = nullptr;
  for (const auto& machine : machines_) {
    if (machine->core == nullptr || machine->core->role() != raft::Role::kLeader) continue;
    if (leader == nullptr || machine->core->term() > leader->core->term()) leader = machine.get();
  }
  return leader;
}

// What a client and an operator do.
void RaftCluster::Operate() {
  At(dice_.Between(5, 60), [this] { Operate(); });
  // Every leader there is, the deposed too.
  for (const auto& machine : machines_) {
    if (machine->core == nullptr || machine->core->role() != raft::Role::kLeader) continue;
    for (uint64_t i = dice_.Below(4); i > 0; --i) {
      (void)machine->core->Propose(
          std::make_shared<const std::string>(fmt::format("p{}", ++proposals_)));
    }
    ReplaceWiped(*machine);
    if (breaking_ && dice_.Chance(changes_)) ChangeVoters(*machine);
    After(*machine);
  }
}

void RaftCluster::ReplaceWiped(Machine& leader) {
  raft::RaftCore& core = *leader.core;
  for (const auto& [id, voter] : raft::VoterSet(core.voters()).all()) {
    const Machine* machine = Find(id);
    if (!voter.directory.has_value() || *voter.directory == machine->key.directory) continue;
    if (core.RemoveVoter({id, *voter.directory}).has_value()) return;
  }
  for (const auto& machine : machines_) {
    // A static voter that was wiped, and was removed above.
    if (static_voters_.Find(machine->key.id) == nullptr || machine->key.directory.high() == 1) {
      continue;
    }
    if (core.AddVoter(machine->key, {}).has_value()) return;
  }
}

void RaftCluster::ChangeVoters(Machine& leader) {
  raft::RaftCore& core = *leader.core;
  const Machine& machine = *machines_[dice_.Below(machines_.size())];
  switch (dice_.Below(4)) {
    case 0:
      ids_changed_ = core.RemoveVoter(machine.key).has_value() || ids_changed_;
      break;
    case 1:
      (void)core.TransferLeadership(machine.key.id);
      break;
    case 2:
      (void)core.UpdateVoter(machine.key, {{"CONTROLLER", "host", 9093}});
      break;
    default:
      ids_changed_ = core.AddVoter(machine.key, {}).has_value() || ids_changed_;
  }
}

bool RaftCluster::Converged() {
  const Machine* leader = Leader();
  if (leader == nullptr || leader->core->log().commit() < leader->core->term_start()) return false;
  for (const auto& [id, voter] : leader->core->voters().all()) {
    const Machine* machine = Find(id);
    if (!leader->core->voters().Contains(machine->key)) continue;
    if (machine->core == nullptr || machine->core->leader() != leader->key.id) return false;
    if (machine->applied.value() + 40 < leader->applied.value()) return false;
  }
  return true;
}

Outcome RaftCluster::Run() {
  for (const auto& machine : machines_) Boot(*machine);
  Operate();
  BreakSomething();
  RunUntil(kBreakingTime);

  breaking_ = false;
  cut_.clear();
  loss_ = duplication_ = {0};
  delay_max_ = std::min<Time>(delay_max_, 10);
  write_max_ = std::min<Time>(write_max_, 10);
  for (const auto& machine : machines_) {
    if (machine->core == nullptr) Boot(*machine);
  }
  const size_t before = invariants_.committed();
  const Time give_up = now_ + kPatience;
  while (now_ < give_up && invariants_.violations().empty() &&
         !(Converged() && invariants_.committed() > before)) {
    RunUntil(now_ + 20);
  }
  if (invariants_.violations().empty() && !Converged()) {
    std::string states;
    for (const auto& machine : machines_) {
      states += fmt::format("; {}.{} role {} applied {} voters", machine->key.id,
                            machine->key.directory.high(), static_cast<int>(machine->core->role()),
                            machine->applied);
      for (const auto& [id, voter] : machine->core->voters().all()) {
        states += fmt::format(" {}.{}", id, voter.directory ? voter.directory->high() : 0);
      }
    }
    invariants_.Wrong(
        fmt::format("liveness: healed, but after {} ticks there is no leader that "
                    "all voters follow{}",
                    kPatience / kTick, states));
  }
  return {invariants_.violations(), hash_, event_number_,
          fmt::format("{} machines, {} static voters, {} entries committed, {} terms with a leader",
                      machines_.size(), static_voters_.size(), invariants_.committed(),
                      invariants_.terms_with_leader())};
}

}  // namespace millrace::simtest

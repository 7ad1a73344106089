#include "controller/partition_change.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

bool Contains(std::span<const BrokerId> ids, BrokerId id) {
  return std::ranges::find(ids, id) != ids.end();
}

template <typename Gone>
void EraseIf(SharedList<BrokerId>& ids, Gone gone) {
  BrokerIds left(ids.begin(), ids.end());
  if (std::erase_if(left, gone) > 0) ids = left;
}

void Erase(SharedList<BrokerId>& ids, BrokerId id) {
  EraseIf(ids, [id](BrokerId each) { return each == id; });
}

}  // namespace

PartitionChange::PartitionChange(const PartitionImage& before, const ClusterView& cluster,
                                 const TopicSettings& settings, bool elr_enabled)
    : before_(before),
      cluster_(cluster),
      settings_(settings),
      elr_enabled_(elr_enabled),
      next_(before),
      election_(settings.unclean_election ? Election::kUnclean : Election::kOnline) {}

PartitionChange& PartitionChange::Elect(Election election) {
  election_ = election;
  return *this;
}

PartitionChange& PartitionChange::SetIsr(std::span<const BrokerId> isr) {
  next_.isr = isr;
  return *this;
}

PartitionChange& PartitionChange::SetRecovery(LeaderRecovery recovery) {
  next_.recovery = recovery;
  return *this;
}

PartitionChange& PartitionChange::SetReplicas(std::span<const BrokerId> replicas,
                                              std::span<const DirectoryId> directories,
                                              std::span<const BrokerId> adding,
                                              std::span<const BrokerId> removing) {
  next_.replicas = replicas;
  next_.directories = directories;
  next_.adding = adding;
  next_.removing = removing;
  return *this;
}

PartitionChange& PartitionChange::SetDirectory(BrokerId replica, DirectoryId directory) {
  DirectoryIds directories(next_.directories.begin(), next_.directories.end());
  directories.resize(next_.replicas.size(), kUnassignedDirectory);
  for (size_t i = 0; i < next_.replicas.size(); ++i) {
    if (next_.replicas[i] == replica) directories[i] = directory;
  }
  next_.directories = directories;
  return *this;
}

PartitionChange& PartitionChange::Lost(BrokerId replica) {
  lost_.push_back(replica);
  return Left(replica);
}

PartitionChange& PartitionChange::GivenUp(BrokerId replica) {
  new_epoch_ = true;
  return Lost(replica);
}

PartitionChange& PartitionChange::Left(BrokerId replica) {
  Erase(next_.isr, replica);
  return *this;
}

PartitionChange& PartitionChange::LedBy(BrokerId replica) {
  wanted_ = replica;
  return *this;
}

void PartitionChange::CompleteReassignment() {
  if (!next_.reassigning()) return;
  BrokerIds isr;
  for (BrokerId id : next_.isr) {
    if (!Contains(next_.removing, id)) isr.push_back(id);
  }
  if (isr.empty()) return;
  for (BrokerId id : next_.adding) {
    if (!Contains(isr, id)) return;
  }
  BrokerIds replicas;
  DirectoryIds directories;
  for (BrokerId id : next_.replicas) {
    if (Contains(next_.removing, id)) continue;
    replicas.push_back(id);
    directories.push_back(next_.DirectoryOf(id));
  }
  next_.isr = isr;
  next_.replicas = replicas;
  next_.directories = directories;
  next_.adding.clear();
  next_.removing.clear();
}

bool PartitionChange::IsrIsLargeEnough() const {
  return next_.isr.size() >=
         std::min(static_cast<size_t>(settings_.isr_min), next_.replicas.size());
}

void PartitionChange::KeepElr() {
  next_.elr.clear();
  if (!elr_enabled_ || IsrIsLargeEnough()) return;
  BrokerIds eligible;
  for (BrokerId id : next_.replicas) {
    if (Contains(next_.isr, id) || Contains(lost_, id)) continue;
    if (Contains(before_.isr, id) || Contains(before_.elr, id)) eligible.push_back(id);
  }
  next_.elr = eligible;
}

bool PartitionChange::IsValidLeader(BrokerId replica) const {
  if (!Contains(next_.replicas, replica) || !MayLead(replica)) return false;
  return Contains(next_.isr, replica) || (next_.isr.empty() && Contains(next_.elr, replica));
}

PartitionChange::Choice PartitionChange::Choose() const {
  if (wanted_.has_value() && IsValidLeader(*wanted_)) return {wanted_};
  if (election_ == Election::kPreferred && IsValidLeader(next_.replicas.front())) {
    return {next_.replicas.front()};
  }
  if (before_.leader.has_value() && IsValidLeader(*before_.leader)) return {before_.leader};
  for (BrokerId id : next_.replicas) {
    if (IsValidLeader(id) && cluster_.MayLeadWell(next_, id)) return {id};
  }
  for (BrokerId id : next_.replicas) {
    if (IsValidLeader(id)) return {id};
  }
  // Nobody is known to have everything. Who led last has at least all that it acknowledged itself,
  // as far as its disk kept it.
  if (elr_enabled_ && next_.isr.empty() && next_.elr.empty() && next_.last_known_elr.size() == 1 &&
      Contains(next_.replicas, next_.last_known_elr.front()) &&
      MayLead(next_.last_known_elr.front())) {
    return {next_.last_known_elr.front(), /*unclean=*/true};
  }
  if (election_ == Election::kUnclean) {
    for (BrokerId id : next_.replicas) {
      if (MayLead(id)) return {id, /*unclean=*/true};
    }
  }
  return {};
}

void PartitionChange::ElectLeader() {
  const Choice choice = Choose();
  next_.leader = choice.leader;
  if (!choice.leader.has_value()) return;
  if (choice.unclean) {
    next_.isr = {*choice.leader};
    next_.elr.clear();
    next_.recovery = LeaderRecovery::kRecovering;
  } else if (!Contains(next_.isr, *choice.leader)) {
    next_.isr = {*choice.leader};  // From the ELR.
    Erase(next_.elr, *choice.leader);
    // The minimum may have been lowered while nobody led: the new leader commits alone, and what it
    // commits the others do not have.
    if (IsrIsLargeEnough()) next_.elr.clear();
  }
}

void PartitionChange::KeepLastKnownLeader() {
  if (next_.leader.has_value() || !elr_enabled_) {
    next_.last_known_elr.clear();
  } else if (next_.isr.empty() && before_.leader.has_value()) {
    next_.last_known_elr = {*before_.leader};
  }
  // Who left the replica set throws away what it has.
  EraseIf(next_.last_known_elr, [&](BrokerId id) { return !Contains(next_.replicas, id); });
}

std::optional<PartitionImage> PartitionChange::Build() {
  CompleteReassignment();
  KeepElr();
  ElectLeader();
  if (next_.isr.empty() && !elr_enabled_) {
    // Somebody must be remembered to have everything. Of replicas that left the set nobody is.
    BrokerIds isr;
    for (BrokerId id : before_.isr) {
      if (Contains(next_.replicas, id)) isr.push_back(id);
    }
    next_.isr = isr;
  }
  KeepLastKnownLeader();
  if (next_ == before_) return std::nullopt;
  const bool replica_left = std::ranges::any_of(
      before_.replicas, [&](BrokerId id) { return !Contains(next_.replicas, id); });
  if (next_.leader != before_.leader || replica_left || new_epoch_) {
    next_.leader_epoch = LeaderEpoch(before_.leader_epoch.value() + 1);
  }
  next_.partition_epoch = PartitionEpoch(before_.partition_epoch.value() + 1);
  return next_;
}

DirectoryId FirstDirectory(const MetadataImage& image, BrokerId broker) {
  const BrokerImage* registered = image.FindBroker(broker);
  return registered == nullptr || registered->log_directories.size() != 1
             ? kUnassignedDirectory
             : registered->log_directories.front().id;
}

}  // namespace millrace

#include "controller/broker_liveness.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<milliseconds>(duration).count();
}

}  // namespace

void BrokerLiveness::Activate(const std::vector<Known>& brokers, Instant now) {
  active_ = true;
  // What was heard before becoming active is testimony: mostly of the node whose death made this
  // one active.
  std::map<BrokerId, Broker> before = std::move(brokers_);
  brokers_.clear();
  for (const Known& known : brokers) {
    Broker broker{known.epoch, known.fenced, known.local, /*streaming=*/false, now};
    if (auto found = before.find(known.id); found != before.end()) {
      broker.raft_lost = found->second.raft_lost;
      broker.replication_lost = std::move(found->second.replication_lost);
    }
    brokers_.emplace(known.id, std::move(broker));
  }
  breaks_.clear();
  last_tick_ = now;
  actions_ = {};
  for (auto& [id, broker] : brokers_) {
    if (broker.raft_lost.has_value()) Suspect(broker, now);
    Judge(id, broker, now);
  }
}

void BrokerLiveness::Deactivate() {
  active_ = false;
  actions_ = {};
  breaks_.clear();
  for (auto& [id, broker] : brokers_) {
    Clear(broker);
    broker.streaming = false;
  }
}

BrokerLiveness::Broker* BrokerLiveness::Find(BrokerId id) {
  auto found = brokers_.find(id);
  return found == brokers_.end() ? nullptr : &found->second;
}

void BrokerLiveness::Clear(Broker& broker) {
  broker.suspected.reset();
  broker.raft_lost.reset();
  broker.replication_lost.clear();
  broker.dialed.reset();
  broker.next_probe.reset();
  broker.fencing = false;
}

void BrokerLiveness::OnRegistered(BrokerId id, BrokerEpoch epoch, bool local, Instant now) {
  auto [found, fresh] =
      brokers_.try_emplace(id, Broker{epoch, /*fenced=*/true, local, /*streaming=*/true, now});
  Broker& broker = found->second;
  if (broker.epoch != epoch) broker.fenced = true;
  broker.epoch = epoch;
  broker.local = local;
  broker.streaming = true;
  broker.heard = now;
  Clear(broker);
}

void BrokerLiveness::OnUnregistered(BrokerId id) { brokers_.erase(id); }

void BrokerLiveness::OnHeartbeat(BrokerId id, BrokerEpoch epoch, Instant now) {
  Broker* broker = Find(id);
  if (broker == nullptr || broker->epoch != epoch) return;
  broker->heard = now;
  if (broker->streaming) broker->fencing = false;  // It was silent, and no longer is.
}

void BrokerLiveness::OnFencingFailed(BrokerId id, BrokerEpoch epoch, Instant now) {
  Broker* broker = Find(id);
  if (broker == nullptr || broker->epoch != epoch || !broker->fencing) return;
  broker->fencing = false;
  broker->fence_after = now + options_.probe_interval;
}

void BrokerLiveness::OnFenced(BrokerId id, bool fenced) {
  Broker* broker = Find(id);
  if (broker == nullptr) return;
  broker->fenced = fenced;
  broker->fencing = false;
}

void BrokerLiveness::Suspect(Broker& broker, Instant now) {
  if (broker.suspected.has_value() || broker.local || broker.streaming) return;
  broker.suspected = now;
  broker.dialed.reset();
  broker.next_probe = now;
}

void BrokerLiveness::OnStreamBroke(BrokerId id, BrokerEpoch epoch, Instant now) {
  Broker* broker = Find(id);
  if (broker == nullptr || broker->epoch != epoch || !broker->streaming) return;
  broker->streaming = false;
  if (broker->local) return;  // No network broke, and this process goes on: it will be back.
  breaks_.emplace_back(now, id);
  Suspect(*broker, now);
  Judge(id, *broker, now);
}

void BrokerLiveness::OnEvidence(const Evidence& evidence, Instant now) {
  Broker* broker = Find(evidence.about);
  if (broker == nullptr) {
    // Before this node became active: kept for when it does.
    if (active_) return;
    broker = &brokers_.emplace(evidence.about, Broker{BrokerEpoch(-1), false, false, false, now})
                  .first->second;
  }
  switch (evidence.kind) {
    case EvidenceKind::kRaftPeerLost:
      broker->raft_lost = now;
      break;
    case EvidenceKind::kRaftPeerBack:
      broker->raft_lost.reset();
      break;
    case EvidenceKind::kReplicationLost:
      if (evidence.witness.has_value() && evidence.witness != evidence.about) {
        broker->replication_lost.insert_or_assign(*evidence.witness, now);
      }
      break;
    case EvidenceKind::kReplicationBack:
      if (evidence.witness.has_value()) broker->replication_lost.erase(*evidence.witness);
      break;
    case EvidenceKind::kDialRefused:
    case EvidenceKind::kDialAnswered:
    case EvidenceKind::kDialUnreachable:
      if (broker->suspected.has_value()) broker->dialed = evidence.kind;
      break;
  }
  if (!active_) return;
  const bool lost = evidence.kind == EvidenceKind::kRaftPeerLost ||
                    evidence.kind == EvidenceKind::kReplicationLost;
  if (lost) Suspect(*broker, now);
  Judge(evidence.about, *broker, now);
}

bool BrokerLiveness::LostManyAround(Instant when) const {
  std::set<BrokerId> lost;
  for (const auto& [at, id] : breaks_) {
    const Broker* broker = brokers_.contains(id) ? &brokers_.at(id) : nullptr;
    const Duration apart = at < when ? when - at : at - when;
    if (broker != nullptr && apart <= options_.grace * 4) lost.insert(id);
  }
  int64_t streaming = 0;
  for (const auto& [id, broker] : brokers_) {
    streaming += broker.streaming && !broker.local ? 1 : 0;
  }
  const int64_t count = static_cast<int64_t>(lost.size());
  return count >= 2 && count >= streaming;
}

std::optional<std::string> BrokerLiveness::Verdict(BrokerId id, const Broker& broker,
                                                   Instant now) const {
  const Duration silence = now - broker.heard;
  if (silence >= options_.session_timeout) {
    return fmt::format("broker {} was silent for {} ms", id, Milliseconds(silence));
  }
  if (!broker.suspected.has_value() || now < *broker.suspected + options_.grace) {
    return std::nullopt;
  }
  if (broker.dialed == EvidenceKind::kDialRefused) {
    return fmt::format("broker {}'s stream broke and nobody listens at its address", id);
  }
  if (broker.dialed == EvidenceKind::kDialAnswered) return std::nullopt;
  auto fresh = [&](Instant when) { return when + options_.evidence_age_max >= *broker.suspected; };
  for (const auto& [witness, when] : broker.replication_lost) {
    auto speaks = brokers_.find(witness);
    const bool credible = speaks != brokers_.end() && !speaks->second.suspected.has_value() &&
                          speaks->second.streaming;
    // A broker of this process sees what this controller sees.
    const bool independent =
        credible && (!speaks->second.local || !LostManyAround(*broker.suspected));
    if (independent && fresh(when)) {
      return fmt::format("broker {}'s stream broke, and broker {} lost it too", id, witness);
    }
  }
  if (broker.raft_lost.has_value() && fresh(*broker.raft_lost) &&
      now >= *broker.suspected + options_.alone_grace && !LostManyAround(*broker.suspected)) {
    return fmt::format("broker {}'s stream broke, and so did the Raft connection to its node", id);
  }
  return std::nullopt;
}

void BrokerLiveness::Judge(BrokerId id, Broker& broker, Instant now) {
  // Until it has registered, what is known of the local one may be of the process before this one.
  if (!active_ || (broker.local && broker.streaming)) return;
  if (broker.suspected.has_value() && broker.next_probe.has_value() && now >= *broker.next_probe) {
    broker.next_probe = now + options_.probe_interval;
    if (!broker.fenced) actions_.probe.push_back({id});
  }
  if (broker.fenced || broker.fencing) return;
  if (broker.fence_after.has_value() && now < *broker.fence_after) return;
  broker.fence_after.reset();
  if (std::optional<std::string> reason = Verdict(id, broker, now); reason.has_value()) {
    broker.fencing = true;
    actions_.fence.push_back({id, broker.epoch, *std::move(reason)});
  }
}

void BrokerLiveness::OnTick(Instant now) {
  if (!active_) return;
  // Ticks come when they are due. One that comes half a session late: this process stood still, and
  // what brokers said meanwhile is still unread.
  const Duration late_max = options_.session_timeout / 2;
  if (last_tick_.has_value() && now - *last_tick_ > late_max) {
    const Duration late = now - *last_tick_;
    for (auto& [id, broker] : brokers_) {
      broker.heard = broker.heard + late;
      if (broker.heard > now) broker.heard = now;
    }
  }
  last_tick_ = now;
  while (!breaks_.empty() && breaks_.front().first + options_.evidence_age_max < now) {
    breaks_.erase(breaks_.begin());
  }
  for (auto& [id, broker] : brokers_) Judge(id, broker, now);
}

Instant BrokerLiveness::next_tick() const {
  if (!active_ || !last_tick_.has_value()) return Instant::Max();
  // Often enough to tell a late tick from a silent broker.
  Instant next = *last_tick_ + options_.session_timeout / 8;
  for (const auto& [id, broker] : brokers_) {
    if ((broker.local && broker.streaming) || broker.fenced || broker.fencing) continue;
    if (broker.fence_after.has_value()) {
      next = std::min(next, *broker.fence_after);
      continue;
    }
    next = std::min(next, broker.heard + options_.session_timeout);
    if (!broker.suspected.has_value()) continue;
    for (Duration wait : {options_.grace, options_.alone_grace}) {
      if (*last_tick_ < *broker.suspected + wait) next = std::min(next, *broker.suspected + wait);
    }
    if (broker.next_probe.has_value()) next = std::min(next, *broker.next_probe);
  }
  return next;
}

BrokerLiveness::Actions BrokerLiveness::TakeActions() { return std::exchange(actions_, {}); }

SessionState BrokerLiveness::session(BrokerId id, Instant now) const {
  auto found = brokers_.find(id);
  if (found == brokers_.end()) return SessionState::kNone;
  const Broker& broker = found->second;
  if (broker.streaming) {
    const bool silent = !broker.local && now - broker.heard >= options_.session_timeout;
    return silent ? SessionState::kNone : SessionState::kAlive;
  }
  // One that was fenced has no session to lose; it may be gone for good, and its id is free.
  const bool ended = broker.fenced || now - broker.heard >= options_.session_timeout;
  return ended ? SessionState::kNone : SessionState::kBroken;
}

bool BrokerLiveness::IsDead(BrokerId id, BrokerEpoch epoch) const {
  auto found = brokers_.find(id);
  return active_ && found != brokers_.end() && found->second.epoch == epoch &&
         found->second.fencing;
}

}  // namespace millrace

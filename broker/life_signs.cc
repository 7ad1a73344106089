#include "broker/life_signs.h"

#include <algorithm>

namespace millrace {

bool LifeSigns::AskNext(BrokerId broker, Peer& peer) {
  if (!ask_(broker, peer.asked + 1)) return false;
  ++peer.asked;
  peer.asked_at = reactor_.Now();
  return true;
}

std::optional<uint64_t> LifeSigns::AskAfter(BrokerId broker, Peer& peer) {
  if (peer.asked == peer.heard) {
    if (!AskNext(broker, peer) || peer.silent) return std::nullopt;
    return peer.asked;
  }
  if (peer.silent) return std::nullopt;
  peer.another = true;
  return peer.asked + 1;
}

Task<void> LifeSigns::HearFrom(std::vector<BrokerId> brokers, CancellationToken cancel) {
  const Instant until = reactor_.Now() + kPatience;
  std::vector<std::pair<BrokerId, uint64_t>> awaited;
  for (const BrokerId broker : brokers) {
    const std::optional<uint64_t> number = AskAfter(broker, peers_[broker]);
    if (number.has_value()) awaited.emplace_back(broker, *number);
  }
  const auto unheard = [this](const auto& one) { return peers_[one.first].heard < one.second; };
  while (std::ranges::any_of(awaited, unheard)) {
    const WaitResult result = co_await news_.Wait(until, cancel);
    if (result == WaitResult::kSignalled) continue;
    for (const auto& one : awaited) {
      Peer& peer = peers_[one.first];
      if (peer.asked > peer.heard && IsLate(peer)) peer.silent = true;
    }
    co_return;
  }
}

void LifeSigns::OnEcho(BrokerId broker, uint64_t number) {
  Peer& peer = peers_[broker];
  if (number <= peer.heard || number > peer.asked) return;  // Of no question that is open.
  peer.heard = number;
  peer.silent = IsLate(peer);
  // Until it answers in time, which the next to ask must know. That may be long after.
  peer.another = peer.another || peer.silent;
  if (peer.heard == peer.asked && std::exchange(peer.another, false) && !AskNext(broker, peer)) {
    ++peer.asked;  // There is no stream any more: it was lost, and that is known.
    peer.heard = peer.asked;
    peer.silent = false;
  }
  news_.Pulse();
}

void LifeSigns::OnLost(BrokerId broker) {
  Peer& peer = peers_[broker];
  if (std::exchange(peer.another, false)) ++peer.asked;
  peer.heard = peer.asked;
  peer.silent = false;  // The next stream is another matter.
  news_.Pulse();
}

}  // namespace millrace

#include "broker/life_signs.h"

#include <algorithm>

namespace millrace {

bool LifeSigns::AskAfter(BrokerId broker, Peer& peer, uint64_t* number) {
  if (peer.silent) return false;
  *number = peer.asked + 1;
  if (peer.asked > peer.heard) {
    peer.another = true;
    return true;
  }
  if (!ask_(broker, *number)) return false;
  peer.asked = *number;
  return true;
}

Task<void> LifeSigns::HearFrom(std::vector<BrokerId> brokers, Instant until) {
  std::vector<std::pair<BrokerId, uint64_t>> awaited;
  for (const BrokerId broker : brokers) {
    uint64_t number = 0;
    if (AskAfter(broker, peers_[broker], &number)) awaited.emplace_back(broker, number);
  }
  const auto unheard = [this](const auto& one) { return peers_[one.first].heard < one.second; };
  while (std::ranges::any_of(awaited, unheard)) {
    if (co_await news_.Wait(until) != WaitResult::kTimedOut) continue;
    for (const auto& one : awaited) peers_[one.first].silent |= unheard(one);
    co_return;
  }
}

void LifeSigns::OnEcho(BrokerId broker, uint64_t number) {
  Peer& peer = peers_[broker];
  if (number <= peer.heard || number > peer.asked) return;  // Of no question that is open.
  peer.heard = number;
  peer.silent = false;
  if (peer.heard == peer.asked && std::exchange(peer.another, false)) {
    ++peer.asked;
    // Where there is no stream any more, what they wait for is known.
    if (!ask_(broker, peer.asked)) peer.heard = peer.asked;
  }
  news_.Pulse();
}

void LifeSigns::OnLost(BrokerId broker) {
  Peer& peer = peers_[broker];
  if (std::exchange(peer.another, false)) ++peer.asked;
  peer.heard = peer.asked;
  peer.silent = false;
  news_.Pulse();
}

}  // namespace millrace

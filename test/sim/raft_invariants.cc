#include "test/sim/raft_invariants.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/runtime/sim/sim_random.h"

namespace millrace::simtest {
namespace {

std::string NameOf(const raft::ReplicaKey& key) {
  return fmt::format("{}.{}", key.id, key.directory.high());
}

}  // namespace

uint64_t HashOf(const raft::LogEntry& entry) {
  uint64_t hash = MixBits(entry.payload.index());
  if (const auto* data = std::get_if<raft::Data>(&entry.payload)) return MixText(hash, **data);
  if (const auto* change = std::get_if<raft::LeaderChange>(&entry.payload)) {
    return MixBits(hash ^ static_cast<uint64_t>(change->leader.value()));
  }
  for (const auto& [id, voter] : std::get<raft::VoterSet>(entry.payload).all()) {
    hash = MixBits(hash ^ static_cast<uint64_t>(id.value()));
    if (voter.directory.has_value()) hash = MixBits(hash ^ voter.directory->high());
  }
  return hash;
}

void RaftInvariants::Leads(const raft::RaftCore& core) {
  const auto [known, first] = leaders_.try_emplace(core.term(), core.self());
  if (known->second != core.self()) {
    Wrong(fmt::format("election safety: {} and {} both lead term {}", NameOf(known->second),
                      NameOf(core.self()), core.term()));
  }
  if (!first) return;
  for (const auto& [index, term] : committed_) {
    if (index < core.log().start_index() || term > core.term()) continue;
    if (!core.log().Matches(index, term)) {
      Wrong(fmt::format("leader completeness: {} leads term {} without entry {} of term {}",
                        NameOf(core.self()), core.term(), index, term));
      return;
    }
  }
}

void RaftInvariants::Appended(const raft::LogEntry& entry, RaftTerm previous_term) {
  const Entry seen{HashOf(entry), previous_term};
  const auto [known, first] = entries_.try_emplace({entry.index, entry.term}, seen);
  if (known->second != seen) {
    Wrong(fmt::format("log matching: two entries {} of term {}", entry.index, entry.term));
  }
}

void RaftInvariants::LeaderLog(const raft::RaftCore& core) {
  if (core.role() != raft::Role::kLeader) {
    leader_ends_.erase(core.self());
    return;
  }
  const std::pair<RaftTerm, RaftIndex> end{core.term(), core.log().last_index()};
  auto [known, first] = leader_ends_.try_emplace(core.self(), end);
  if (known->second.first == end.first && known->second.second > end.second) {
    Wrong(fmt::format("leader append-only: {} cut its log in term {}", NameOf(core.self()),
                      core.term()));
  }
  known->second = end;
}

void RaftInvariants::Committed(RaftIndex index, RaftTerm term) {
  const auto [known, first] = committed_.try_emplace(index, term);
  if (known->second != term) {
    Wrong(fmt::format("committed: entry {} of term {}, and again of term {}", index, known->second,
                      term));
  }
}

void RaftInvariants::Applied(RaftIndex index, uint64_t state) {
  const auto [known, first] = states_.try_emplace(index, state);
  if (known->second != state) Wrong(fmt::format("state machine safety: two states at {}", index));
}

void RaftInvariants::Sent(const raft::Message& message) {
  auto [spoken, first] = spoken_.try_emplace(message.from, message.term);
  spoken->second = std::max(spoken->second, message.term);
  const auto* reply = std::get_if<raft::VoteReply>(&message.body);
  if (reply == nullptr || reply->pre || !reply->granted) return;
  // The candidate's incarnation is in the address of the answer.
  const raft::ReplicaKey candidate{message.to, message.to_directory.value_or(DirectoryId(0, 0))};
  const auto [vote, new_vote] = votes_.try_emplace({message.from, reply->election}, candidate);
  if (vote->second != candidate) {
    Wrong(fmt::format("one vote a term: {} voted for {} and {} in term {}", NameOf(message.from),
                      NameOf(vote->second), NameOf(candidate), reply->election));
  }
}

void RaftInvariants::Restarted(const raft::RaftCore& core) {
  leader_ends_.erase(core.self());  // What it led unseen, it may lead again.
  const auto spoken = spoken_.find(core.self());
  if (spoken != spoken_.end() && core.term() < spoken->second) {
    Wrong(fmt::format("terms never go back: {} spoke in term {} and starts again in {}",
                      NameOf(core.self()), spoken->second, core.term()));
  }
}

}  // namespace millrace::simtest

// BrokerLiveness on a table, for stories in text.
//
// A story is a transcript. A line "$ MS command" is carried out when so many milliseconds have
// passed, with every tick that was due before; the lines behind it are what came out:
// "MS fence N: why", and how often whom was dialed.
//
//   $ MS active N M ... [local=N] [fenced=N] [absent=N]
//                         becomes the active controller; these are registered. The local one has
//                         registered with it, unless it is absent.
//   $ MS register N       a registration, or the same incarnation again
//   $ MS heartbeat N, broke N
//   $ MS raft-lost N, raft-back N, W lost N, W back N      (W: a broker that says so)
//   $ MS refused N, answered N, unreachable N              (answers to probes)
//   $ MS session N        prints what is known of its session
//   $ MS stop             nothing is heard and no tick comes until the next command
//   $ MS refuse           the next fencing cannot be committed
//   $ MS wait
#pragma once

#include <fmt/format.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "controller/broker_liveness.h"

namespace millrace {

class LivenessTable {
 public:
  std::string Do(const std::string& line) {
    std::istringstream in(line);
    int64_t ms = 0;
    in >> ms;
    out_.clear();
    probes_.clear();
    const Instant until = At(ms);
    while (!stopped_ && liveness_.next_tick() < until) Tick(liveness_.next_tick());
    stopped_ = false;
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    now_ = until;
    Run(words);
    Collect();
    if (!stopped_ && liveness_.next_tick() <= now_) Tick(now_);
    for (const auto& [id, times] : probes_) out_ += fmt::format("dial {} x{}\n", id, times);
    return out_;
  }

 private:
  static Instant At(int64_t ms) { return Instant(0) + milliseconds(ms); }
  static BrokerId Id(const std::string& text) { return BrokerId(std::stoi(text)); }

  void Tick(Instant when) {
    now_ = when;
    liveness_.OnTick(when);
    Collect();
  }
  void Collect() {
    BrokerLiveness::Actions actions = liveness_.TakeActions();
    for (const auto& probe : actions.probe) ++probes_[probe.id.value()];
    for (const auto& fence : actions.fence) {
      out_ +=
          fmt::format("{} fence {}: {}\n", now_.nanoseconds() / 1'000'000, fence.id, fence.reason);
      if (refusals_ > 0) {
        --refusals_;
        liveness_.OnFencingFailed(fence.id, fence.epoch, now_);
      } else {
        liveness_.OnFenced(fence.id, true);
      }
    }
  }
  void Evidence(EvidenceKind kind, const std::string& about,
                std::optional<BrokerId> witness = std::nullopt) {
    liveness_.OnEvidence({kind, Id(about), witness}, now_);
  }

  void Run(const std::vector<std::string>& words) {
    const std::string& verb = words.at(0);
    if (verb == "active") return Activate(words);
    if (verb == "wait") return;
    if (verb == "refuse") {
      ++refusals_;
      return;
    }
    if (verb == "stop") {
      stopped_ = true;
      return;
    }
    if (words.size() == 3) {
      return Evidence(
          words[1] == "lost" ? EvidenceKind::kReplicationLost : EvidenceKind::kReplicationBack,
          words[2], Id(verb));
    }
    const std::string& id = words.at(1);
    if (verb == "register") {
      liveness_.OnRegistered(Id(id), BrokerEpoch(++epochs_[Id(id).value()]), Id(id) == local_,
                             now_);
      liveness_.OnFenced(Id(id), false);
    }
    if (verb == "back") {
      liveness_.OnRegistered(Id(id), BrokerEpoch(epochs_[Id(id).value()]), Id(id) == local_, now_);
    }
    const BrokerEpoch epoch(epochs_[Id(id).value()]);
    if (verb == "heartbeat") liveness_.OnHeartbeat(Id(id), epoch, now_);
    if (verb == "broke") liveness_.OnStreamBroke(Id(id), epoch, now_);
    if (verb == "raft-lost") Evidence(EvidenceKind::kRaftPeerLost, id);
    if (verb == "raft-back") Evidence(EvidenceKind::kRaftPeerBack, id);
    if (verb == "refused") Evidence(EvidenceKind::kDialRefused, id);
    if (verb == "answered") Evidence(EvidenceKind::kDialAnswered, id);
    if (verb == "unreachable") Evidence(EvidenceKind::kDialUnreachable, id);
    if (verb == "session") {
      const SessionState state = liveness_.session(Id(id), now_);
      out_ += state == SessionState::kAlive    ? "alive\n"
              : state == SessionState::kBroken ? "broken\n"
                                               : "none\n";
    }
  }

  void Activate(const std::vector<std::string>& words) {
    std::vector<BrokerLiveness::Known> known;
    for (const std::string& word : words) {
      if (std::isdigit(word[0]) == 0) continue;
      auto named = [&](const std::string& key) {
        return std::ranges::find(words, key + "=" + word) != words.end();
      };
      known.push_back(
          {Id(word), BrokerEpoch(epochs_[Id(word).value()]), named("fenced"), named("local")});
    }
    liveness_.Activate(known, now_);
    for (const BrokerLiveness::Known& one : known) {
      if (!one.local) continue;
      local_ = one.id;
      const std::string absent = fmt::format("absent={}", one.id);
      if (std::ranges::find(words, absent) == words.end()) {
        liveness_.OnRegistered(one.id, one.epoch, true, now_);
        liveness_.OnFenced(one.id, one.fenced);
      }
    }
  }

  BrokerLiveness liveness_{LivenessOptions{}};
  Instant now_{0};
  std::optional<BrokerId> local_;
  bool stopped_ = false;
  int refusals_ = 0;
  std::map<int32_t, int64_t> epochs_;
  std::map<int32_t, int> probes_;
  std::string out_;
};

inline std::string RunLivenessStory(const std::string& story) {
  LivenessTable table;
  std::istringstream in(story);
  std::string transcript;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#")) transcript += line + "\n";
    if (line.starts_with("$ ")) transcript += line + "\n" + table.Do(line.substr(2));
  }
  return transcript;
}

}  // namespace millrace

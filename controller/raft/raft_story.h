// A few cores on a table, for stories in text: what is said is seen, and goes where the story says.
//
// A story is a transcript. A line that begins with "$ " is a command, the lines behind it are what
// it brought about; RunStory() carries out the commands and gives the transcript as it really was.
//
//   $ replicas 1 2 3          fresh replicas of one static quorum
//   $ timeout N               ticks until N asks for an election
//   $ tick N [times]
//   $ write N                 N's write reaches its disk (the only way it does, but for "run")
//   $ deliver A B [n]         the first (or n-th) message from A to B
//   $ drop A B                all messages from A to B
//   $ run [A B ...]           everything is written and delivered until nothing moves; messages
//                             between replicas that are not named are lost. Prints the roles only.
//   $ time T [A B ...]        T ticks of everybody, with a run after each
//   $ hang N                  N's writes do not reach its disk any more, but for "write"
//   $ propose N text
//   $ add N ID, remove N ID, transfer N ID, lost N ID, compact N
//   $ crash N                 what was not written is gone; N starts again from its disk
//   $ wipe N                  the disk too: another directory id
//   $ lose N                  likewise, and N knows that it had promised something
//   $ show                    every replica's state
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "controller/raft/raft_core.h"

namespace millrace::raft {

inline std::string Describe(const Message& message) {
  struct Body {
    std::string operator()(const VoteRequest& r) const {
      return fmt::format("{}vote? last={}/{}{}", r.pre ? "pre-" : "", r.last_index, r.last_term,
                         r.transfer ? " transfer" : "");
    }
    std::string operator()(const VoteReply& r) const {
      return fmt::format("{}vote {} t{}", r.pre ? "pre-" : "", r.granted ? "yes" : "no",
                         r.election);
    }
    std::string operator()(const AppendRequest& r) const {
      std::string entries;
      for (const LogEntry& entry : r.entries)
        entries += fmt::format(" {}/{}", entry.index, entry.term);
      return fmt::format("append after {}/{}:{} commit={}{}", r.prev_index, r.prev_term, entries,
                         r.commit, r.unanswered ? " unanswered" : "");
    }
    std::string operator()(const AppendAccepted& r) const {
      return fmt::format("accepted {}", r.match);
    }
    std::string operator()(const AppendRejected& r) const {
      return fmt::format("rejected {}, meet {}/{}", r.prev_index, r.hint_index, r.hint_term);
    }
    std::string operator()(const InstallSnapshot& r) const {
      return fmt::format("snapshot {}/{}", r.snapshot.meta.index, r.snapshot.meta.term);
    }
    std::string operator()(const TimeoutNow&) const { return "timeout-now"; }
    std::string operator()(const Observe&) const { return "observe"; }
  };
  return fmt::format("{}>{} t{} {}", message.from.id, message.to, message.term,
                     std::visit(Body(), message.body));
}

inline const char* NameOf(Role role) {
  constexpr const char* kNames[] = {"follower", "pre-candidate", "candidate", "leader"};
  return kNames[static_cast<int>(role)];
}

inline const char* NameOf(Refusal refusal) {
  constexpr const char* kNames[] = {"not leader",    "busy",          "transferring",
                                    "in progress",   "not caught up", "duplicate voter",
                                    "unknown voter", "last voter"};
  return kNames[static_cast<int>(refusal)];
}

class Table {
 public:
  struct Replica {
    ReplicaKey key;
    std::unique_ptr<RaftCore> core;
    // The disk.
    HardState hard_state;
    SnapshotMeta snapshot;
    std::map<RaftIndex, LogEntry> entries;
    std::optional<Write> writing;
    std::vector<std::string> applied;
  };

  explicit Table(RaftOptions options = {}) : options_(options) {}

  void AddReplicas(const std::vector<int>& ids) {
    std::map<BrokerId, Voter> voters;
    for (int id : ids) voters.emplace(BrokerId(id), Voter{});
    static_voters_ = VoterSet(std::move(voters));
    for (int id : ids) Start(id, static_voters_);
  }
  // A replica that knows no quorum, only whom to ask.
  void AddObserver(int id) { Start(id, VoterSet()); }

  Replica& at(int id) { return replicas_.at(BrokerId(id)); }
  RaftCore& core(int id) { return *at(id).core; }
  std::deque<Message>& wire() { return wire_; }

  // What the core wants done, but for its write, which waits for Persist().
  void Drain(int id) {
    Replica& replica = at(id);
    Output output = replica.core->Take();
    if (output.write.has_value()) replica.writing = std::move(output.write);
    for (Message& message : output.messages) {
      Note(Describe(message));
      wire_.push_back(std::move(message));
    }
    if (output.restore.has_value()) {
      replica.applied.assign(1, fmt::format("snapshot {}", output.restore->meta.index));
    }
    for (const LogEntry& entry : output.committed) {
      if (const Data* data = std::get_if<Data>(&entry.payload)) replica.applied.push_back(**data);
    }
    if (output.role.has_value()) {
      Note(fmt::format(
          "{} {} t{}{}", id, NameOf(output.role->role), output.role->term,
          output.role->leader.has_value() ? fmt::format(" of {}", *output.role->leader) : ""));
    }
  }

  bool Persist(int id) {
    Replica& replica = at(id);
    if (!replica.writing.has_value()) return false;
    const Write write = *std::exchange(replica.writing, std::nullopt);
    replica.hard_state = write.hard_state;
    if (write.install.has_value()) {
      replica.entries.clear();
      replica.snapshot = write.install->meta;
    }
    if (write.truncate_from.has_value()) {
      replica.entries.erase(replica.entries.lower_bound(*write.truncate_from),
                            replica.entries.end());
    }
    for (const LogEntry& entry : write.entries) replica.entries.emplace(entry.index, entry);
    replica.core->Persisted(write.id);
    Drain(id);
    return true;
  }

  bool Deliver(size_t index) {
    Message message = std::move(wire_[index]);
    wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(index));
    const auto found = replicas_.find(message.to);
    if (found == replicas_.end()) return false;
    const int to = message.to.value();
    const ReplicaKey from = message.from;
    const bool snapshot = std::holds_alternative<InstallSnapshot>(message.body);
    found->second.core->Step(std::move(message));
    Drain(to);
    if (snapshot && replicas_.contains(from.id)) {
      core(from.id.value()).SnapshotSent({BrokerId(to), at(to).key.directory}, true);
      Drain(from.id.value());
    }
    return true;
  }

  // Until nothing moves. Messages from or to others than `among` are lost; empty: nobody's are.
  void Run(const std::set<int>& among = {}) {
    quiet_ = true;
    const auto in = [&](BrokerId id) { return among.empty() || among.contains(id.value()); };
    for (int turn = 0; turn < 10'000; ++turn) {
      bool moved = false;
      for (auto& [id, replica] : replicas_) {
        if (in(id) && !hanging_.contains(id)) moved = Persist(id.value()) || moved;
      }
      if (!wire_.empty()) {
        moved = true;
        if (in(wire_.front().from.id) && in(wire_.front().to)) {
          Deliver(0);
        } else {
          wire_.pop_front();
        }
      }
      if (!moved) break;
    }
    quiet_ = false;
  }

  void Tick(int id, int times = 1) {
    for (int i = 0; i < times; ++i) {
      core(id).Tick(0);
      Drain(id);
    }
  }
  void Hang(int id) { hanging_.insert(BrokerId(id)); }
  void Time(int ticks, const std::set<int>& among) {
    for (int i = 0; i < ticks; ++i) {
      quiet_ = true;
      for (auto& [id, replica] : replicas_) Tick(id.value());
      Run(among);
    }
  }
  // Ticks until it asks for an election.
  void Timeout(int id) {
    for (int i = 0;
         i < 100 && core(id).role() != Role::kPreCandidate && core(id).role() != Role::kLeader;
         ++i) {
      Tick(id);
    }
  }
  // Elects `id`, with nothing else going on.
  void Elect(int id) {
    for (auto& [other, replica] : replicas_) {
      if (other.value() != id && replica.core->role() != Role::kLeader) {
        // Silence has been long enough for the others too, but they did not ask.
        replica.core->PeerLost(replica.core->leader().value_or(BrokerId(0)));
      }
    }
    Timeout(id);
    Run();
  }

  void Crash(int id) {
    Replica& replica = at(id);
    replica.writing.reset();
    replica.applied.clear();
    Boot(replica);
  }
  void Wipe(int id, bool knows = false) {
    Replica& replica = at(id);
    const ReplicaKey key{
        replica.key.id, DirectoryId(replica.key.directory.high() + 1, replica.key.directory.low())};
    replica = Replica{key, nullptr, {}, {}, {}, {}, {}};
    Boot(replica, knows);
  }

  std::string Show(int id) {
    const Replica& replica = at(id);
    std::string text = fmt::format("{} {} t{} commit={} log", id, NameOf(replica.core->role()),
                                   replica.core->term(), replica.core->log().commit());
    const RaftLog& log = replica.core->log();
    if (log.start_index() > RaftIndex(0)) text += fmt::format(" ..{}", log.start_index());
    for (const LogEntry& entry : log.Entries(After(log.start_index()), 1 << 20)) {
      text += fmt::format(" {}/{}", entry.index, entry.term);
    }
    return text;
  }

  std::string TakeNotes() { return std::exchange(notes_, {}); }
  void Note(const std::string& line) {
    if (!quiet_) notes_ += line + "\n";
  }
  void NoteRoles() {
    for (auto& [id, replica] : replicas_) {
      Note(fmt::format("{} {} t{} applied:{}", id, NameOf(replica.core->role()),
                       replica.core->term(), Applied(replica)));
    }
  }
  static std::string Applied(const Replica& replica) {
    std::string text;
    for (const std::string& data : replica.applied) text += " " + data;
    return text;
  }
  std::map<BrokerId, Replica>& replicas() { return replicas_; }

 private:
  void Start(int id, const VoterSet&) {
    const ReplicaKey key{BrokerId(id), DirectoryId(1, static_cast<uint64_t>(id))};
    Replica& replica =
        replicas_.emplace(key.id, Replica{key, nullptr, {}, {}, {}, {}, {}}).first->second;
    Boot(replica);
  }
  void Boot(Replica& replica, bool lost = false) {
    RaftStart start;
    start.lost = lost;
    start.hard_state = replica.hard_state;
    start.snapshot = replica.snapshot;
    for (const auto& [index, entry] : replica.entries) {
      if (index > replica.snapshot.index) start.entries.push_back(entry);
    }
    if (static_voters_.Find(replica.key.id) != nullptr) start.static_voters = static_voters_;
    for (const auto& [id, voter] : static_voters_.all()) start.contacts.push_back(id);
    replica.core = std::make_unique<RaftCore>(replica.key, options_, std::move(start));
    quiet_ = true;
    Drain(replica.key.id.value());
    quiet_ = false;
  }

  const RaftOptions options_;
  VoterSet static_voters_;
  std::map<BrokerId, Replica> replicas_;
  std::deque<Message> wire_;
  std::set<BrokerId> hanging_;
  std::string notes_;
  bool quiet_ = false;
};

// One command of a story.
inline void RunCommand(Table& table, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  std::vector<int> numbers;
  std::string text;
  for (std::string word; words >> word;) {
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0) {
      numbers.push_back(std::stoi(word));
    } else {
      text = word;
    }
  }
  const int first = numbers.empty() ? 0 : numbers[0];
  const int second = numbers.size() > 1 ? numbers[1] : 0;
  const auto key = [&] { return table.at(second).key; };
  const auto say = [&](const auto& result) {
    if (!result.has_value()) table.Note(fmt::format("refused: {}", NameOf(result.error())));
    table.Drain(first);
  };
  if (verb == "replicas") {
    table.AddReplicas(numbers);
  } else if (verb == "observer") {
    table.AddObserver(first);
  } else if (verb == "timeout") {
    table.Timeout(first);
  } else if (verb == "tick") {
    table.Tick(first, std::max(second, 1));
  } else if (verb == "write") {
    if (!table.Persist(first)) table.Note("nothing to write");
  } else if (verb == "deliver" || verb == "drop") {
    int skip = numbers.size() > 2 ? numbers[2] - 1 : 0;
    bool found = false;
    for (size_t i = 0; i < table.wire().size();) {
      const Message& message = table.wire()[i];
      if (message.from.id != BrokerId(first) || message.to != BrokerId(second) || skip-- > 0) {
        ++i;
        continue;
      }
      found = true;
      if (verb == "drop") {
        table.wire().erase(table.wire().begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      table.Deliver(i);
      break;
    }
    if (!found) table.Note("no such message");
  } else if (verb == "run") {
    table.Run(std::set<int>(numbers.begin(), numbers.end()));
    table.NoteRoles();
  } else if (verb == "propose") {
    say(table.core(first).Propose(std::make_shared<const std::string>(text)));
  } else if (verb == "add") {
    say(table.core(first).AddVoter(key(), {}));
  } else if (verb == "remove") {
    const Voter* voter = table.core(first).voters().Find(BrokerId(second));
    say(table.core(first).RemoveVoter(
        {BrokerId(second), voter == nullptr ? key().directory : *voter->directory}));
  } else if (verb == "transfer") {
    say(table.core(first).TransferLeadership(BrokerId(second)));
  } else if (verb == "lost") {
    table.core(first).PeerLost(BrokerId(second));
  } else if (verb == "compact") {
    Table::Replica& replica = table.at(first);
    replica.snapshot = *replica.core->DescribeApplied();
    replica.core->Compact(replica.snapshot);
    table.Drain(first);
  } else if (verb == "crash") {
    table.Crash(first);
  } else if (verb == "wipe") {
    table.Wipe(first);
  } else if (verb == "hang") {
    table.Hang(first);
  } else if (verb == "time") {
    table.Time(first, std::set<int>(numbers.begin() + 1, numbers.end()));
    table.NoteRoles();
  } else if (verb == "lose") {
    table.Wipe(first, /*knows=*/true);
  } else if (verb == "show") {
    for (auto& [id, replica] : table.replicas()) table.Note(table.Show(id.value()));
  } else {
    table.Note("no such command");
  }
}

inline std::string RunStory(const std::string& story, RaftOptions options = {}) {
  Table table(options);
  std::istringstream lines(story);
  std::string transcript;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) transcript += line + "\n";
    if (!line.starts_with("$ ")) continue;
    RunCommand(table, line.substr(2));
    transcript += line + "\n" + table.TakeNotes();
  }
  return transcript;
}

}  // namespace millrace::raft

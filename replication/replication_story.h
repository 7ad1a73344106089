// Stories of replication in text: RunStory() carries out the commands of a transcript and gives the
// transcript as it really was. A line that begins with "$ " is a command, the lines behind it are
// what it brought about; lines that begin with # are kept. See test/scripts/replication/.
//
//   $ partition 1 2 3 [min-isr=N] [lag-ms-max=N] [page-cache]
//                           fresh replicas, all in the ISR; nobody knows of anything yet
//   The controller:
//   $ elect N [isr=A,B]     a new leader epoch, led by N; nobody hears of it
//   $ elect N recovering    the same, uncleanly: the ISR is N alone
//   $ tell N ...            they hear what is decided
//   $ decide [lost]         on the oldest proposal; the answer gets lost
//   $ fence N, $ unfence N  (or in a controlled shutdown)
//   $ min-isr N             for all; leaders hear of it when they are told
//   A leader:
//   $ append N value ...    acks=all;  $ append1 N value ...  acks=1
//   $ tick MS
//   A follower:
//   $ hello N               one hello; $ follow N: until the logs meet
//   $ fetch N [count]       takes records (all), and the leader's high watermark and start
//   $ hear N                the leader's high watermark and start
//   $ report N              how far it is
//   $ replicate N ...       follow, fetch, sync, report, hear
//   Any:
//   $ sync N ...            what it has is durable
//   $ crash N [end]         N dies; what was not durable (or from `end` on) is lost
//   $ start N               it is back, and registered anew
//   $ keep N                its high watermark is written down
//   $ delete-before N offset
//   $ show [N ...]
#pragma once

#include <functional>
#include <memory>
#include <sstream>

#include "replication/replica_table.h"

namespace millrace {

class Story {
 public:
  // What a command says, from behind the "$ ".
  void Run(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    numbers_.clear();
    texts_.clear();
    for (std::string word; words >> word;) {
      const bool number = std::isdigit(static_cast<unsigned char>(word[0])) != 0;
      if (number) numbers_.push_back(std::stoi(word));
      texts_.push_back(std::move(word));
    }
    if (verb == "partition") return Partition();
    if (table_ == nullptr) return;
    if (!Controller(verb) && !Leader(verb) && !Follower(verb) && !Any(verb)) {
      table_->Note("no such command");
    }
  }
  std::string TakeNotes() { return table_ == nullptr ? "" : table_->TakeNotes(); }

 private:
  BrokerId First() const { return BrokerId(numbers_.at(0)); }
  bool Says(std::string_view word) const { return std::ranges::find(texts_, word) != texts_.end(); }
  std::optional<std::string> Value(std::string_view name) const {
    for (const std::string& text : texts_) {
      if (text.starts_with(std::string(name) + "=")) return text.substr(name.size() + 1);
    }
    return std::nullopt;
  }
  void ForEach(const std::function<void(BrokerId)>& what) {
    for (int id : numbers_) what(BrokerId(id));
  }

  void Partition() {
    ReplicaTable::Options options;
    if (auto min = Value("min-isr")) options.isr_min = std::stoul(*min);
    if (auto lag = Value("lag-ms-max")) options.lag_max = milliseconds(std::stoi(*lag));
    options.page_cache = Says("page-cache");
    table_ = std::make_unique<ReplicaTable>(numbers_, options);
  }
  bool Controller(const std::string& verb) {
    if (verb == "elect") {
      std::optional<std::set<BrokerId>> isr;
      if (auto list = Value("isr")) {
        isr.emplace();
        std::istringstream ids(*list);
        for (std::string id; std::getline(ids, id, ',');) isr->insert(BrokerId(std::stoi(id)));
      }
      if (Says("recovering")) isr = {First()};
      table_->Elect(First(), isr);
      if (Says("recovering")) table_->SetRecovering();
    } else if (verb == "tell") {
      ForEach([&](BrokerId id) { table_->Tell(id); });
    } else if (verb == "decide") {
      table_->Decide(Says("lost"));
    } else if (verb == "fence" || verb == "unfence") {
      table_->Known(First()).active = verb == "unfence";
    } else if (verb == "min-isr") {
      table_->set_isr_min(static_cast<size_t>(numbers_.at(0)));
    } else {
      return false;
    }
    return true;
  }
  bool Leader(const std::string& verb) {
    if (verb == "append" || verb == "append1") {
      for (size_t i = 1; i < texts_.size(); ++i) {
        if (!table_->Append(First(), texts_[i], verb == "append")) break;
      }
    } else if (verb == "tick") {
      table_->Tick(milliseconds(numbers_.at(0)));
    } else {
      return false;
    }
    return true;
  }
  void Follow(BrokerId id) {
    // Each hello that is not the last one makes the log shorter, or its epoch lower.
    for (int i = 0; i < 100; ++i) {
      const std::string before = table_->Show(id);
      if (table_->Hello(id) || table_->Show(id) == before) return;
    }
    table_->Note("they never meet");
  }
  bool Follower(const std::string& verb) {
    if (verb == "hello") {
      table_->Hello(First());
    } else if (verb == "follow") {
      Follow(First());
    } else if (verb == "fetch") {
      table_->Fetch(First(), numbers_.size() > 1 ? static_cast<size_t>(numbers_[1]) : 1000);
    } else if (verb == "hear") {
      table_->Hear(First());
    } else if (verb == "report") {
      table_->Report(First());
    } else if (verb == "replicate") {
      ForEach([&](BrokerId id) {
        PartitionFollower* follower = table_->at(id).following();
        if (follower != nullptr && follower->phase() != PartitionFollower::Phase::kFollowing) {
          Follow(id);
        }
        if (!table_->Follows(id)) return;
        table_->Fetch(id, 1000);
        table_->Sync(id);
        table_->Report(id);
        table_->Hear(id);
      });
    } else {
      return false;
    }
    return true;
  }
  bool Any(const std::string& verb) {
    if (verb == "sync") {
      ForEach([&](BrokerId id) { table_->Sync(id); });
    } else if (verb == "crash") {
      table_->Crash(First(),
                    numbers_.size() > 1 ? Offset(numbers_[1]) : table_->at(First()).durable);
    } else if (verb == "start") {
      table_->Start(First());
    } else if (verb == "keep") {
      table_->at(First()).kept_high_watermark = table_->at(First()).high_watermark;
    } else if (verb == "delete-before") {
      table_->at(First()).CutStart(Offset(numbers_.at(1)));
    } else if (verb == "show") {
      for (auto& [id, replica] : table_->replicas()) {
        if (numbers_.empty() || std::ranges::find(numbers_, id.value()) != numbers_.end()) {
          table_->Note(table_->Show(id));
        }
      }
    } else {
      return false;
    }
    return true;
  }

  std::unique_ptr<ReplicaTable> table_;
  std::vector<int> numbers_;
  std::vector<std::string> texts_;
};

inline std::string RunStory(const std::string& story) {
  Story told;
  std::istringstream lines(story);
  std::string transcript;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#") || line.empty()) transcript += line + "\n";
    if (!line.starts_with("$ ")) continue;
    told.Run(line.substr(2));
    transcript += line + "\n" + told.TakeNotes();
  }
  return transcript;
}

}  // namespace millrace

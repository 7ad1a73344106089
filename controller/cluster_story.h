// The controller's decisions on a table, for stories in text: what is decided is applied at once,
// and what changed is printed.
//
// A story is a transcript. A line that begins with "$ " is a command, the lines behind it are what
// it brought about; RunClusterStory() carries out the commands and gives the transcript as it
// really was.
//
//   $ feature NAME LEVEL [safe|unsafe]
//   $ broker N [rack=R] [dirs=K]   registers and serves; its directories are Na, Nb, ...
//   $ topic NAME [min=M] [unclean] [page-cache] R1 R2 ...   with so many partitions (1,2,3 each)
//   $ fence N, unfence N, shutdown N, unregister N
//   $ heartbeat N [wants-fence] [wants-shutdown] [behind] [others=I] [failed=Na] [full=Na,..] [slow=Na,..]
//   $ wait S                   so many seconds pass
//   $ controller               another controller is the active one
//   $ restart N [clean] [torn] [wiped] [session=alive|broken|none]   another incarnation registers;
//                              torn: its directories could not be replayed completely
//   $ isr NAME-P MEMBERS [from=N] [leader-epoch=E] [partition-epoch=E] [stale=N] [recovering]
//   $ move NAME-P TARGET|cancel [same-factor]
//   $ elect preferred|unclean [NAME-P]
//   $ leaderless, balance
//   $ drain N, undrain N, factor NAME F
//   $ where NAME-P N DIR       broker N says where its replica lives
//   $ min NAME M               min.insync.replicas changes
//   $ show                     every partition
//
// A partition is printed as: NAME-P [replicas] isr=[..] leader=N epoch=LEADER/PARTITION, and what
// it has besides: elr=, last=, adding=, removing=, recovering.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "controller/alter_partition.h"
#include "controller/broker_changes.h"
#include "controller/broker_heartbeat.h"
#include "controller/broker_registration.h"
#include "controller/config_decisions.h"
#include "controller/directory_assignment.h"
#include "controller/directory_grades.h"
#include "controller/feature_decisions.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_delta.h"
#include "controller/leader_election.h"
#include "controller/reassignment.h"
#include "controller/replica_moves.h"
#include "controller/slow_directories.h"
#include "controller/topic_decisions.h"

namespace millrace {

inline std::string ListText(std::span<const BrokerId> ids) {
  std::vector<int32_t> numbers;
  for (BrokerId id : ids) numbers.push_back(id.value());
  return fmt::format("[{}]", fmt::join(numbers, ","));
}

inline std::string PartitionText(const PartitionImage& p) {
  std::string text =
      fmt::format("{} isr={} leader={} epoch={}/{}", ListText(p.replicas), ListText(p.isr),
                  p.leader.has_value() ? p.leader->value() : -1, p.leader_epoch, p.partition_epoch);
  if (!p.elr.empty()) text += " elr=" + ListText(p.elr);
  if (!p.last_known_elr.empty()) text += " last=" + ListText(p.last_known_elr);
  if (!p.adding.empty()) text += " adding=" + ListText(p.adding);
  if (!p.removing.empty()) text += " removing=" + ListText(p.removing);
  if (p.recovery == LeaderRecovery::kRecovering) text += " recovering";
  return text;
}

class ClusterTable {
 public:
  const MetadataImage& image() const { return *image_; }

  std::string Do(const std::string& line) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    words_.clear();
    for (std::string word; in >> word;) words_.push_back(word);
    before_ = image_;
    out_.clear();
    Run(verb);
    for (const auto& [name, text] : Changed()) out_ += fmt::format("{} {}\n", name, text);
    return out_;
  }

 private:
  void Run(const std::string& verb) {
    if (verb == "feature") return Feature();
    if (verb == "broker") return Register(Id(0), "new", SessionState::kNone);
    if (verb == "topic") return Topic();
    if (verb == "fence") return Apply(RecordsOfFencing(*image_, {}, grades_, Id(0)));
    if (verb == "unfence") return Apply(RecordsOfUnfencing(*image_, {}, Id(0)));
    if (verb == "shutdown") return Apply(RecordsOfShutdown(*image_, {}, grades_, Id(0)));
    if (verb == "unregister") return Apply(RecordsOfUnregistering(*image_, {}, grades_, Id(0)));
    if (verb == "heartbeat") return Heartbeat();
    if (verb == "wait") return Wait();
    if (verb == "controller") return grades_.Clear();
    if (verb == "restart") return Restart();
    if (verb == "isr") return Isr();
    if (verb == "move") return Move();
    if (verb == "elect") return Elect();
    if (verb == "leaderless") return Apply(DecideLeaderless(*image_, {}));
    if (verb == "balance") return Apply(DecideLeaderBalance(*image_, {}, grades_));
    if (verb == "drain" || verb == "undrain") return Drain(verb == "undrain");
    if (verb == "factor") return Factor();
    if (verb == "where") return Where();
    if (verb == "min") return Min();
    if (verb == "show") {
      before_ = std::make_shared<const MetadataImage>();
      return;
    }
    out_ = "unknown command\n";
  }

  bool Has(const std::string& word) const {
    return std::ranges::find(words_, word) != words_.end();
  }
  std::optional<std::string> Value(const std::string& key) const {
    for (const std::string& word : words_) {
      if (word.starts_with(key + "=")) return word.substr(key.size() + 1);
    }
    return std::nullopt;
  }
  int32_t Number(size_t i) const { return std::stoi(words_.at(i)); }
  BrokerId Id(size_t i) const { return BrokerId(Number(i)); }
  static BrokerIds Ids(const std::string& text) {
    BrokerIds ids;
    std::istringstream in(text);
    for (std::string id; std::getline(in, id, ',');) ids.emplace_back(std::stoi(id));
    return ids;
  }
  // "1a" is broker 1's first directory, "lost" none.
  static DirectoryId Directory(const std::string& name) {
    if (name == "lost") return kLostDirectory;
    return DirectoryId(1000 + static_cast<uint64_t>(std::stoi(name)),
                       static_cast<uint64_t>(name.back()));
  }
  DirectoryIds Directories(const std::string& key) const {
    DirectoryIds ids;
    std::istringstream names(Value(key).value_or(""));
    for (std::string name; std::getline(names, name, ',');) ids.push_back(Directory(name));
    return ids;
  }
  std::pair<MetadataImage::Topic, PartitionId> Partition(size_t i) const {
    const std::string& word = words_.at(i);
    const size_t dash = word.rfind('-');
    return {image_->FindTopic(word.substr(0, dash)), PartitionId(std::stoi(word.substr(dash + 1)))};
  }

  void Apply(const MetadataRecords& records) {
    MetadataDelta delta(image_);
    for (const MetadataRecord& record : records) {
      absl::Status applied = delta.Apply(record);
      if (!applied.ok()) out_ += fmt::format("BAD RECORD {}\n", std::string(applied.message()));
    }
    image_ = delta.Build(RaftIndex(++index_));
  }
  void Say(const absl::Status& status) {
    if (!status.ok()) out_ += fmt::format("refused: {}\n", std::string(status.message()));
  }

  std::vector<std::pair<std::string, std::string>> Changed() const {
    std::vector<std::pair<std::string, std::string>> changed;
    for (const auto& [id, broker] : image_->brokers()) {
      const BrokerImage* old = before_->FindBroker(BrokerId(id));
      const std::string text = BrokerText(broker);
      const bool shown = old != nullptr ? BrokerText(*old) != text : !before_->brokers().empty();
      if (shown) changed.emplace_back(fmt::format("broker {}", id), text);
    }
    for (const auto& [id, broker] : before_->brokers()) {
      if (image_->FindBroker(BrokerId(id)) == nullptr) {
        changed.emplace_back(fmt::format("broker {}", id), "gone");
      }
    }
    image_->topics().ForEach([&](const std::string& name, const MetadataImage::Topic& topic) {
      MetadataImage::Topic old = before_->FindTopic(name);
      for (size_t p = 0; p < topic->partitions.size(); ++p) {
        const PartitionImage* was =
            old == nullptr ? nullptr : old->Find(PartitionId(static_cast<int32_t>(p)));
        if (was != nullptr && *was == topic->partitions[p]) continue;
        changed.emplace_back(fmt::format("{}-{}", name, p), PartitionText(topic->partitions[p]));
      }
      return true;
    });
    return changed;
  }
  static std::string BrokerText(const BrokerImage& broker) {
    std::string text = broker.fenced                   ? "fenced"
                       : broker.in_controlled_shutdown ? "shutting down"
                                                       : "serves";
    if (broker.draining) text += " draining";
    for (const LogDirectoryImage& directory : broker.log_directories) {
      if (!directory.online) {
        text += fmt::format(" failed={}{}", broker.id, static_cast<char>(directory.id.low()));
      }
    }
    return text;
  }

  void Feature() {
    FeatureUpgrade kind = Has("safe")     ? FeatureUpgrade::kSafeDowngrade
                          : Has("unsafe") ? FeatureUpgrade::kUnsafeDowngrade
                                          : FeatureUpgrade::kUpgrade;
    Verdict verdict = DecideFeatures(*image_, {}, {{words_[0], Number(1), kind}}, false);
    Say(verdict.status);
    Apply(verdict.records);
  }

  void Register(BrokerId id, const std::string& how, SessionState session) {
    BrokerRegistration request{id,
                               IncarnationId(1, static_cast<uint64_t>(++incarnation_)),
                               "c",
                               {{"PLAINTEXT", fmt::format("host{}", id), 9092, "PLAINTEXT"}}};
    request.rack = Value("rack");
    const BrokerImage* before = image_->FindBroker(id);
    const int dirs = before != nullptr ? static_cast<int>(before->log_directories.size())
                                       : std::stoi(Value("dirs").value_or("1"));
    for (int i = 0; i < dirs; ++i) {
      std::string name = fmt::format("{}{}", id, static_cast<char>((Has("wiped") ? 'x' : 'a') + i));
      request.log_directories.push_back({Directory(name), true, !Has("torn")});
    }
    request.features = AnnouncedFeatures();
    request.caught_up = how == "new";
    if (Has("clean")) request.clean_epoch = before->epoch;
    auto decision =
        DecideRegistration(*image_, "c", {}, grades_, request, session, BrokerEpoch(index_ + 1));
    Say(decision.reply.status());
    Apply(decision.records);
    (void)grades_.Hear(id, {}, {}, now_);  // Its first heartbeat.
  }

  void Restart() {
    const std::string session = Value("session").value_or("broken");
    Register(Id(0), "again",
             session == "alive"  ? SessionState::kAlive
             : session == "none" ? SessionState::kNone
                                 : SessionState::kBroken);
  }

  void Topic() {
    const TopicId id(9, static_cast<uint64_t>(++topics_));
    MetadataRecords records{TopicRecord{words_[0], id}};
    auto config = [&](std::string key, std::string value) {
      records.emplace_back(ConfigRecord{ConfigResource::kTopic, words_[0], key, value});
    };
    if (auto min = Value("min"); min.has_value()) config("min.insync.replicas", *min);
    if (Has("unclean")) config("unclean.leader.election.enable", "true");
    if (Has("page-cache")) config("millrace.durability", "page-cache");
    CreateTopicRequest request;
    request.name = words_[0];
    for (const std::string& word : words_) {
      if (std::isdigit(word[0]) != 0) {
        request.assignments.emplace(static_cast<int32_t>(request.assignments.size()), Ids(word));
      }
    }
    auto decision = DecideCreateTopics(*image_, {}, {request}, false,
                                       {[&] { return id; }, [] { return uint64_t{0}; }});
    Say(decision.replies[0].status);
    for (MetadataRecord& record : decision.records) {
      if (!std::holds_alternative<TopicRecord>(record)) records.push_back(std::move(record));
    }
    if (decision.replies[0].status.ok()) Apply(records);
  }

  void Heartbeat() {
    const BrokerId id = Id(0);
    const BrokerImage* broker = image_->FindBroker(id);
    BrokerHeartbeat heartbeat{id, broker == nullptr ? BrokerEpoch(0) : broker->epoch,
                              RaftIndex(Has("behind") ? 0 : index_)};
    heartbeat.wants_fence = Has("wants-fence");
    heartbeat.wants_shutdown = Has("wants-shutdown");
    if (auto failed = Value("failed"); failed.has_value()) {
      heartbeat.offline_directories = {Directory(*failed)};
    }
    heartbeat.full_directories = Directories("full");
    heartbeat.slow_directories = Directories("slow");
    (void)grades_.Hear(id, heartbeat.full_directories, heartbeat.slow_directories, now_);
    std::optional<RaftIndex> others;
    if (auto text = Value("others"); text.has_value()) others = RaftIndex(std::stoll(*text));
    auto decision = DecideHeartbeat(*image_, {}, grades_, heartbeat, others, shutdown_);
    Say(decision.reply.status());
    // As the controller does.
    if (decision.reply.ok() && decision.records.empty() && !heartbeat.wants_fence &&
        !heartbeat.wants_shutdown && image_->index().has_value()) {
      grades_.Settle(id, *image_->index());
    }
    Apply(decision.records);
    const BrokerImage* after = image_->FindBroker(id);
    if (after != nullptr && after->in_controlled_shutdown && !shutdown_.has_value()) {
      shutdown_ = RaftIndex(index_);
    }
    if (decision.reply.ok() && decision.reply->should_shut_down) out_ += "may go\n";
  }

  void Wait() { now_ = now_ + seconds(Number(0)); }

  void Isr() {
    auto [topic, id] = Partition(0);
    if (topic == nullptr) return Say(absl::NotFoundError("no such topic"));
    const PartitionImage& partition = *topic->Find(id);
    AlterPartitionRequest request{partition.leader.value_or(BrokerId(0)), BrokerEpoch(0), {}};
    if (auto from = Value("from"); from.has_value()) request.broker = BrokerId(std::stoi(*from));
    const BrokerImage* sender = image_->FindBroker(request.broker);
    if (sender == nullptr) return Say(absl::NotFoundError("nobody leads"));
    request.epoch = sender->epoch;
    IsrChange proposal{{topic->topic_id, id}, partition.leader_epoch, partition.partition_epoch};
    if (auto e = Value("leader-epoch")) proposal.leader_epoch = LeaderEpoch(std::stoi(*e));
    if (auto e = Value("partition-epoch")) proposal.partition_epoch = PartitionEpoch(std::stoi(*e));
    for (BrokerId member : Ids(words_[1])) {
      const BrokerImage* broker = image_->FindBroker(member);
      int64_t epoch = broker == nullptr ? 0 : broker->epoch.value();
      if (Value("stale") == std::to_string(member.value())) --epoch;
      proposal.isr.push_back({member, BrokerEpoch(epoch)});
    }
    if (Has("recovering")) proposal.recovery = LeaderRecovery::kRecovering;
    request.proposals = {proposal};
    auto decision = DecideAlterPartition(*image_, {}, grades_, request);
    Say(decision.reply.status());
    if (decision.reply.ok()) Say(decision.reply->front().status);
    Apply(decision.records);
  }

  void Move() {
    auto [topic, id] = Partition(0);
    ReassignmentRequest request{topic == nullptr ? "?" : topic->name, id, std::nullopt};
    if (!Has("cancel")) request.replicas = Ids(words_[1]);
    auto decision = DecideReassignments(*image_, {}, {request}, !Has("same-factor"));
    Say(decision.replies[0].status);
    Apply(decision.records);
  }

  void Elect() {
    ElectLeadersRequest request;
    request.kind = Has("unclean") ? ElectionKind::kUnclean : ElectionKind::kPreferred;
    if (words_.size() > 1) {
      auto [topic, id] = Partition(1);
      request.partitions = {{topic == nullptr ? "?" : topic->name, id}};
    }
    auto decision = DecideElections(*image_, {}, grades_, request);
    for (const ElectLeadersReply& reply : decision.replies) Say(reply.status);
    Apply(decision.records);
  }

  void Drain(bool undo) {
    auto decision = DecideDrain(*image_, {}, Id(0), undo);
    Say(decision.reply.status());
    if (decision.reply.ok()) {
      for (const ReassignmentReply& reply : *decision.reply) Say(reply.status);
    }
    Apply(decision.records);
  }

  void Factor() {
    Verdict verdict = DecideReplicationFactor(*image_, {}, words_[0], Number(1));
    Say(verdict.status);
    Apply(verdict.records);
  }

  void Where() {
    auto [topic, id] = Partition(0);
    AssignDirectoriesRequest request{
        Id(1), image_->FindBroker(Id(1))->epoch, {{{topic->topic_id, id}, Directory(words_[2])}}};
    auto decision = DecideDirectories(*image_, {}, request);
    Say(decision.reply->front().status);
    Apply(decision.records);
  }

  void Min() {
    const ConfigChange change{"min.insync.replicas", ConfigOp::kSet, words_[1]};
    const AlterConfigsRequest request{ConfigResource::kTopic, words_[0], {change}};
    Apply(DecideAlterConfigs(*image_, {}, {request}, /*validate_only=*/false).records);
  }

  std::shared_ptr<const MetadataImage> image_ = std::make_shared<const MetadataImage>();
  std::shared_ptr<const MetadataImage> before_;
  DirectoryGrades grades_;
  Instant now_{0};
  int64_t index_ = 0;
  int64_t incarnation_ = 0;
  int64_t topics_ = 0;
  std::optional<RaftIndex> shutdown_;
  std::vector<std::string> words_;
  std::string out_;
};

inline std::string RunClusterStory(const std::string& story) {
  ClusterTable table;
  std::istringstream in(story);
  std::string transcript;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#")) transcript += line + "\n";
    if (line.starts_with("$ ")) transcript += line + "\n" + table.Do(line.substr(2));
  }
  return transcript;
}

}  // namespace millrace

// Stories in text of a group that goes from one protocol to the other: RunMigrationStory() carries out
// the commands of a transcript and gives the transcript as it really was (classic_group_story.h has
// the form). What members own is written as partitions, t0,t1; "-" is none. See test/scripts/migration/.
//
//   $ coordinator [policy=upgrade|downgrade|disabled] [classic-max=N] [consumer-max=N]
//   $ topic t 3                                 three partitions; time begins at 0 s
//   Members of the classic protocol; what says how is kept for the member's next requests:
//   $ join A [topics=t] [owned=t0,t1] [instance=i] [protocols=range,sticky] [session=10]
//            [rebalance=60] [v=3] [type=consumer] [bytes=raw] [as=none]  bytes: as subscription
//   $ sync A [B=t0,t1 ...] [generation=N] [data=opaque]   data: of the assignor, in each assignment
//   $ beat A [generation=N]
//   $ leave A ..., $ leave as=none instance=i
//   Members of the consumer protocol:
//   $ new N [topics=t] [instance=i]             it joins
//   $ hb N [owned=t0,t1] [epoch=N]
//   $ bye N [static]
//   Whoever:
//   $ commit A t0=5, $ fetch t0
//   $ wait 3                                    what is due in between happens in its time
//   $ load                                      the coordinator is dropped, and loads its log
//   $ show
//
// "log:" says what was written, kind by kind; "-" is in front of tombstones. A member's id is its name,
// once it knows one, and what was drawn for it is shown as #1, #2.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "broker/groups/embedded_protocol.h"
#include "broker/groups/group_coordinator.h"
#include "broker/groups/testing/consumer_world.h"
#include "proto/kafka/writer.h"

namespace millrace {

class MigrationStory {
 public:
  // What a command says, from behind the "$ ".
  void Run(const std::string& line) {
    std::istringstream text(line);
    std::string verb;
    text >> verb;
    names_.clear();
    values_.clear();
    for (std::string word; text >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        names_.push_back(word);
      } else {
        values_[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    if (verb == "coordinator") return Begin();
    if (verb == "topic") return world_.Topic(names_.at(0), std::stoi(names_.at(1)));
    if (verb == "wait") return Wait();
    if (verb == "show") return Show();
    if (verb == "load") return Load();
    if (verb == "fetch") return Fetch();
    GroupOutput out;
    if (verb == "join") {
      Join(out);
    } else if (verb == "sync") {
      Sync(out);
    } else if (verb == "beat") {
      const Member& member = Named();
      Note(fmt::format("{} beat: {}", names_.at(0),
                       Name(groups_->Heartbeat("g", Identity(member), Generation(member), time_))));
    } else if (verb == "leave") {
      Leave(out);
    } else if (verb == "commit") {
      Commit(out);
    } else {
      Heartbeat(verb, out);
    }
    Tell(out);
  }
  std::string TakeNotes() { return std::exchange(notes_, ""); }

 private:
  struct Member {
    std::string id;
    std::optional<std::string> instance = {};
    std::string type = "consumer";
    std::string topics = "t";
    std::string owned = "-";
    std::optional<std::string> bytes = {};
    std::vector<std::string> protocols = {"range"};
    int session_s = 10;
    int rebalance_s = 60;
    int version = 3;
    int32_t epoch = 0;
  };

  void Note(const std::string& line) { notes_ += line + "\n"; }
  static std::string Name(kafka::KafkaError error) { return std::string(kafka::NameOf(error)); }
  std::optional<std::string> Value(const std::string& name) const {
    const auto value = values_.find(name);
    return value == values_.end() ? std::nullopt : std::optional(value->second);
  }
  int Number(const std::string& name, int otherwise) const {
    const auto value = Value(name);
    return value.has_value() ? std::stoi(*value) : otherwise;
  }
  static std::vector<std::string> Split(const std::string& list) {
    std::vector<std::string> words;
    std::istringstream text(list);
    for (std::string word; std::getline(text, word, ',');) words.push_back(word);
    return words;
  }
  Member& Named() { return members_[names_.empty() ? "nobody" : names_.front()]; }
  MemberIdentity Identity(const Member& member) const {
    MemberIdentity who{member.id, member.instance};
    if (Value("as") == "none") who.member_id.clear();
    if (const auto instance = Value("instance")) who.instance_id = *instance;
    return who;
  }
  GenerationId Generation(const Member& member) const {
    return GenerationId(Number("generation", member.epoch));
  }
  Uuid Draw() { return Uuid(0, ++drawn_); }
  std::string Short(const std::string& id) const {
    for (const auto& [name, member] : members_) {
      if (member.id == id && !id.empty()) return name;
    }
    for (uint64_t number = 1; number <= drawn_; ++number) {
      const Uuid drawn(0, number);
      if (id == drawn.ToString() || id.ends_with(fmt::format("{:012x}", number))) {
        return fmt::format("#{}", number);
      }
    }
    return id;
  }
  // Partitions with commas.
  std::string Text(const PartitionList& partitions) const {
    std::string text = world_.Text(partitions);
    std::ranges::replace(text, ' ', ',');
    return text;
  }
  PartitionList Parse(std::string text) const {
    std::ranges::replace(text, ',', ' ');
    return world_.Parse(text);
  }
  template <typename Message>
  static std::string Encode(const Message& message) {
    kafka::Writer writer;
    writer.WriteInt16(1);
    message.Encode(writer, 1);
    return std::string(std::move(writer).Finish()->Flatten().view());
  }
  template <typename TopicPartition>
  std::vector<TopicPartition> Topics(const std::string& partitions) const {
    std::vector<TopicPartition> topics;
    for (const TopicPartitionId& partition : Parse(partitions)) {
      const std::string& name = world_.image->FindTopic(partition.topic_id)->name;
      if (topics.empty() || topics.back().topic != name) topics.emplace_back().topic = name;
      topics.back().partitions.push_back(partition.partition.value());
    }
    return topics;
  }

  void Begin() {
    const std::string policy = Value("policy").value_or("bidirectional");
    options_.migration = {.upgrade = policy == "bidirectional" || policy == "upgrade",
                          .downgrade = policy == "bidirectional" || policy == "downgrade"};
    options_.classic.initial_rebalance_delay = Duration(0);
    options_.classic.members_max = static_cast<size_t>(Number("classic-max", 1000));
    options_.consumer.members_max = static_cast<size_t>(Number("consumer-max", 1000));
    options_.consumer.assignment_interval = Duration(0);
    time_ = {Instant(0), Timestamp(0)};
    members_.clear();
    log_.clear();
    drawn_ = 0;
    groups_.emplace(options_, memory_, time_);
  }

  void Join(GroupOutput& out) {
    Member& member = Named();
    if (const auto instance = Value("instance")) member.instance = *instance;
    if (const auto protocols = Value("protocols")) member.protocols = Split(*protocols);
    member.type = Value("type").value_or(member.type);
    member.topics = Value("topics").value_or(member.topics);
    member.owned = Value("owned").value_or(member.owned);
    if (const auto bytes = Value("bytes")) member.bytes = *bytes;
    member.session_s = Number("session", member.session_s);
    member.rebalance_s = Number("rebalance", member.rebalance_s);
    member.version = Number("v", member.version);
    kafka::ConsumerProtocolSubscription subscription;
    subscription.topics = Split(member.topics);
    subscription.owned_partitions =
        Topics<kafka::ConsumerProtocolSubscription::TopicPartition>(member.owned);
    JoinGroup request{.member = Identity(member),
                      .client_id = "client",
                      .client_host = "/127.0.0.1",
                      .session_timeout = seconds(member.session_s),
                      .rebalance_timeout = seconds(member.rebalance_s),
                      .protocol_type = member.type,
                      .protocols = {},
                      .must_know_its_id = member.version >= 4};
    for (const std::string& protocol : member.protocols) {
      request.protocols.push_back({protocol, member.bytes.value_or(Encode(subscription))});
    }
    groups_->Join("g", std::move(request), NewTicket(), *world_.image, Draw(), time_, out);
  }
  Ticket NewTicket() {
    const Ticket ticket(++tickets_);
    asked_[ticket] = names_.at(0);
    return ticket;
  }
  void Sync(GroupOutput& out) {
    Member& member = Named();
    SyncGroup request{.member = Identity(member),
                      .generation = Generation(member),
                      .protocol_type = Value("type"),
                      .protocol_name = Value("protocol"),
                      .assignments = {}};
    for (const auto& [name, part] : values_) {
      const auto named = members_.find(name);
      if (named == members_.end()) continue;
      kafka::ConsumerProtocolAssignment assignment;
      assignment.assigned_partitions =
          Topics<kafka::ConsumerProtocolAssignment::TopicPartition>(part);
      if (const auto data = Value("data")) assignment.user_data = Slice::Copy(*data);
      request.assignments.push_back({named->second.id, Encode(assignment)});
    }
    groups_->Sync("g", std::move(request), NewTicket(), *world_.image, time_, out);
  }
  void Leave(GroupOutput& out) {
    std::vector<MemberIdentity> who;
    for (const std::string& name : names_) who.push_back(Identity(members_[name]));
    if (names_.empty()) who.push_back(Identity(Member()));
    std::vector<std::string> errors;
    for (const auto error : groups_->Leave("g", who, *world_.image, time_, out)) {
      errors.push_back(Name(error));
    }
    Note(fmt::format("leave: {}", fmt::join(errors, ", ")));
  }
  void Heartbeat(const std::string& verb, GroupOutput& out) {
    const bool joins = verb == "new";
    Member& member = Named();
    if (member.id.empty()) member.id = names_.at(0);
    if (const auto instance = Value("instance")) member.instance = *instance;
    member.topics = Value("topics").value_or(member.topics);
    ConsumerHeartbeat request = world_.Request(member.id, joins ? 0 : member.epoch);
    request.instance_id = member.instance;
    if (joins) {
      request.rebalance_timeout = seconds(60);
      request.topic_names = Split(member.topics);
      request.owned = PartitionList{};
    } else if (verb == "bye") {
      request.epoch = names_.size() > 1 ? kStaticLeaveEpoch : kLeaveEpoch;
    } else if (verb != "hb") {
      return Note("no such command");
    }
    if (const auto owned = Value("owned")) request.owned = Parse(*owned);
    if (const auto epoch = Value("epoch")) request.epoch = MemberEpoch(std::stoi(*epoch));
    const ConsumerHeartbeatReply reply =
        groups_->ConsumerBeat(request, *world_.image, Draw(), time_, out);
    if (reply.error != kafka::KafkaError::kNone) {
      return Note(
          fmt::format("{}: {} ({})", names_.at(0), Name(reply.error), reply.message.value_or("-")));
    }
    member.epoch = reply.epoch.value();
    Note(fmt::format(
        "{}: epoch {}, {}", names_.at(0), reply.epoch.value(),
        reply.assignment.has_value() ? "owns " + Text(*reply.assignment) : "as it was"));
  }
  void Commit(GroupOutput& out) {
    const Member& member = Named();
    OffsetsToCommit request;
    request.group_id = "g";
    request.owner = {Identity(member), Generation(member)};
    request.of_consumer_groups = true;
    for (const auto& [partition, offset] : values_) {
      if (!std::isdigit(static_cast<unsigned char>(partition.back()))) continue;
      const TopicPartitionId at = Parse(partition).at(0);
      OffsetsToCommit::Topic topic{world_.image->FindTopic(at.topic_id)->name, at.topic_id, {}};
      topic.partitions.push_back({at.partition, Offset(std::stoi(offset)), std::nullopt, ""});
      request.topics.push_back(std::move(topic));
    }
    for (const auto& errors : groups_->Commit(request, time_, out)) {
      for (const auto error : errors) Note(fmt::format("{} commit: {}", names_.at(0), Name(error)));
    }
  }
  void Fetch() {
    const TopicPartitionId at = Parse(names_.at(0)).at(0);
    OffsetsToFetch request;
    request.group_id = "g";
    request.topics.emplace().push_back(
        {world_.image->FindTopic(at.topic_id)->name, {at.partition}});
    const FetchedOffsets fetched = groups_->Fetch(request, *world_.image);
    const auto& committed = fetched.topics.at(0).partitions.at(0).committed;
    Note(fmt::format("{} at {}", names_.at(0),
                     committed.has_value() ? committed->offset.value() : -1));
  }

  void Wait() {
    const Instant until = time_.now + seconds(std::stoi(names_.at(0)));
    for (Instant next = groups_->deadline(); next <= until; next = groups_->deadline()) {
      SetTime(std::max(time_.now, next));
      GroupOutput out;
      groups_->OnTime(*world_.image, time_, out);
      if (!out.records.empty()) Note(fmt::format("{} s:", time_.now.nanoseconds() / 1'000'000'000));
      Tell(out);
    }
    SetTime(until);
  }
  void SetTime(Instant now) { time_ = {now, Timestamp(now.nanoseconds() / 1'000'000)}; }
  void Load() {
    groups_.emplace(options_, memory_, time_);
    for (const EncodedRecord& record : log_) groups_->Load(ConsumerWorld::Decode(record), time_);
    groups_->OnLoaded(*world_.image, time_);
  }

  void Tell(GroupOutput& out) {
    for (const auto& [ticket, answer] : out.joined) {
      const std::string name = asked_[ticket];
      Member& member = members_[name];
      if (answer.error == kafka::KafkaError::kMemberIdRequired) member.id = answer.member_id;
      if (answer.error != kafka::KafkaError::kNone) {
        Note(fmt::format("{} join: {}", name, Name(answer.error)));
        continue;
      }
      member.id = answer.member_id;
      member.epoch = answer.generation->value();
      Note(fmt::format("{} joined {} {}{}", name, member.epoch, answer.protocol_name.value_or("-"),
                       answer.leader.empty() ? "" : ", led by " + Short(answer.leader)));
    }
    for (const auto& [ticket, answer] : out.synced) {
      const std::string name = asked_[ticket];
      if (answer.error != kafka::KafkaError::kNone) {
        Note(fmt::format("{} sync: {}", name, Name(answer.error)));
        continue;
      }
      const auto assignment = ParseAssignment(answer.assignment);
      Note(fmt::format("{} synced: owns {}", name,
                       assignment.has_value()
                           ? Text(PartitionsIn(assignment->assigned_partitions, *world_.image))
                           : "what is no assignment"));
    }
    if (out.records.empty()) return;
    std::vector<std::string> kinds;
    for (const GroupRecord& record : out.records) {
      log_.push_back(EncodeGroupRecord(record));
      kinds.push_back(Kind(record));
    }
    Note(fmt::format("log: {}", fmt::join(kinds, " ")));
  }
  std::string Kind(const GroupRecord& record) const {
    static constexpr std::array<std::string_view, 9> kKinds = {
        "offset",       "classic", "epoch",   "partitions", "member",
        "target-epoch", "target",  "current", "regex"};
    const bool tombstone =
        std::visit([](const auto& typed) { return !typed.value.has_value(); }, record);
    std::string text = fmt::format("{}{}", tombstone ? "-" : "", kKinds.at(record.index()));
    std::visit(
        [&](const auto& typed) {
          if constexpr (requires { typed.key.member_id; }) text += ":" + Short(typed.key.member_id);
        },
        record);
    return text;
  }
  void Show() {
    if (const auto classic = groups_->Describe("g")) {
      Note(fmt::format("classic group, {} {} {}", classic->state, classic->protocol_type,
                       classic->protocol));
      for (const auto& member : classic->members) {
        const auto assignment = ParseAssignment(member.assignment);
        Note(fmt::format("  {}{}: {}", Short(member.member_id),
                         member.instance_id.has_value() ? " (" + *member.instance_id + ")" : "",
                         Text(PartitionsIn(assignment->assigned_partitions, *world_.image))));
      }
      return;
    }
    const auto group = groups_->DescribeConsumer("g");
    if (!group.has_value()) return Note("no group");
    Note(fmt::format("consumer group, {}, epoch {}, assigned for {}", group->state,
                     group->group_epoch, group->assignment_epoch));
    for (const auto& member : group->members) {
      Note(fmt::format("  {}{}: {}, epoch {}, {} of {}", Short(member.member_id),
                       member.instance_id.has_value() ? " (" + *member.instance_id + ")" : "",
                       member.classic ? "classic" : "consumer", member.epoch.value(),
                       Text(member.assigned), Text(member.target)));
    }
  }

  GroupOptions options_;
  GroupMemory memory_;
  ConsumerWorld world_;  // Its topics.
  GroupTime time_{Instant(0), Timestamp(0)};
  std::optional<GroupCoordinator> groups_;
  std::vector<EncodedRecord> log_;
  std::map<std::string, Member> members_;
  std::map<Ticket, std::string> asked_;
  uint64_t tickets_ = 0;
  uint64_t drawn_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, std::string> values_;
  std::string notes_;
};

inline std::string RunMigrationStory(const std::string& story) {
  MigrationStory told;
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

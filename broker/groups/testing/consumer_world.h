// ConsumerWorld: a consumer group for tests, with the cluster's topics, a clock, and the log of its
// records. It does what the runtime does: decisions are replayed at once, after a trip through their
// encoded form. What comes out is text, so that a test reads as a story:
//
//   world.Topic("t", 3);
//   CHECK(world.Join("a", {"t"}) == "1: t0 t1 t2");   // Epoch, and what it owns from now on.
//   CHECK(world.Beat("a", 1) == "1: =");              // Nothing new.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/groups/consumer_group.h"
#include "common/check.h"
#include "controller/image/metadata_delta.h"

namespace millrace {

class ConsumerWorld {
 public:
  using Names = std::vector<std::string>;

  ConsumerWorld() {
    options.assignment_interval = Duration(0);
    group = std::make_unique<ConsumerGroup>("g", options);
  }
  // The group looks at the options here.
  ConsumerWorld(const ConsumerWorld&) = delete;
  ConsumerWorld& operator=(const ConsumerWorld&) = delete;

  // Creates or expands it.
  void Topic(const std::string& name, int32_t partition_count) {
    MetadataDelta delta(image);
    MetadataImage::Topic topic = image->FindTopic(name);
    const TopicId id = topic == nullptr ? TopicId(1, next_topic_++) : topic->topic_id;
    if (topic == nullptr) MR_CHECK(delta.Apply(TopicRecord{name, id}).ok());
    const auto first = static_cast<int32_t>(topic == nullptr ? 0 : topic->partitions.size());
    for (int32_t partition = first; partition < partition_count; ++partition) {
      PartitionImage state;
      state.replicas = state.isr = {BrokerId(1)};
      state.leader = BrokerId(1);
      state.directories = {kUnassignedDirectory};
      MR_CHECK(delta.Apply(PartitionRecord{id, PartitionId(partition), state}).ok());
    }
    names_[id] = name;
    image = delta.Build(RaftIndex(++index_));
  }
  void DeleteTopic(const std::string& name) {
    MetadataDelta delta(image);
    MR_CHECK(delta.Apply(RemoveTopicRecord{image->FindTopic(name)->topic_id}).ok());
    image = delta.Build(RaftIndex(++index_));
  }
  // Of the group alone.
  void Override(const std::string& key, std::optional<std::string> value) {
    MetadataDelta delta(image);
    MR_CHECK(delta.Apply(ConfigRecord{ConfigResource::kGroup, "g", key, std::move(value)}).ok());
    image = delta.Build(RaftIndex(++index_));
  }
  TopicPartitionId Partition(const std::string& topic, int32_t partition) const {
    return {image->FindTopic(topic)->topic_id, PartitionId(partition)};
  }

  void Pass(Duration duration) {
    time.now = time.now + duration;
    time.wall =
        Timestamp(time.wall.ms() + std::chrono::duration_cast<milliseconds>(duration).count());
  }
  // Whoever's time is over is removed; says how many records that took.
  size_t Tick() {
    const std::vector<GroupRecord> records = group->Remove(group->Expired(time));
    Replay(records);
    return records.size();
  }

  ConsumerHeartbeat Request(const std::string& member, int32_t epoch) const {
    ConsumerHeartbeat request{.group_id = "g", .member_id = member, .epoch = MemberEpoch(epoch)};
    request.client_id = "client";
    request.client_host = "/127.0.0.1";
    return request;
  }
  ConsumerHeartbeat Joining(const std::string& member, Names topics) const {
    ConsumerHeartbeat request = Request(member, 0);
    request.rebalance_timeout = seconds(300);
    request.topic_names = std::move(topics);
    request.owned = PartitionList{};
    return request;
  }

  ConsumerHeartbeatReply Send(const ConsumerHeartbeat& request) {
    ConsumerHeartbeatDecision decision = group->Heartbeat(request, *image, Uuid(7, drawn_++), time);
    MR_CHECK(decision.reply.error == kafka::KafkaError::kNone || decision.records.empty());
    records_of_last = decision.records.size();
    Replay(decision.records);
    return decision.reply;
  }
  std::string Say(const ConsumerHeartbeat& request) { return Text(Send(request)); }

  std::string Join(const std::string& member, Names topics) {
    return Say(Joining(member, std::move(topics)));
  }
  // `owned`: nothing says nothing; else partitions as text.
  std::string Beat(const std::string& member, int32_t epoch,
                   std::optional<std::string> owned = {}) {
    ConsumerHeartbeat request = Request(member, epoch);
    if (owned.has_value()) request.owned = Parse(*owned);
    return Say(request);
  }
  std::string Full(const std::string& member, int32_t epoch, Names topics,
                   const std::string& owned) {
    ConsumerHeartbeat request = Joining(member, std::move(topics));
    request.epoch = MemberEpoch(epoch);
    request.owned = Parse(owned);
    return Say(request);
  }

  void Replay(const std::vector<GroupRecord>& records) {
    for (const GroupRecord& record : records) {
      log.push_back(EncodeGroupRecord(record));
      group->Replay(Decode(log.back()), time);
    }
  }
  static GroupRecord Decode(const EncodedRecord& record) {
    const auto bytes = [](const std::string& text) {
      return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    };
    auto decoded = DecodeGroupRecord(
        bytes(record.key), record.value.transform([&](const std::string& v) { return bytes(v); }));
    MR_CHECK(decoded.ok());
    MR_CHECK(decoded->has_value());
    return **std::move(decoded);
  }
  // The group as another broker would load it from those records.
  std::unique_ptr<ConsumerGroup> Loaded(const std::vector<EncodedRecord>& records) const {
    auto loaded = std::make_unique<ConsumerGroup>("g", options);
    for (const EncodedRecord& record : records) loaded->Replay(Decode(record), time);
    loaded->OnLoaded(time);
    return loaded;
  }
  // The log as compaction may leave it: of each key the last record, tombstones or not.
  std::vector<EncodedRecord> Compacted(bool keep_tombstones) const {
    std::map<std::string, size_t> last;
    for (size_t i = 0; i < log.size(); ++i) last[log[i].key] = i;
    std::vector<EncodedRecord> left;
    for (size_t i = 0; i < log.size(); ++i) {
      if (last[log[i].key] == i && (keep_tombstones || log[i].value.has_value())) {
        left.push_back(log[i]);
      }
    }
    return left;
  }

  std::string Text(const ConsumerHeartbeatReply& reply) const {
    if (reply.error != kafka::KafkaError::kNone) return std::string(kafka::NameOf(reply.error));
    return fmt::format("{}: {}", reply.epoch.value(),
                       reply.assignment.has_value() ? Text(*reply.assignment) : "=");
  }
  // "t0 t1"; "-" for nothing.
  std::string Text(const PartitionList& partitions) const {
    std::string text;
    for (const TopicPartitionId& partition : partitions) {
      if (!text.empty()) text += ' ';
      const auto name = names_.find(partition.topic_id);
      text += fmt::format("{}{}", name == names_.end() ? "?" : name->second,
                          partition.partition.value());
    }
    return text.empty() ? "-" : text;
  }
  PartitionList Parse(const std::string& text) const {
    PartitionList partitions;
    for (const auto& [id, name] : names_) {
      for (int32_t partition = 0; partition < 100; ++partition) {
        const std::string wanted = fmt::format(" {}{} ", name, partition);
        if ((" " + text + " ").contains(wanted)) partitions.push_back({id, PartitionId(partition)});
      }
    }
    return partitions;
  }
  std::string Phase() const { return std::string(ToString(group->phase())); }

  ConsumerGroupOptions options;
  GroupTime time{Instant(1'000'000'000), Timestamp(1'700'000'000'000)};
  std::shared_ptr<const MetadataImage> image = std::make_shared<const MetadataImage>();
  std::unique_ptr<ConsumerGroup> group;
  std::vector<EncodedRecord> log;
  size_t records_of_last = 0;

 private:
  std::map<TopicId, std::string> names_;
  uint64_t next_topic_ = 1;
  int64_t index_ = 0;
  uint64_t drawn_ = 1;
};

}  // namespace millrace

// ConsumerGroup: a group of the consumer protocol (KIP-848), as its coordinator sees it. Members
// send one kind of request, heartbeats; the coordinator computes who shall have what (the target
// assignment) and leads each member there at the member's own pace.
//
// Three epochs: the group's rises when members, subscriptions or subscribed topics change; the
// assignment's is the group epoch for which the target was computed; a member's is the assignment
// epoch it has been led to. A group is
//
//   kEmpty        without members (its epoch lives on)
//   kAssigning    group epoch > assignment epoch: the target is yet to be computed
//   kReconciling  some member is not yet where the target wants it
//   kStable       everyone is there
//
// Per member (CurrentAssignment has the arrows): it is first told to give up what it shall not have,
// then its epoch rises and it gets what is free, then the rest as others give it up. A partition is
// free when no member has it assigned or has yet to give it up.
//
// A pure core. A decision is an answer and records; durable state changes in Replay() alone, live and
// when loading. The caller replays the records of a decision at once, before it asks for the next
// one, and lets the answer go when they are committed; if they cannot be, it drops the group and
// loads it anew. What is not in records is soft: sessions, time-outs, and when metadata was last
// looked at; decisions may change that, therefore they are not const.
//
// Metadata: each heartbeat brings the newest image. Only when its index is another than at the last
// heartbeat are the subscribed topics looked up and hashed (their ids, names and partition counts;
// racks are left out, because no assignor looks at them); another hash raises the group's epoch. So a
// change of metadata costs nothing for groups, and O(its topics) at one heartbeat of each group.
//
// Regular expressions are matched within the decision: new ones at most once per
// options.regex_resolve_interval, known ones against newer metadata at most once per
// options.regex_batch_interval; each time work for about options.regex_cost_max (see TopicPattern),
// and the rest at later heartbeats. Until then they stand for what they last stood for, or nothing.
// They never mean internal topics (Kafka's broker would match those, and only its clients leave them
// out of patterns by default); rights to topics are not looked at here.
//
// Members of the classic protocol may be among the others, while a group is moving from one protocol to
// the other (rule 8.18; migration.h). Each takes its steps with JoinGroup, SyncGroup brings it what it
// owns by then, and Heartbeat says when there is another step to take. Such a member's epoch is its
// generation. Nobody waits for others: all is answered at once.
//
// Shard:    any; pure.
// Lifetime: `options` outlives it, and may change while it lives.
// Units:    in the types.
// Errors:   Kafka's codes in the answers. kUnknownServerError never.
// Bounds:   options.members_max; what a member names is bounded by the size of its request, its
//           regular expression by TopicPattern::kLengthMax.
// Source:   KIP-848, KIP-1082, KIP-1251; rules 8.1-8.21 of Kafka's broker behaviour.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/consumer_group_options.h"
#include "broker/groups/consumer_group_state.h"
#include "broker/groups/consumer_heartbeat.h"
#include "broker/groups/consumer_requests.h"
#include "broker/groups/group_record.h"
#include "broker/groups/group_time.h"
#include "broker/groups/join_requests.h"
#include "common/time.h"
#include "common/uuid.h"
#include "controller/image/metadata_image.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

enum class ConsumerGroupPhase { kEmpty, kAssigning, kReconciling, kStable };
std::string_view ToString(ConsumerGroupPhase phase);  // Kafka's names, as ListGroups shows them.

class ConsumerGroup {
 public:
  // A group without members, records or epoch: for a first heartbeat, or to load.
  ConsumerGroup(std::string group_id, const ConsumerGroupOptions& options);

  // Heartbeats and joins go by what the image says about the group; so does what comes behind a call
  // of this, for who has no heartbeat.
  void Configure(const MetadataImage& image);

  // `drawn` becomes the id of a member that joins without one (v0).
  ConsumerHeartbeatDecision Heartbeat(const ConsumerHeartbeat& request, const MetadataImage& image,
                                      Uuid drawn, GroupTime time);

  // --- Members of the classic protocol (consumer_group_classic.cc) -------------------------------

  // `request`: its protocols have different names.
  ClassicJoinDecision Join(const JoinGroup& request, const MetadataImage& image, Uuid drawn,
                           GroupTime time);
  // A decision of Join() was replayed: its member's session begins anew, and it owes its SyncGroup.
  void OnJoined(const std::string& member_id, GroupTime time);
  SyncedGroup Sync(const SyncGroup& request, const MetadataImage& image, GroupTime time);
  kafka::KafkaError ClassicHeartbeat(const MemberIdentity& member, GenerationId generation,
                                     GroupTime time);
  // What LeaveGroup says to each of them; `gone` are to be removed. As Kafka: it may name members of
  // either protocol.
  std::vector<kafka::KafkaError> WhoLeaves(const std::vector<MemberIdentity>& members,
                                           std::set<std::string>& gone) const;
  // Whether members are left without `gone`, all of them of the classic protocol.
  bool IsClassicWithout(const std::set<std::string>& gone) const;

  // --- Records and time --------------------------------------------------------------------------

  // One of this group's records. Others than those of consumer groups mean nothing to it.
  void Replay(const GroupRecord& record, GroupTime time);
  // Everything was replayed: sessions and time-outs begin anew.
  void OnLoaded(GroupTime time);

  // When OnTime() has something to do, or may have: never later than that. Nothing: never, as things
  // are. Heartbeats move it.
  std::optional<Instant> deadline() const;
  // Whose session is over, or the time to give up partitions, to join again, or to sync. They are to
  // be removed.
  std::set<std::string> Expired(GroupTime time);
  // Ids that are none are passed over. Records as of a decision.
  std::vector<GroupRecord> Remove(const std::set<std::string>& member_ids) const;

  // Whether a commit may be made (rule 8.17). If it may, each of its partitions is to be asked for
  // as well: a commit of an epoch before the member's is good for what the member still has since
  // then (KIP-1251).
  kafka::KafkaError CheckCommit(const OffsetClient& client) const;
  kafka::KafkaError CheckCommitOf(const OffsetClient& client,
                                  const TopicPartitionId& partition) const;
  // Whether OffsetFetch may name this member (v9+); no member and no epoch: always.
  kafka::KafkaError CheckFetch(const OffsetClient& client) const;

  // Tombstones for all there is of it (not its offsets): it is deleted, or becomes a classic group.
  std::vector<GroupRecord> Tombstones() const;
  // The records that make it as it is.
  std::vector<GroupRecord> Snapshot() const;

  const ConsumerGroupState& state() const { return state_; }
  struct MemberView {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::optional<std::string> rack;
    MemberEpoch epoch;
    std::string client_id;
    std::string client_host;
    std::vector<std::string> topic_names;
    std::optional<std::string> topic_regex;
    PartitionList assigned;
    PartitionList target;
    bool classic = false;  // Of the classic protocol.
  };
  const std::string& id() const { return state_.group_id(); }
  ConsumerGroupPhase phase() const;
  // False: no record of it is left, and it may be forgotten.
  bool exists() const { return state_.has_records(); }
  int32_t group_epoch() const { return state_.group_epoch(); }
  int32_t assignment_epoch() const { return state_.assignment_epoch(); }
  // The one the next target is computed with (rule 8.10).
  std::string assignor() const;
  size_t member_count() const { return state_.members().size(); }
  std::vector<MemberView> Members() const;
  // By name or regular expression; offsets of others expire (rule 9.7).
  std::set<std::string> SubscribedTopics() const { return state_.SubscribedTopics(); }
  bool SubscribesTo(const std::string& topic) const { return state_.SubscribesTo(topic); }
  // What it takes in memory, about.
  size_t memory_bytes() const;

 private:
  // What is not in records.
  struct Timers {
    // It is removed at the first of these.
    Instant session;
    std::optional<Instant> revoke = {};  // It has partitions to give up.
    // Of members of the classic protocol.
    std::optional<Instant> join = {};  // It was told to join again.
    std::optional<Instant> sync = {};  // It has joined.
    Instant first() const;
  };
  ConsumerHeartbeatDecision Leave(const ConsumerHeartbeat& request) const;
  // Whether offsets are committed by somebody who need not be a member.
  bool IsNoMember(const OffsetClient& client) const;
  void Watch(const Timers& timers);
  Duration SessionOf(const ConsumerMember& member) const;
  // Null, and why: it is not there, or not of the classic protocol.
  const ConsumerMember* FindClassic(const MemberIdentity& who, kafka::KafkaError& error) const;
  bool SupportsClassic(const JoinGroup& request) const;
  // There is a step it can take.
  bool MustJoinAgain(const ConsumerMember& member, GroupTime time) const;
  bool OwesTarget(GroupTime time) const;
  // It is removed if it does not join in time.
  void AwaitJoin(const ConsumerMember& member, GroupTime time);

  const ConsumerGroupOptions& options() const { return own_.has_value() ? *own_ : options_; }

  const ConsumerGroupOptions& options_;
  std::optional<ConsumerGroupOptions> own_;  // The group's own, where it has some.
  ConsumerGroupState state_;
  // Soft state.
  std::map<std::string, Timers> timers_;
  // No timer is due before. Sessions only grow, so that it need not follow each heartbeat.
  std::optional<Instant> earliest_;
  HeartbeatMemory memory_;
};

}  // namespace millrace

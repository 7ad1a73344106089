// ClassicGroup: a group of the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup), as its
// coordinator sees it. The members agree on a protocol, one of them (the leader) computes what each
// of them gets, and the group hands that out.
//
//   kEmpty ──join──► kPreparingRebalance ──all have joined, or time is up──► kCompletingRebalance
//     ▲                │        ▲                                               │         │
//     │                │        └── join, leave, session over, no sync in time ─┘         │ the leader's
//     │                │        ▲                                                         ▼ sync
//     └─ nobody left ──┘        └───────── join, leave, session over ─────────────── kStable
//   kDead: deleted; whoever still holds it is sent away.
//
// A pure core: requests and time go in, what is to be answered and whether the group is to be
// written comes out. Requests that wait (Join until the rebalance's first half is over, Sync until
// the leader has synced) are known by a Ticket; their answers come out of whatever call ends the
// wait. The caller gives no answer away before what was decided up to then is committed, so nothing
// here waits for a write; when a write fails the caller drops the group and loads it anew.
//
// Shard:    any; pure.
// Lifetime: `options` outlives it.
// Units:    in the types; sizes in the names.
// Errors:   Kafka's codes in the answers.
// Bounds:   options.members_max; members that were given an id and have not joined with it count
//           as well, up to options.pending_members_max.
// Source:   Kafka's group membership protocol; KIP-62, KIP-134, KIP-345, KIP-394, KIP-559, KIP-814;
//           rules 7.1-7.25 of Kafka's broker behaviour.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/groups/group_time.h"
#include "broker/groups/join_requests.h"
#include "common/ids.h"
#include "common/time.h"
#include "common/uuid.h"
#include "proto/kafka/group_metadata_value.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

struct ClassicGroupOptions {
  Duration session_min = seconds(6);              // group.min.session.timeout.ms.
  Duration session_max = seconds(1800);           // group.max.session.timeout.ms.
  Duration initial_rebalance_delay = seconds(3);  // group.initial.rebalance.delay.ms.
  Duration new_member_join_timeout = seconds(300);
  size_t members_max = INT32_MAX;  // group.max.size.
};

// What a call of a ClassicGroup came to.
struct ClassicGroupOutput {
  std::vector<std::pair<Ticket, JoinedGroup>> joined;
  std::vector<std::pair<Ticket, SyncedGroup>> synced;
  // The group's record is to be written as ToRecord() gives it now.
  bool write = false;
};

enum class ClassicGroupState { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable, kDead };
std::string_view ToString(ClassicGroupState state);  // Kafka's names, as DescribeGroups shows them.

class ClassicGroup {
 public:
  // A group nobody has joined.
  ClassicGroup(std::string group_id, const ClassicGroupOptions& options, GroupTime time);
  // As it was written: Stable with its members, or Empty. Sessions begin anew.
  ClassicGroup(std::string group_id, const ClassicGroupOptions& options,
               const kafka::GroupMetadataValue& record, GroupTime time);

  // `drawn` becomes part of the id of a new member, where one is needed.
  void Join(JoinGroup request, Ticket ticket, Uuid drawn, GroupTime time, ClassicGroupOutput& out);
  void Sync(SyncGroup request, Ticket ticket, GroupTime time, ClassicGroupOutput& out);
  kafka::KafkaError Heartbeat(const MemberIdentity& member, GenerationId generation,
                              GroupTime time);
  // One answer per member, in their order.
  std::vector<kafka::KafkaError> Leave(const std::vector<MemberIdentity>& members, GroupTime time,
                                       ClassicGroupOutput& out);
  // Whether this member may commit offsets; renews its session (rule 9.1). `transactional`: by
  // TxnOffsetCommit, which looks at member and generation where they are given, and not at the state.
  kafka::KafkaError CheckCommit(const MemberIdentity& member,
                                std::optional<GenerationId> generation, bool transactional,
                                GroupTime time);
  // Whether OffsetFetch may name this member (v9+); nothing named: always.
  kafka::KafkaError CheckFetch(const MemberIdentity& member,
                               std::optional<GenerationId> generation) const;

  // When OnTime() has something to do; nothing: never, as things are.
  std::optional<Instant> deadline() const;
  void OnTime(GroupTime time, ClassicGroupOutput& out);

  // Nobody waits for this request any more. Its member stays (rule 7.17).
  void Forget(Ticket ticket);
  // The group is deleted, or led elsewhere: everyone who waits is answered `error`.
  void Dismiss(kafka::KafkaError error, ClassicGroupOutput& out);

  kafka::GroupMetadataValue ToRecord() const;

  struct MemberView {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::string metadata;    // For the chosen protocol; empty where none is.
    std::string assignment;  // Empty unless Stable.
  };
  const std::string& id() const;
  ClassicGroupState state() const;
  // When it came to its state.
  Timestamp state_since() const;
  // Empty (or nothing) for a group that nobody has joined: it only keeps offsets.
  const std::string& protocol_type() const;
  const std::optional<std::string>& protocol() const;
  GenerationId generation() const;
  size_t member_count() const;
  std::vector<MemberView> Members() const;
  // The topics its members subscribe to, as far as their metadata tell: of protocol type "consumer",
  // in Kafka's ConsumerProtocolSubscription. Nothing: they do not tell.
  std::optional<std::set<std::string>> SubscribedTopics() const;
  // What it takes in memory, about.
  size_t memory_bytes() const;
};

}  // namespace millrace

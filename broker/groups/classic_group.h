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
// Bounds:   options.members_max; of those that were given an id and have not joined with it,
//           options.pending_members_max. Beyond either: GROUP_MAX_SIZE_REACHED. Static members that
//           have not joined the present generation come on top, until their time is over.
// Cost:     O(log n) per request and per timer, but for what ends or begins a phase: O(n). A group
//           that nobody asks anything and whose timers are not due costs nothing.
// Source:   Kafka's group membership protocol; KIP-62, KIP-134, KIP-345, KIP-394, KIP-559, KIP-814;
//           rules 7.1-7.25 of Kafka's broker behaviour.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/groups/classic_member.h"
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
  // How many may hold an id they have not joined with. Each is gone after its session timeout.
  size_t pending_members_max = 10'000;
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
  // As it was written: Stable with its members, or Empty; in a rebalance where its members have no
  // leader, or are more than they may be. Sessions begin anew.
  ClassicGroup(std::string group_id, const ClassicGroupOptions& options,
               const kafka::GroupMetadataValue& record, GroupTime time);
  // What is left of a consumer group (KIP-848): Stable, with members whose ids and instance ids
  // differ, who have a protocol in common, and no leader: they have to rebalance (BeginAnew()). Their
  // sessions begin anew, their timers' order is set.
  ClassicGroup(std::string group_id, const ClassicGroupOptions& options, GenerationId generation,
               std::vector<ClassicMember> members, GroupTime time);

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
  // Whether OffsetFetch may name this member (v9+). As Kafka: whomever it likes, while the group
  // lives.
  kafka::KafkaError CheckFetch(const MemberIdentity& member,
                               std::optional<GenerationId> generation) const;

  // When OnTime() has something to do; nothing: never, as things are.
  std::optional<Instant> deadline() const;
  void OnTime(GroupTime time, ClassicGroupOutput& out);

  // All who are in it have to join anew. REQUIRES: it has members, and is not kDead.
  void BeginAnew(GroupTime time, ClassicGroupOutput& out) { Rebalance(time, out); }

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
    std::string metadata;    // For the chosen protocol; empty unless Stable.
    std::string assignment;  // Of the last generation that had one.
  };
  const std::string& id() const { return id_; }
  ClassicGroupState state() const { return state_; }
  // When it came to its state.
  Timestamp state_since() const { return state_since_; }
  // Empty (or nothing) for a group that nobody has joined: it only keeps offsets.
  const std::string& protocol_type() const { return protocol_type_; }
  // Its members say what they subscribe to, in a form that everybody knows.
  bool of_consumers() const;
  const std::optional<std::string>& protocol() const { return protocol_; }
  GenerationId generation() const { return generation_; }
  size_t member_count() const { return members_.size(); }
  const std::map<std::string, ClassicMember, std::less<>>& members() const { return members_; }
  std::vector<MemberView> Members() const;
  // The topics its members subscribe to, as far as their metadata tell: of protocol type "consumer",
  // in Kafka's ConsumerProtocolSubscription. Nothing: they do not tell.
  std::optional<std::set<std::string>> SubscribedTopics() const;
  // What it takes in memory, about.
  size_t memory_bytes() const;
  // Who were given an id, and have not joined with it yet.
  size_t pending_count() const { return pending_.size(); }

 private:
  using MemberMap = std::map<std::string, ClassicMember, std::less<>>;
  // The first join phase of a group: it waits for more members, longer while new ones come.
  struct InitialDelay {
    Duration left;        // By which it may still be extended.
    bool joined = false;  // A new one came since the delay began.
  };

  // What a request may do, and what it is told (classic_group.cc).
  kafka::KafkaError CheckMember(const MemberIdentity& member) const;
  kafka::KafkaError CheckJoin(const JoinGroup& request) const;
  bool HasRoomFor(const MemberIdentity& member) const;
  bool Supports(const JoinGroup& request) const;
  // The group is full.
  void ShowOut(const MemberIdentity& who, Ticket ticket, GroupTime time, ClassicGroupOutput& out);
  void JoinAsNew(JoinGroup request, Ticket ticket, Uuid drawn, GroupTime time,
                 ClassicGroupOutput& out);
  void JoinAgain(ClassicMember& member, JoinGroup request, Ticket ticket, GroupTime time,
                 ClassicGroupOutput& out);
  void Replace(MemberMap::iterator old, JoinGroup request, std::string new_id, Ticket ticket,
               GroupTime time, ClassicGroupOutput& out);
  JoinedGroup Joined(const ClassicMember& member) const;
  std::vector<JoinedGroup::Member> JoinedMembers() const;
  SyncedGroup Synced(const ClassicMember& member) const;
  kafka::KafkaError CheckSync(const SyncGroup& request) const;
  kafka::KafkaError LeaveOne(const MemberIdentity& identity, bool& member_gone,
                             ClassicGroupOutput& out);

  // Who is in the group (classic_group_members.cc).
  void Add(JoinGroup request, std::string id, Ticket ticket, GroupTime time,
           ClassicGroupOutput& out);
  ClassicMember& Insert(ClassicMember fresh);
  void Update(ClassicMember& member, JoinGroup request);
  // A static member has a new id; what waits of the old one is fenced.
  ClassicMember& Rename(MemberMap::iterator old, std::string new_id, ClassicGroupOutput& out);
  // What of it waits is answered UNKNOWN_MEMBER_ID. Gives the next one.
  MemberMap::iterator Remove(MemberMap::iterator member, ClassicGroupOutput& out);
  void AddPending(const std::string& id, Instant until);
  bool RemovePending(const std::string& id);
  void CountProtocols(const ClassicMember& member, bool in);
  void ParkJoin(ClassicMember& member, Ticket ticket, ClassicGroupOutput& out);
  void ParkSync(ClassicMember& member, Ticket ticket, ClassicGroupOutput& out);
  // Nothing where it does not wait.
  void AnswerJoin(ClassicMember& member, JoinedGroup answer, ClassicGroupOutput& out);
  void AnswerSync(ClassicMember& member, SyncedGroup answer, ClassicGroupOutput& out);
  void SetOwesSync(ClassicMember& member, bool owes);
  // It was heard of: its session begins anew, or ends never while it waits.
  void Renew(ClassicMember& member, Instant now);

  // From phase to phase (classic_group_phases.cc).
  void Enter(ClassicGroupState state, GroupTime time);
  void Rebalance(GroupTime time, ClassicGroupOutput& out);
  void AfterLoss(GroupTime time, ClassicGroupOutput& out);
  void MaybeCompleteJoin(GroupTime time, ClassicGroupOutput& out);
  void CompleteJoin(GroupTime time, ClassicGroupOutput& out);
  bool ElectOfJoined();
  void SetAssignment(ClassicMember& member, std::string assignment);
  void HandOut(SyncGroup& request, GroupTime time, ClassicGroupOutput& out);
  void EndInitialDelay(GroupTime time, ClassicGroupOutput& out);
  void RemoveUnsynced(GroupTime time, ClassicGroupOutput& out);
  Duration RebalanceTimeout() const;
  std::string Vote() const;

  // Constant after construction.
  std::string id_;
  const ClassicGroupOptions& options_;

  // State.
  ClassicGroupState state_ = ClassicGroupState::kEmpty;
  Timestamp state_since_;
  std::string protocol_type_;
  std::optional<std::string> protocol_;
  std::optional<std::string> leader_;
  GenerationId generation_ = GenerationId(0);
  MemberMap members_;
  std::map<std::string, std::string, std::less<>> static_members_;  // By instance id.
  std::map<std::string, MemberTimer, std::less<>> pending_;         // KIP-394.
  std::map<std::string, size_t, std::less<>> supporters_;           // Of each protocol.
  std::map<Ticket, ClassicMember*> parked_;                         // Who waits with it.
  size_t awaiting_join_ = 0;
  size_t owing_sync_ = 0;
  size_t member_bytes_ = 0;
  size_t pending_bytes_ = 0;

  // Timers.
  uint64_t next_order_ = 0;
  MemberTimers timers_;
  std::optional<InitialDelay> initial_;   // Only in kPreparingRebalance.
  std::optional<Instant> join_deadline_;  // In all of kPreparingRebalance.
  std::optional<Instant> sync_deadline_;  // While a member owes its Sync.
};

}  // namespace millrace

// GroupMember: a member of a classic group, as a value: it is told what the coordinator answered,
// and says what to do next.
//
//   kJoin  --joined------------------------------------> kSync
//   kJoin  --an id was given (KIP-394), or a rebalance--> kJoin
//   kSync  --an assignment came------------------------> kRead
//   kSync  --the group began anew----------------------> kJoin
//   kRead  --a heartbeat says that the group rebalances-> kJoin; positions may still be committed
//   kRead  --the coordinator knows it no more----------> kJoin; nothing may be committed
//   any    --any other refusal-------------------------> kFailed
//
// Shard:  any; pure.
// Source: Kafka's classic group protocol; KIP-345 (fenced static members), KIP-394.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/consumer_protocol.h"
#include "cli/client/range_assignor.h"
#include "common/bytes/slice.h"

namespace millrace {

class GroupMember {
 public:
  enum class Step : uint8_t { kJoin, kSync, kRead, kFailed };

  // The one assignor that is offered, by its name on the wire.
  static constexpr const char* kAssignor = "range";

  struct JoinAnswer {
    int16_t code = 0;
    int32_t generation = -1;
    std::string protocol;
    std::string leader;
    std::string member_id;
    // KIP-814: the assignment that there is stays, and the leader makes none.
    bool skip_assignment = false;
    struct Member {
      std::string id;
      std::optional<std::string> instance_id;
      Slice subscription;
    };
    std::vector<Member> members;  // For the leader only.
  };

  explicit GroupMember(std::vector<std::string> topics) : topics_(std::move(topics)) {}

  Step step() const { return step_; }
  const absl::Status& failure() const { return failure_; }  // Not OK exactly in kFailed.

  const std::string& id() const { return id_; }  // Empty until the coordinator gave one.
  int32_t generation() const { return generation_; }
  const ConsumerAssignment& assignment() const { return assignment_; }  // In kRead.
  // Whether positions of `assignment()` may be committed: also when a rebalance has begun, until
  // the member joins again.
  bool may_commit() const { return may_commit_; }
  bool is_leader() const { return leads_; }

  // What to tell the others when joining.
  ConsumerSubscription subscription() const { return {topics_, {}}; }

  void OnJoin(const JoinAnswer& answer);

  // In kSync: the topics that the leader must know the sizes of, and what it then hands out. Empty
  // for everybody else.
  std::vector<std::string> TopicsToDivide() const;
  Assignments Divide(const std::map<std::string, int32_t>& partitions) const;

  void OnSync(int16_t code, Slice assignment);
  void OnHeartbeat(int16_t code);
  // The topics have changed: what was divided is to be divided anew.
  void OnTopicsChanged();

 private:
  // What every answer may say; false if that is not what it says.
  bool TakeRefusal(int16_t code);
  void Fail(absl::Status failure);

  const std::vector<std::string> topics_;
  Step step_ = Step::kJoin;
  absl::Status failure_;
  std::string id_;
  int32_t generation_ = -1;
  bool leads_ = false;
  bool may_commit_ = false;
  std::vector<AssignableMember> members_;
  ConsumerAssignment assignment_;
};

}  // namespace millrace

#include "cli/client/group_member.h"

#include <algorithm>
#include <utility>

#include "cli/client/kafka_client.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

using kafka::KafkaError;

void GroupMember::Fail(absl::Status failure) {
  step_ = Step::kFailed;
  may_commit_ = false;
  failure_ = std::move(failure);
}

bool GroupMember::TakeRefusal(int16_t code) {
  switch (static_cast<KafkaError>(code)) {
    case KafkaError::kRebalanceInProgress:
      step_ = Step::kJoin;
      return true;
    case KafkaError::kUnknownMemberId:
      // It was taken for dead. Others have its partitions: a commit could move them back.
      id_.clear();
      generation_ = -1;
      may_commit_ = false;
      step_ = Step::kJoin;
      return true;
    case KafkaError::kIllegalGeneration:
      generation_ = -1;
      may_commit_ = false;
      step_ = Step::kJoin;
      return true;
    default:
      return false;
  }
}

void GroupMember::OnJoin(const JoinAnswer& answer) {
  may_commit_ = false;
  if (static_cast<KafkaError>(answer.code) == KafkaError::kMemberIdRequired) {
    id_ = answer.member_id;
    return;
  }
  if (TakeRefusal(answer.code)) return;
  if (answer.code != 0) return Fail(KafkaFailure(answer.code));
  if (answer.protocol != kAssignor) {
    return Fail(absl::DataLossError("the group agreed on an assignor that was not offered: " +
                                    answer.protocol));
  }
  id_ = answer.member_id;
  generation_ = answer.generation;
  leads_ = answer.leader == id_;
  members_.clear();
  step_ = Step::kSync;
  if (!leads_ || answer.skip_assignment) return;
  for (const JoinAnswer::Member& member : answer.members) {
    // A member whose bytes are damaged gets nothing, and the others still get theirs.
    absl::StatusOr<ConsumerSubscription> subscription = DecodeSubscription(member.subscription);
    members_.push_back(
        {member.id, member.instance_id,
         subscription.ok() ? std::move(subscription->topics) : std::vector<std::string>()});
  }
}

std::vector<std::string> GroupMember::TopicsToDivide() const {
  std::vector<std::string> topics;
  for (const AssignableMember& member : members_) {
    topics.insert(topics.end(), member.topics.begin(), member.topics.end());
  }
  std::ranges::sort(topics);
  topics.erase(std::ranges::unique(topics).begin(), topics.end());
  return topics;
}

Assignments GroupMember::Divide(const std::map<std::string, int32_t>& partitions) const {
  return AssignRanges(members_, partitions);
}

void GroupMember::OnSync(int16_t code, Slice assignment) {
  if (TakeRefusal(code)) return;
  if (code != 0) return Fail(KafkaFailure(code));
  absl::StatusOr<ConsumerAssignment> decoded = DecodeAssignment(std::move(assignment));
  if (!decoded.ok()) return Fail(decoded.status());
  assignment_ = *std::move(decoded);
  may_commit_ = true;
  step_ = Step::kRead;
}

void GroupMember::OnHeartbeat(int16_t code) {
  if (code == 0 || step_ != Step::kRead || TakeRefusal(code)) return;
  Fail(KafkaFailure(code));
}

void GroupMember::OnTopicsChanged() {
  if (step_ == Step::kRead) step_ = Step::kJoin;
}

}  // namespace millrace

#include "common/error_kind.h"

#include <absl/strings/cord.h>

#include <cstdlib>

namespace millrace {
namespace {

constexpr char kPayloadUrl[] = "millrace/error-kind";

absl::StatusCode DefaultCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kOffsetOutOfRange:
      return absl::StatusCode::kOutOfRange;
    case ErrorKind::kCorruptMessage:
    case ErrorKind::kInvalidRecord:
    case ErrorKind::kInvalidTimestamp:
    case ErrorKind::kMessageTooLarge:
    case ErrorKind::kRecordListTooLarge:
    case ErrorKind::kInvalidTopic:
    case ErrorKind::kInvalidPartitions:
    case ErrorKind::kInvalidReplicationFactor:
    case ErrorKind::kInvalidReplicaAssignment:
    case ErrorKind::kInvalidConfig:
    case ErrorKind::kInvalidRequest:
    case ErrorKind::kInconsistentClusterId:
    case ErrorKind::kInvalidRegistration:
    case ErrorKind::kInvalidVoterKey:
      return absl::StatusCode::kInvalidArgument;
    case ErrorKind::kUnsupportedCompression:
    case ErrorKind::kUnsupportedVersion:
      return absl::StatusCode::kUnimplemented;
    case ErrorKind::kUnknownTopicOrPartition:
    case ErrorKind::kUnknownTopicId:
    case ErrorKind::kBrokerIdNotRegistered:
    case ErrorKind::kVoterNotFound:
      return absl::StatusCode::kNotFound;
    case ErrorKind::kTopicAlreadyExists:
    case ErrorKind::kDuplicateBrokerRegistration:
    case ErrorKind::kDuplicateVoter:
      return absl::StatusCode::kAlreadyExists;
    case ErrorKind::kRequestTimedOut:
      return absl::StatusCode::kDeadlineExceeded;
    case ErrorKind::kNotLeaderOrFollower:
    case ErrorKind::kNotEnoughReplicas:
    case ErrorKind::kNotController:
    case ErrorKind::kStorageError:
    case ErrorKind::kPreferredLeaderNotAvailable:
    case ErrorKind::kEligibleLeadersNotAvailable:
      return absl::StatusCode::kUnavailable;
    case ErrorKind::kOutOfOrderSequence:
    case ErrorKind::kInvalidProducerEpoch:
    case ErrorKind::kInvalidTxnState:
    case ErrorKind::kInconsistentTopicId:
    case ErrorKind::kFencedLeaderEpoch:
    case ErrorKind::kUnknownLeaderEpoch:
    case ErrorKind::kPolicyViolation:
    case ErrorKind::kTopicDeletionDisabled:
    case ErrorKind::kStaleBrokerEpoch:
    case ErrorKind::kInvalidUpdateVersion:
    case ErrorKind::kIneligibleReplica:
    case ErrorKind::kNewLeaderElected:
    case ErrorKind::kOperationNotAttempted:
    case ErrorKind::kElectionNotNeeded:
    case ErrorKind::kNoReassignmentInProgress:
    case ErrorKind::kReassignmentInProgress:
    case ErrorKind::kFeatureUpdateFailed:
    case ErrorKind::kInconsistentVoterSet:
      return absl::StatusCode::kFailedPrecondition;
  }
  std::abort();
}

}  // namespace

absl::Status MakeError(ErrorKind kind, absl::StatusCode code, std::string message) {
  absl::Status status(code, message);
  char byte = static_cast<char>(kind);
  // Not from a std::string: clang and the GCC that built Debian's Abseil mangle that constructor
  // differently.
  status.SetPayload(kPayloadUrl, absl::Cord(absl::string_view(&byte, 1)));
  return status;
}

absl::Status MakeError(ErrorKind kind, std::string message) {
  return MakeError(kind, DefaultCode(kind), std::move(message));
}

std::optional<ErrorKind> KindOf(const absl::Status& status) {
  auto payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value() || payload->size() != 1) return std::nullopt;
  return static_cast<ErrorKind>((*payload)[0]);
}

}  // namespace millrace

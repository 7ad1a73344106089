#include "broker/kafka_error.h"

#include <cstdlib>

namespace millrace {

using kafka::KafkaError;

KafkaError ToKafkaError(ErrorKind kind) {
  // No default: with -Werror=switch a new kind does not compile until it is mapped.
  // clang-format off: a table.
  switch (kind) {
    case ErrorKind::kOffsetOutOfRange: return KafkaError::kOffsetOutOfRange;
    case ErrorKind::kCorruptMessage: return KafkaError::kCorruptMessage;
    case ErrorKind::kInvalidRecord: return KafkaError::kInvalidRecord;
    case ErrorKind::kInvalidTimestamp: return KafkaError::kInvalidTimestamp;
    case ErrorKind::kMessageTooLarge: return KafkaError::kMessageTooLarge;
    case ErrorKind::kRecordListTooLarge: return KafkaError::kRecordListTooLarge;
    case ErrorKind::kUnsupportedCompression: return KafkaError::kUnsupportedCompressionType;
    case ErrorKind::kOutOfOrderSequence: return KafkaError::kOutOfOrderSequenceNumber;
    case ErrorKind::kInvalidProducerEpoch: return KafkaError::kInvalidProducerEpoch;
    case ErrorKind::kInvalidTxnState: return KafkaError::kInvalidTxnState;
    case ErrorKind::kUnknownTopicOrPartition: return KafkaError::kUnknownTopicOrPartition;
    case ErrorKind::kUnknownTopicId: return KafkaError::kUnknownTopicId;
    case ErrorKind::kInconsistentTopicId: return KafkaError::kInconsistentTopicId;
    case ErrorKind::kNotLeaderOrFollower: return KafkaError::kNotLeaderOrFollower;
    case ErrorKind::kFencedLeaderEpoch: return KafkaError::kFencedLeaderEpoch;
    case ErrorKind::kUnknownLeaderEpoch: return KafkaError::kUnknownLeaderEpoch;
    case ErrorKind::kNotEnoughReplicas: return KafkaError::kNotEnoughReplicas;
    case ErrorKind::kRequestTimedOut: return KafkaError::kRequestTimedOut;
    case ErrorKind::kStorageError: return KafkaError::kKafkaStorageError;
    case ErrorKind::kTopicAlreadyExists: return KafkaError::kTopicAlreadyExists;
    case ErrorKind::kInvalidTopic: return KafkaError::kInvalidTopicException;
    case ErrorKind::kInvalidPartitions: return KafkaError::kInvalidPartitions;
    case ErrorKind::kInvalidReplicationFactor: return KafkaError::kInvalidReplicationFactor;
    case ErrorKind::kInvalidReplicaAssignment: return KafkaError::kInvalidReplicaAssignment;
    case ErrorKind::kInvalidConfig: return KafkaError::kInvalidConfig;
    case ErrorKind::kInvalidRequest: return KafkaError::kInvalidRequest;
    case ErrorKind::kPolicyViolation: return KafkaError::kPolicyViolation;
    case ErrorKind::kTopicDeletionDisabled: return KafkaError::kTopicDeletionDisabled;
    case ErrorKind::kUnsupportedVersion: return KafkaError::kUnsupportedVersion;
    case ErrorKind::kNotController: return KafkaError::kNotController;
    case ErrorKind::kInconsistentClusterId: return KafkaError::kInconsistentClusterId;
    case ErrorKind::kDuplicateBrokerRegistration: return KafkaError::kDuplicateBrokerRegistration;
    case ErrorKind::kBrokerIdNotRegistered: return KafkaError::kBrokerIdNotRegistered;
    case ErrorKind::kInvalidRegistration: return KafkaError::kInvalidRegistration;
    case ErrorKind::kStaleBrokerEpoch: return KafkaError::kStaleBrokerEpoch;
    case ErrorKind::kInvalidUpdateVersion: return KafkaError::kInvalidUpdateVersion;
    case ErrorKind::kIneligibleReplica: return KafkaError::kIneligibleReplica;
    case ErrorKind::kNewLeaderElected: return KafkaError::kNewLeaderElected;
    case ErrorKind::kOperationNotAttempted: return KafkaError::kOperationNotAttempted;
    case ErrorKind::kElectionNotNeeded: return KafkaError::kElectionNotNeeded;
    case ErrorKind::kPreferredLeaderNotAvailable: return KafkaError::kPreferredLeaderNotAvailable;
    case ErrorKind::kEligibleLeadersNotAvailable: return KafkaError::kEligibleLeadersNotAvailable;
    case ErrorKind::kNoReassignmentInProgress: return KafkaError::kNoReassignmentInProgress;
    case ErrorKind::kReassignmentInProgress: return KafkaError::kReassignmentInProgress;
    case ErrorKind::kFeatureUpdateFailed: return KafkaError::kFeatureUpdateFailed;
    case ErrorKind::kInconsistentVoterSet: return KafkaError::kInconsistentVoterSet;
    case ErrorKind::kInvalidVoterKey: return KafkaError::kInvalidVoterKey;
    case ErrorKind::kDuplicateVoter: return KafkaError::kDuplicateVoter;
    case ErrorKind::kVoterNotFound: return KafkaError::kVoterNotFound;
  }
  // clang-format on
  std::abort();
}

KafkaError ToKafkaError(const absl::Status& status) {
  if (status.ok()) return KafkaError::kNone;
  if (std::optional<ErrorKind> kind = KindOf(status); kind.has_value()) return ToKafkaError(*kind);
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return KafkaError::kRequestTimedOut;
    case absl::StatusCode::kInvalidArgument:
      return KafkaError::kInvalidRequest;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
      // Stopping or moving: the client refreshes its metadata and tries elsewhere.
      return KafkaError::kNotLeaderOrFollower;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
      return KafkaError::kKafkaStorageError;
    default:
      return KafkaError::kUnknownServerError;
  }
}

int16_t ErrorCode(KafkaError error) { return static_cast<int16_t>(error); }
int16_t ErrorCode(const absl::Status& status) { return ErrorCode(ToKafkaError(status)); }

std::optional<std::string> ErrorMessage(const absl::Status& status) {
  if (status.ok() || status.message().empty()) return std::nullopt;
  return std::string(status.message());
}

}  // namespace millrace

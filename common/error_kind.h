// ErrorKind: the broker-level meaning of a failure, attached to an absl::Status as a payload by the
// layer that knows it. Kafka's numeric codes exist only in broker/, where one total function
// translates (broker/kafka_error.h).
//
// A Status without a kind is translated from its canonical code alone.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>

namespace millrace {

enum class ErrorKind {
  kOffsetOutOfRange,
  kCorruptMessage,
  kInvalidRecord,
  kInvalidTimestamp,
  kMessageTooLarge,
  kRecordListTooLarge,
  kUnsupportedCompression,
  kOutOfOrderSequence,
  kInvalidProducerEpoch,
  kInvalidTxnState,
  kUnknownTopicOrPartition,
  kUnknownTopicId,
  kInconsistentTopicId,
  kNotLeaderOrFollower,
  kFencedLeaderEpoch,
  kUnknownLeaderEpoch,
  kNotEnoughReplicas,
  kRequestTimedOut,
  kStorageError,
  kTopicAlreadyExists,
  kInvalidTopic,
  kInvalidPartitions,
  kInvalidReplicationFactor,
  kInvalidReplicaAssignment,
  kInvalidConfig,
  kInvalidRequest,
  kPolicyViolation,
  kTopicDeletionDisabled,
  kUnsupportedVersion,
  kNotController,
  // Brokers and their controller.
  kInconsistentClusterId,
  kDuplicateBrokerRegistration,
  kBrokerIdNotRegistered,
  kInvalidRegistration,
  kStaleBrokerEpoch,
  // Elections, ISR changes, reassignments, features.
  kInvalidUpdateVersion,
  kIneligibleReplica,
  kNewLeaderElected,
  kOperationNotAttempted,
  kElectionNotNeeded,
  kPreferredLeaderNotAvailable,
  kEligibleLeadersNotAvailable,
  kNoReassignmentInProgress,
  kReassignmentInProgress,
  kFeatureUpdateFailed,
  // The quorum's voters.
  kInconsistentVoterSet,
  kInvalidVoterKey,
  kDuplicateVoter,
  kVoterNotFound,
};

// A Status of canonical code `code` that carries `kind`.
absl::Status MakeError(ErrorKind kind, absl::StatusCode code, std::string message);

// The same with the canonical code that fits the kind.
absl::Status MakeError(ErrorKind kind, std::string message);

// The kind that was attached, if any.
std::optional<ErrorKind> KindOf(const absl::Status& status);

}  // namespace millrace

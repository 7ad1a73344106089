// Who a broker says it is, and whether it may be that.
//
// A broker id belongs to one incarnation (one process start) at a time. Another incarnation gets it
// when the one before is gone: its session ended, or its stream broke and the newcomer holds the
// same log directories, whose lock only one process can have. With the new registration all that
// the old incarnation led ends (leader epoch + 1), however fast the new one is back: a leader that
// lost an unsynced tail must never put a second value at an offset of the same epoch.
//
// Pure.
// Source: rule 5.30 of Kafka's broker behaviour; KIP-631, KIP-858, KIP-903, KIP-966.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <vector>

#include "controller/decision.h"
#include "controller/directory_grades.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

struct BrokerRegistration {
  BrokerId id;
  IncarnationId incarnation;
  std::string cluster_id;  // As text: Kafka lets it be any.
  std::vector<BrokerEndpoint> endpoints;
  std::optional<std::string> rack{};
  // Those that are online; `replayed` says whether all that was durable in it has been read.
  std::vector<LogDirectoryImage> log_directories{};
  std::vector<FeatureRange> features{};
  // The epoch of the registration before, when that incarnation stopped cleanly (KIP-966).
  std::optional<BrokerEpoch> clean_epoch{};
  uint64_t logs = 0;  // Replicas in its log directories, whoever they belong to.
  // It already follows this controller's metadata and need not say later that it has caught up:
  // the broker in the controller's own process. Unfenced at once.
  bool caught_up = false;
  std::string peer{};  // Where it speaks from, for messages.
};

struct RegisteredBroker {
  BrokerEpoch epoch;
  bool fenced;
};

// What the controller knows of the session of the incarnation that is registered.
enum class SessionState {
  kNone,    // No session, or it timed out.
  kBroken,  // Its stream broke; it has not yet timed out.
  kAlive,
};

// `epoch` is the new registration's, should there be one: never given before and larger than all
// that were. Errors: kInconsistentClusterId, kInvalidRegistration, kUnsupportedVersion,
// kDuplicateBrokerRegistration.
SingleDecision<RegisteredBroker> DecideRegistration(const MetadataImage& image,
                                                    const std::string& cluster_id,
                                                    const TopicSettings& defaults,
                                                    const DirectoryGrades& grades,
                                                    const BrokerRegistration& request,
                                                    SessionState session, BrokerEpoch epoch);

}  // namespace millrace

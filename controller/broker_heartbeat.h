// What a broker's heartbeat moves: fenced brokers that have caught up serve, those that want to go
// hand over their leaderships and then may, directories that failed lose their replicas, those that
// are full lose what others can do without them, those that are slow what others can lead.
//
//   fenced               --wants to serve and has its registration-->  serving
//   fenced               --wants to go-->                              may go
//   serving              --wants to be fenced-->                       fenced
//   serving              --wants to go, leads something-->             shutting down (leaders move)
//   serving              --wants to go, leads nothing-->               fenced, may go
//   shutting down        --leads nothing, and every serving broker knows who leads now-->
//                                                                      fenced, may go
//
// Pure.
// Source: rules 5.31-5.35 of Kafka's broker behaviour; KIP-631, KIP-858.
#pragma once

#include <optional>
#include <string>

#include "controller/decision.h"
#include "controller/directory_grades.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

struct BrokerHeartbeat {
  BrokerId id;
  BrokerEpoch epoch;
  RaftIndex metadata_index;  // Up to where it has applied the metadata.
  bool wants_fence = false;  // True until it is ready to serve.
  bool wants_shutdown = false;
  DirectoryIds offline_directories{};
  DirectoryIds full_directories{};
  DirectoryIds slow_directories{};
};

struct BrokerHeartbeatReply {
  bool caught_up;  // Has applied its own registration.
  bool fenced;
  bool should_shut_down;
};

// `grades` has heard this heartbeat. `others_know`: the least metadata index that a serving broker other than this one has applied;
// nothing: there is none. `shutdown_index`: of the entry that moved this broker's leaders away, if
// this controller knows it. Errors: kBrokerIdNotRegistered, kStaleBrokerEpoch.
SingleDecision<BrokerHeartbeatReply> DecideHeartbeat(const MetadataImage& image,
                                                     const TopicSettings& defaults,
                                                     const DirectoryGrades& grades,
                                                     const BrokerHeartbeat& heartbeat,
                                                     std::optional<RaftIndex> others_know,
                                                     std::optional<RaftIndex> shutdown_index);

}  // namespace millrace

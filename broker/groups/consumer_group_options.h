// What consumer groups are configured with. The session and the interval of heartbeats may be set
// for a single group as well: the caller gives such a group options of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/time.h"

namespace millrace {

struct ConsumerGroupOptions {
  Duration session_timeout = seconds(45);    // group.consumer.session.timeout.ms.
  Duration heartbeat_interval = seconds(5);  // group.consumer.heartbeat.interval.ms.
  size_t members_max = INT32_MAX;            // group.consumer.max.size.
  // group.consumer.assignors: known names, the default one first; never empty.
  std::vector<std::string> assignors = {"uniform", "range"};
  // Targets are computed no more often than that: members that come together are shared out together.
  Duration assignment_interval = seconds(1);  // group.consumer.assignment.interval.ms.
  // Regular expressions are matched again after that, whatever happens.
  Duration regex_refresh_interval = seconds(600);  // group.consumer.regex.refresh.interval.ms.
  Duration regex_batch_interval = seconds(10);     // Because there is newer metadata.
  Duration regex_resolve_interval = seconds(1);    // Because there are new ones.
  // What one decision may spend on matching (TopicPattern::Cost()). One expression is always
  // matched to the end.
  uint64_t regex_cost_max = 200'000'000;
};

}  // namespace millrace

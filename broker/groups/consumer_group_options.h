// What consumer groups are configured with. Some of it may be set for a single group as well (config
// resource GROUP), within the bounds that are given here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/time.h"
#include "controller/image/metadata_image.h"

namespace millrace {

struct ConsumerGroupOptions {
  Duration session_timeout = seconds(45);    // group.consumer.session.timeout.ms.
  Duration heartbeat_interval = seconds(5);  // group.consumer.heartbeat.interval.ms.
  // For single groups: group.consumer.{min,max}.{session.timeout,heartbeat.interval}.ms.
  Duration session_timeout_min = seconds(45);
  Duration session_timeout_max = seconds(60);
  Duration heartbeat_interval_min = seconds(5);
  Duration heartbeat_interval_max = seconds(15);
  size_t members_max = INT32_MAX;  // group.consumer.max.size.
  // group.consumer.assignors: known names, the default one first; never empty.
  std::vector<std::string> assignors = {"uniform", "range"};
  // Targets are computed no more often than that: members that come together are shared out together.
  Duration assignment_interval = seconds(1);  // group.consumer.assignment.interval.ms.
  Duration assignment_interval_min{0};        // For single groups, in the same way.
  Duration assignment_interval_max =
      seconds(15);  // group.consumer.{min,max}.assignment.interval.ms.
  // Regular expressions are matched again after that, whatever happens.
  Duration regex_refresh_interval = seconds(600);  // group.consumer.regex.refresh.interval.ms.
  Duration regex_batch_interval = seconds(10);     // Because there is newer metadata.
  Duration regex_resolve_interval = seconds(1);    // Because there are new ones.
  // What one decision may spend on matching (TopicPattern::Cost()). One expression is always
  // matched to the end.
  uint64_t regex_cost_max = 200'000'000;
};

// As they are for a group with these overrides. What is beyond the bounds, because those were others
// when it was set, counts as the bound.
ConsumerGroupOptions OptionsWith(const ConsumerGroupOptions& options,
                                 const ConfigOverrides& overrides);

}  // namespace millrace

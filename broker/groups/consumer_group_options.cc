#include "broker/groups/consumer_group_options.h"

#include <algorithm>

#include "common/config/group_config.h"

namespace millrace {

ConsumerGroupOptions OptionsWith(const ConsumerGroupOptions& options,
                                 const ConfigOverrides& overrides) {
  const ConsumerGroupOverrides set = ConsumerOverridesOf(overrides);
  ConsumerGroupOptions own = options;
  if (set.session.has_value()) {
    own.session_timeout = std::clamp<Duration>(*set.session, options.session_timeout_min,
                                               options.session_timeout_max);
  }
  if (set.heartbeat.has_value()) {
    own.heartbeat_interval = std::clamp<Duration>(*set.heartbeat, options.heartbeat_interval_min,
                                                  options.heartbeat_interval_max);
  }
  if (set.assignment_interval.has_value()) {
    own.assignment_interval = std::clamp<Duration>(
        *set.assignment_interval, options.assignment_interval_min, options.assignment_interval_max);
  }
  return own;
}

}  // namespace millrace

// What configurations come to for the controller: its own file, and what was set at runtime for all
// brokers. What is set for one broker alone does not count: the controller decides for all.
//
// Pure.
#pragma once

#include "common/config/config_source.h"
#include "common/config/topic_config.h"
#include "controller/image/metadata_image.h"

namespace millrace {

// `own` is what the node's file and command line set.
inline ServerConfigValues EffectiveServerValues(const ServerConfigValues& own,
                                                const MetadataImage& image) {
  return {own.static_values, image.broker_defaults(), {}};
}

inline TopicConfig EffectiveTopicConfig(const ServerConfigValues& own, const MetadataImage& image,
                                        const TopicImage& topic) {
  return ResolveTopicConfig(topic.configs, EffectiveServerValues(own, image));
}

}  // namespace millrace

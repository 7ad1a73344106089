#include "controller/topic_settings.h"

#include <string_view>

#include "common/check.h"
#include "common/config/topic_config.h"

namespace millrace {
namespace {

// Reads the key exactly as brokers do (ResolveTopicConfig): blanks and signs and all, and what does
// not parse (it was stored by another version) does not count, so that the next source decides. If
// controller and brokers read one text differently, a leader acknowledges what an election takes
// for lost.
void Read(std::string_view name, const MetadataImage& image, const TopicImage& topic,
          TopicConfig* config) {
  for (const ConfigOverrides* overrides : {&topic.configs, &image.broker_defaults()}) {
    auto found = overrides->find(name);
    if (found == overrides->end()) continue;
    const TopicConfigKey* key = FindTopicConfigKey(name);
    MR_CHECK(key != nullptr);
    const auto value = ParseConfigValue(key->name, key->type, key->rule, found->second);
    if (!value.has_value()) continue;
    key->assign(*value, *config);
    return;
  }
}

}  // namespace

TopicSettings SettingsOf(const MetadataImage& image, const TopicImage& topic,
                         const TopicSettings& defaults) {
  TopicConfig config;
  config.min_insync_replicas = defaults.isr_min;
  config.unclean_leader_election = defaults.unclean_election;
  config.durability = defaults.durable_on_disk ? Durability::kDisk : Durability::kPageCache;
  Read("min.insync.replicas", image, topic, &config);
  Read("unclean.leader.election.enable", image, topic, &config);
  Read("millrace.durability", image, topic, &config);
  return {config.min_insync_replicas, config.unclean_leader_election,
          config.durability == Durability::kDisk};
}

}  // namespace millrace

#include "controller/topic_settings.h"

#include <charconv>
#include <string>
#include <string_view>

namespace millrace {
namespace {

constexpr std::string_view kIsrMin = "min.insync.replicas";
constexpr std::string_view kUnclean = "unclean.leader.election.enable";
constexpr std::string_view kDurability = "millrace.durability";

// Overrides were validated before they were committed; what does not parse here came from another
// version, and the next source decides.
const std::string* Find(const MetadataImage& image, const TopicImage& topic, std::string_view key) {
  for (const ConfigOverrides* overrides : {&topic.configs, &image.broker_defaults()}) {
    if (auto found = overrides->find(key); found != overrides->end()) return &found->second;
  }
  return nullptr;
}

}  // namespace

TopicSettings SettingsOf(const MetadataImage& image, const TopicImage& topic,
                         const TopicSettings& defaults) {
  TopicSettings settings = defaults;
  if (const std::string* text = Find(image, topic, kIsrMin); text != nullptr) {
    int32_t value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error == std::errc() && end == text->data() + text->size() && value >= 1) {
      settings.isr_min = value;
    }
  }
  if (const std::string* text = Find(image, topic, kUnclean); text != nullptr) {
    // Kafka reads booleans in any case.
    settings.unclean_election = text->size() == 4 && std::string_view("tT").contains((*text)[0]) &&
                                std::string_view("rR").contains((*text)[1]) &&
                                std::string_view("uU").contains((*text)[2]) &&
                                std::string_view("eE").contains((*text)[3]);
  }
  if (const std::string* text = Find(image, topic, kDurability); text != nullptr) {
    settings.durable_on_disk = *text != "page-cache";
  }
  return settings;
}

}  // namespace millrace

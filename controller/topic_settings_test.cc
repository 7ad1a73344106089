#include "controller/topic_settings.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "controller/effective_config.h"
#include "controller/image/metadata_delta.h"

using namespace millrace;

namespace {

std::shared_ptr<const MetadataImage> Image(const ConfigOverrides& topic,
                                           const ConfigOverrides& all_brokers) {
  MetadataDelta delta(std::make_shared<const MetadataImage>());
  REQUIRE(delta.Apply(TopicRecord{"t", TopicId(1, 1)}).ok());
  for (const auto& [key, value] : topic) {
    REQUIRE(delta.Apply(ConfigRecord{ConfigResource::kTopic, "t", key, value}).ok());
  }
  for (const auto& [key, value] : all_brokers) {
    REQUIRE(delta.Apply(ConfigRecord{ConfigResource::kBroker, "", key, value}).ok());
  }
  return delta.Build(RaftIndex(1));
}

TopicSettings Read(const std::string& key, const std::string& topic,
                   const std::string& all_brokers) {
  const auto image = Image({{key, topic}}, {{key, all_brokers}});
  const TopicImage& found = *image->FindTopic("t");
  const TopicSettings settings = SettingsOf(*image, found, {});
  // Whatever the texts: brokers make the same of them.
  const TopicConfig config = EffectiveTopicConfig({}, *image, found);
  CAPTURE(key, topic, all_brokers);
  CHECK(settings.isr_min == config.min_insync_replicas);
  CHECK(settings.unclean_election == config.unclean_leader_election);
  CHECK(settings.durable_on_disk == (config.durability == Durability::kDisk));
  return settings;
}

}  // namespace

TEST_CASE("TopicSettings: the controller reads a text as brokers do") {
  CHECK(Read("min.insync.replicas", "2 ", "3").isr_min == 2);
  CHECK(Read("min.insync.replicas", "+2", "3").isr_min == 2);
  CHECK(Read("min.insync.replicas", "\t2", "3").isr_min == 2);
  CHECK(Read("unclean.leader.election.enable", " true ", "false").unclean_election);
  CHECK(Read("unclean.leader.election.enable", "TrUe", "false").unclean_election);
  CHECK_FALSE(Read("unclean.leader.election.enable", "false", "true").unclean_election);
  CHECK_FALSE(Read("millrace.durability", " page-cache", "disk").durable_on_disk);
  CHECK(Read("millrace.durability", "disk ", "page-cache").durable_on_disk);
}

TEST_CASE("TopicSettings: what brokers cannot read does not count, and the next source decides") {
  CHECK(Read("min.insync.replicas", "many", " 3").isr_min == 3);
  CHECK(Read("min.insync.replicas", "0", "3").isr_min == 3);
  CHECK(Read("min.insync.replicas", "99999999999", "").isr_min == 1);
  CHECK(Read("unclean.leader.election.enable", "yes", "true ").unclean_election);
  CHECK_FALSE(Read("millrace.durability", "tape", "page-cache ").durable_on_disk);
  CHECK(Read("millrace.durability", "tape", "tape").durable_on_disk);
}

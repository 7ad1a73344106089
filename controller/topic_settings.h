// What elections go by: the few settings of a topic that the controller itself must know, resolved
// from the topic's overrides, the overrides of all brokers, and this node's own file.
//
// Pure.
// Source: topic configs min.insync.replicas, unclean.leader.election.enable, millrace.durability;
//         KIP-966 (with eligible leader replicas the broker's own value of min.insync.replicas
//         does not count: the cluster must agree on it).
#pragma once

#include <cstdint>

#include "controller/image/metadata_image.h"

namespace millrace {

struct TopicSettings {
  int32_t isr_min = 1;
  bool unclean_election = false;
  // A replica's clean stop does not depend on its process: what it acknowledged was on disk.
  bool durable_on_disk = true;
};

// `defaults`: what the file of this node says.
TopicSettings SettingsOf(const MetadataImage& image, const TopicImage& topic,
                         const TopicSettings& defaults);

}  // namespace millrace

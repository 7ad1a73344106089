// UpdateFeatures: which levels of which features the cluster finalises. All of a request or nothing.
//
// Pure.
// Source: rule 19.15 of Kafka's broker behaviour; KIP-584, KIP-778, KIP-1022.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "controller/decision.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

enum class FeatureUpgrade { kUpgrade, kSafeDowngrade, kUnsafeDowngrade };

struct FeatureUpdate {
  std::string feature;
  int32_t level;  // 0: no longer finalised.
  FeatureUpgrade kind = FeatureUpgrade::kUpgrade;
};

// kInvalidUpdateVersion, with Kafka's sentence of what is in the way.
Verdict DecideFeatures(const MetadataImage& image, const TopicSettings& defaults,
                       const std::vector<FeatureUpdate>& updates, bool validate_only);

// What a cluster begins with: each feature at its default for `metadata_version`, unless `chosen`
// says otherwise. Nothing when the image has features already.
MetadataRecords DecideFirstFeatures(const MetadataImage& image, const TopicSettings& defaults,
                                    int32_t metadata_version, const FeatureLevels& chosen);

}  // namespace millrace

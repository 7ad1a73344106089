#include "controller/image/feature_levels.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

constexpr std::array<MetadataVersionInfo, 27> kVersions = {{
    {7, "3.3-IV3", true},   {8, "3.4-IV0", true},   {9, "3.5-IV0", false},  {10, "3.5-IV1", false},
    {11, "3.5-IV2", true},  {12, "3.6-IV0", false}, {13, "3.6-IV1", true},  {14, "3.6-IV2", true},
    {15, "3.7-IV0", true},  {16, "3.7-IV1", false}, {17, "3.7-IV2", true},  {18, "3.7-IV3", false},
    {19, "3.7-IV4", false}, {20, "3.8-IV0", false}, {21, "3.9-IV0", false}, {22, "4.0-IV0", false},
    {23, "4.0-IV1", true},  {24, "4.0-IV2", false}, {25, "4.0-IV3", false}, {26, "4.1-IV0", false},
    {27, "4.1-IV1", false}, {28, "4.2-IV0", false}, {29, "4.2-IV1", false}, {30, "4.3-IV0", true},
    {31, "4.4-IV0", false}, {32, "4.4-IV1", true},  {33, "4.4-IV2", true},
}};
static_assert(kVersions.front().level == kMetadataVersionMin);
static_assert(kVersions.back().level == kMetadataVersionLatest);
static_assert(kVersions.size() == kMetadataVersionLatest - kMetadataVersionMin + 1);

// From which metadata.version on a new cluster has the feature at a level.
struct DefaultLevel {
  std::string_view feature;
  int32_t level;
  int32_t metadata_version;
};
constexpr std::array<DefaultLevel, 8> kDefaults = {{
    {kKraftVersion, 1, 21},
    {kGroupVersion, 1, 22},
    {kTransactionVersion, 1, 24},
    {kTransactionVersion, 2, 24},
    {kElrVersion, 1, 26},
    {kShareVersion, 1, 28},
    {kStreamsVersion, 1, 29},
    {kShareVersion, 2, 31},
}};

}  // namespace

std::span<const MetadataVersionInfo> MetadataVersions() { return kVersions; }

std::span<const FeatureRange> ServedFeatures() {
  static const std::array<FeatureRange, 7> kServed = {{
      {std::string(kElrVersion), 0, 1},
      {std::string(kGroupVersion), 0, 1},
      {std::string(kKraftVersion), 0, 1},
      {std::string(kMetadataVersion), kMetadataVersionMin, kMetadataVersionLatest},
      {std::string(kShareVersion), 0, 0},
      {std::string(kStreamsVersion), 0, 0},
      {std::string(kTransactionVersion), 0, 0},
  }};
  return kServed;
}

std::vector<FeatureRange> AnnouncedFeatures() {
  std::vector<FeatureRange> announced;
  std::ranges::copy_if(ServedFeatures(), std::back_inserter(announced),
                       [](const FeatureRange& range) { return range.max_level > 0; });
  return announced;
}

bool ServesFeatureLevel(std::string_view name, int32_t level) {
  if (level == 0) return true;  // "Not finalised" asks nothing of anyone.
  auto found = std::ranges::find(ServedFeatures(), name, &FeatureRange::name);
  return found != ServedFeatures().end() && found->min_level <= level && level <= found->max_level;
}

int32_t DefaultFeatureLevel(std::string_view feature, int32_t metadata_version) {
  if (feature == kMetadataVersion) return metadata_version;
  int32_t level = 0;
  for (const DefaultLevel& entry : kDefaults) {
    if (entry.feature == feature && entry.metadata_version <= metadata_version) {
      level = std::max(level, entry.level);
    }
  }
  auto served = std::ranges::find(ServedFeatures(), feature, &FeatureRange::name);
  return served == ServedFeatures().end() ? 0 : std::min(level, served->max_level);
}

}  // namespace millrace

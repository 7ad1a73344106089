// The features a cluster finalises, and the levels of each that this version serves. What is not
// served yet stays at 0: clients switch protocols on finalised levels.
//
// Pure tables.
// Source: Kafka 4.4's feature levels; KIP-584, KIP-1022.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "controller/image/metadata_image.h"

namespace millrace {

inline constexpr std::string_view kMetadataVersion = "metadata.version";
inline constexpr std::string_view kKraftVersion = "kraft.version";
inline constexpr std::string_view kElrVersion = "eligible.leader.replicas.version";
inline constexpr std::string_view kTransactionVersion = "transaction.version";
inline constexpr std::string_view kGroupVersion = "group.version";
inline constexpr std::string_view kShareVersion = "share.version";
inline constexpr std::string_view kStreamsVersion = "streams.version";

inline constexpr int32_t kMetadataVersionMin = 7;      // 3.3-IV3.
inline constexpr int32_t kMetadataVersionLatest = 33;  // 4.4-IV2.

struct MetadataVersionInfo {
  int32_t level;
  std::string_view name;  // "4.4-IV2".
  bool changes_records;  // No way back below this one: records may be written that older ones lack.
};
// From kMetadataVersionMin on, without holes.
std::span<const MetadataVersionInfo> MetadataVersions();

// Every feature there is, with the levels that this version serves.
std::span<const FeatureRange> ServedFeatures();
// Those at which a level above 0 may be finalised: what a node announces of itself.
std::vector<FeatureRange> AnnouncedFeatures();
bool ServesFeatureLevel(std::string_view name, int32_t level);

// The level of `feature` in a cluster that is made new at `metadata_version`.
int32_t DefaultFeatureLevel(std::string_view feature, int32_t metadata_version);

}  // namespace millrace

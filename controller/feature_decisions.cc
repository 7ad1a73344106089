#include "controller/feature_decisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/broker_changes.h"
#include "controller/image/feature_levels.h"
#include "controller/partition_change.h"

namespace millrace {
namespace {

constexpr std::string_view kIsrMinKey = "min.insync.replicas";
constexpr int32_t kElrNeedsMetadataVersion = 23;

absl::Status Refuse(const FeatureUpdate& update, std::string_view why) {
  return MakeError(ErrorKind::kInvalidUpdateVersion,
                   fmt::format("The update failed for all features since the following feature had "
                               "an error: Invalid update version {} for feature {}. {}",
                               update.level, update.feature, why));
}

absl::Status CheckServed(const FeatureUpdate& update, std::string_view who,
                         const FeatureRange* range) {
  if (update.level == 0 && update.feature != kMetadataVersion) return absl::OkStatus();
  if (range == nullptr || range->max_level == 0) {
    return Refuse(update, fmt::format("{} does not support this feature.", who));
  }
  if (update.level < range->min_level || update.level > range->max_level) {
    return Refuse(update, fmt::format("{} only supports versions {}-{}", who, range->min_level,
                                      range->max_level));
  }
  return absl::OkStatus();
}

const FeatureRange* Find(std::span<const FeatureRange> ranges, const std::string& name) {
  auto found = std::ranges::find(ranges, name, &FeatureRange::name);
  return found == ranges.end() ? nullptr : &*found;
}

absl::Status CheckEverybodyServes(const MetadataImage& image, const FeatureUpdate& update) {
  MR_RETURN_IF_ERROR(
      CheckServed(update, "Local controller", Find(ServedFeatures(), update.feature)));
  for (const auto& [id, controller] : image.controllers()) {
    MR_RETURN_IF_ERROR(CheckServed(update, fmt::format("Controller {}", id),
                                   Find(controller.features, update.feature)));
  }
  if (update.feature == kKraftVersion) return absl::OkStatus();  // The quorum's own.
  for (const auto& [id, broker] : image.brokers()) {
    MR_RETURN_IF_ERROR(
        CheckServed(update, fmt::format("Broker {}", id), Find(broker.features, update.feature)));
  }
  return absl::OkStatus();
}

absl::Status CheckDirection(const FeatureUpdate& update, int32_t current) {
  if (update.level < current && update.kind == FeatureUpgrade::kUpgrade) {
    return Refuse(update,
                  "Can't downgrade the version of this feature without setting the upgrade type to "
                  "either safe or unsafe downgrade.");
  }
  if (update.level > current && update.kind != FeatureUpgrade::kUpgrade) {
    return Refuse(update, "Can't upgrade the version of this feature with a downgrade type.");
  }
  return absl::OkStatus();
}

absl::Status CheckMetadataDowngrade(const FeatureUpdate& update, int32_t current) {
  if (update.level == 0) return Refuse(update, "metadata.version cannot be removed.");
  const bool changes = std::ranges::any_of(MetadataVersions(), [&](const auto& version) {
    return version.level > update.level && version.level <= current && version.changes_records;
  });
  if (!changes) return absl::OkStatus();
  if (update.kind == FeatureUpgrade::kUnsafeDowngrade) {
    return Refuse(update, "Unsafe metadata downgrade is not supported in this version.");
  }
  return Refuse(update,
                "Refusing to perform the requested downgrade because it might delete metadata "
                "information.");
}

// What one feature needs of the others, with all updates made.
absl::Status CheckDependencies(const MetadataImage& after, const FeatureUpdate& update) {
  if (after.feature_level(kElrVersion) > 0 &&
      after.feature_level(kMetadataVersion) < kElrNeedsMetadataVersion) {
    return Refuse(update, fmt::format("{} needs {} {} or later.", kElrVersion, kMetadataVersion,
                                      kElrNeedsMetadataVersion));
  }
  return absl::OkStatus();
}

absl::Status Check(const MetadataImage& image, const FeatureUpdate& update) {
  const int32_t current = image.feature_level(update.feature);
  if (update.level < 0) return Refuse(update, "A feature version cannot be less than 0.");
  MR_RETURN_IF_ERROR(CheckEverybodyServes(image, update));
  MR_RETURN_IF_ERROR(CheckDirection(update, current));
  if (update.feature == kMetadataVersion && update.level < current) {
    MR_RETURN_IF_ERROR(CheckMetadataDowngrade(update, current));
  }
  if (update.feature == kKraftVersion && update.level < current) {
    return Refuse(update, "kraft.version cannot be downgraded.");
  }
  return absl::OkStatus();
}

// Eligible leader replicas need one value of min.insync.replicas that all agree on: the one for all
// brokers is written down, those of single brokers go (KIP-966).
void WriteDownIsrMin(const MetadataImage& image, const TopicSettings& defaults,
                     MetadataRecords* records) {
  if (!image.broker_defaults().contains(kIsrMinKey)) {
    records->emplace_back(ConfigRecord{ConfigResource::kBroker, "", std::string(kIsrMinKey),
                                       std::to_string(defaults.isr_min)});
  }
  for (const auto& [id, overrides] : image.all_broker_configs()) {
    if (!overrides.contains(kIsrMinKey)) continue;
    records->emplace_back(ConfigRecord{ConfigResource::kBroker, std::to_string(id),
                                       std::string(kIsrMinKey), std::nullopt});
  }
}

// Without eligible leader replicas the ISR remembers who has everything: where it is empty they
// become it.
void DissolveElr(const MetadataImage& image, MetadataRecords* records) {
  image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      PartitionImage state = topic->partitions[p];
      if (state.isr.empty()) state.isr = state.elr.empty() ? state.last_known_elr : state.elr;
      state.elr.clear();
      state.last_known_elr.clear();
      if (state == topic->partitions[p]) continue;
      state.partition_epoch = PartitionEpoch(state.partition_epoch.value() + 1);
      records->emplace_back(
          PartitionRecord{topic->topic_id, PartitionId(static_cast<int32_t>(p)), state});
    }
    return true;
  });
}

}  // namespace

Verdict DecideFeatures(const MetadataImage& image, const TopicSettings& defaults,
                       const std::vector<FeatureUpdate>& updates, bool validate_only) {
  MetadataRecords levels;
  std::set<std::string> named;
  for (const FeatureUpdate& update : updates) {
    if (!named.insert(update.feature).second) {
      return {{},
              MakeError(ErrorKind::kInvalidRequest,
                        fmt::format("feature {} is named twice", update.feature))};
    }
    if (absl::Status valid = Check(image, update); !valid.ok()) return {{}, std::move(valid)};
    if (update.level == image.feature_level(update.feature)) continue;
    levels.emplace_back(FeatureLevelRecord{update.feature, update.level});
  }
  const std::shared_ptr<const MetadataImage> after = ImageAfter(image, levels);
  for (const FeatureUpdate& update : updates) {
    if (absl::Status valid = CheckDependencies(*after, update); !valid.ok()) {
      return {{}, std::move(valid)};
    }
  }
  const bool elr_before = ElrEnabled(image);
  const bool elr_after = ElrEnabled(*after);
  if (validate_only) return {{}, absl::OkStatus()};
  // The levels last: where very many partitions have to change, that takes several entries of the
  // log. A controller that dies in between must not leave eligible leaders that count no more and
  // are not in the ISR either.
  MetadataRecords records;
  if (!elr_before && elr_after) WriteDownIsrMin(image, defaults, &records);
  if (elr_before && !elr_after) DissolveElr(image, &records);
  std::ranges::move(levels, std::back_inserter(records));
  return {std::move(records), absl::OkStatus()};
}

MetadataRecords DecideFirstFeatures(const MetadataImage& image, const TopicSettings& defaults,
                                    int32_t metadata_version, const FeatureLevels& chosen) {
  MetadataRecords records;
  if (image.features().contains(kMetadataVersion)) return records;
  for (const FeatureRange& served : ServedFeatures()) {
    auto found = chosen.find(served.name);
    const int32_t level =
        found != chosen.end() ? found->second : DefaultFeatureLevel(served.name, metadata_version);
    if (level > 0) records.emplace_back(FeatureLevelRecord{served.name, level});
  }
  if (ElrEnabled(*ImageAfter(image, records))) WriteDownIsrMin(image, defaults, &records);
  return records;
}

}  // namespace millrace

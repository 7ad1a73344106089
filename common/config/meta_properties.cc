#include "common/config/meta_properties.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

#include "common/config/properties_file.h"

namespace millrace {
namespace {

absl::Status Invalid(const Property& property, std::string_view accepted) {
  return absl::InvalidArgumentError(fmt::format("line {}: {}={}: expected {}", property.line,
                                                property.key, property.value, accepted));
}

std::optional<int32_t> ParseNonNegative(std::string_view text) {
  int32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

absl::Status ReadProperty(const Property& property, std::optional<int>& version,
                          MetaProperties& meta) {
  if (property.key == "version") {
    std::optional<int32_t> number = ParseNonNegative(property.value);
    if (!number.has_value() || *number > 1) return Invalid(property, "0 or 1");
    version = *number;
  } else if (property.key == "node.id" || property.key == "broker.id") {
    std::optional<int32_t> id = ParseNonNegative(property.value);
    // Before KRaft, broker.id=-1 stood for an id yet to be given.
    if (!id.has_value() && property.key == "broker.id" && property.value == "-1") {
      return absl::OkStatus();
    }
    if (!id.has_value()) return Invalid(property, "a whole number from 0 to 2147483647");
    if (meta.node_id.has_value() && meta.node_id != BrokerId(*id)) {
      return Invalid(property, fmt::format("the same as the other id key, {}", *meta.node_id));
    }
    meta.node_id = BrokerId(*id);
  } else if (property.key == "cluster.id") {
    if (property.value.empty()) return Invalid(property, "a cluster id");
    meta.cluster_id = property.value;
  } else if (property.key == "directory.id") {
    std::optional<Uuid> id = Uuid::Parse(property.value);
    if (!id.has_value() || IsReservedDirectoryId(*id)) {
      return Invalid(property, "a uuid of 22 base64url characters that is not reserved");
    }
    meta.directory_id = *id;
  } else {
    meta.others.emplace(property.key, property.value);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsReservedDirectoryId(const DirectoryId& id) { return id.high() == 0 && id.low() < 100; }

absl::StatusOr<MetaProperties> ParseMetaProperties(std::string_view text) {
  PropertiesFile file = ParseProperties(text);
  if (!file.errors.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("line {}: {}", file.errors[0].line, file.errors[0].text));
  }
  MetaProperties meta;
  std::optional<int> version;
  for (const Property& property : file.properties) {
    absl::Status status = ReadProperty(property, version, meta);
    if (!status.ok()) return status;
  }
  if (!version.has_value())
    return absl::InvalidArgumentError("version is missing: expected 0 or 1");
  meta.version = *version;
  if (meta.version == 1 && !meta.cluster_id.has_value()) {
    return absl::InvalidArgumentError("cluster.id is missing: version 1 must have it");
  }
  if (meta.version == 1 && !meta.node_id.has_value()) {
    return absl::InvalidArgumentError("node.id is missing: version 1 must have it");
  }
  return meta;
}

std::string PrintMetaProperties(const MetaProperties& properties) {
  std::string out;
  if (properties.cluster_id.has_value()) out += PrintProperty("cluster.id", *properties.cluster_id);
  if (properties.directory_id.has_value()) {
    out += PrintProperty("directory.id", properties.directory_id->ToString());
  }
  if (properties.node_id.has_value()) {
    out += PrintProperty(properties.version == 0 ? "broker.id" : "node.id",
                         fmt::format("{}", *properties.node_id));
  }
  for (const auto& [key, value] : properties.others) out += PrintProperty(key, value);
  out += PrintProperty("version", fmt::format("{}", properties.version));
  return out;
}

}  // namespace millrace

#include "common/config/bootstrap_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "common/config/config_value.h"
#include "common/config/meta_properties.h"
#include "common/config/properties_file.h"

namespace millrace {
namespace {

constexpr std::string_view kFeaturePrefix = "feature.";
constexpr std::string_view kHeader =
    "# What `millrace storage format` decided; read by a start that finds no metadata.\n";

std::string_view QuorumName(InitialQuorum quorum) {
  switch (quorum) {
    case InitialQuorum::kStatic:
      return "static";
    case InitialQuorum::kVoters:
      return "voters";
    case InitialQuorum::kNone:
      return "none";
  }
  std::abort();
}

std::optional<InitialQuorum> ParseQuorum(std::string_view name) {
  for (InitialQuorum quorum :
       {InitialQuorum::kStatic, InitialQuorum::kVoters, InitialQuorum::kNone}) {
    if (name == QuorumName(quorum)) return quorum;
  }
  return std::nullopt;
}

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

std::expected<InitialVoter, std::string> ParseInitialVoter(std::string_view text) {
  auto wrong = [text](std::string_view reason) {
    return std::unexpected(fmt::format("{} is not ID@HOST:PORT:DIRECTORY-ID: {}", text, reason));
  };
  const size_t at = text.find('@');
  if (at == std::string_view::npos) return wrong("it has no @");
  const std::optional<int32_t> id = ParseNumber<int32_t>(text.substr(0, at));
  if (!id.has_value()) return wrong("the id is not a whole number of at least 0");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon < at) return wrong("it has no directory id");
  const std::optional<Uuid> directory = Uuid::Parse(text.substr(colon + 1));
  if (!directory.has_value() || IsReservedDirectoryId(*directory)) {
    return wrong("the directory id is not a uuid of 22 base64url characters that is not reserved");
  }
  std::expected<HostPort, std::string> address = ParseHostPort(text.substr(at + 1, colon - at - 1));
  if (!address.has_value()) return wrong(address.error());
  return InitialVoter{BrokerId(*id), *directory, *std::move(address)};
}

absl::Status Invalid(const Property& property, std::string_view accepted) {
  return absl::InvalidArgumentError(fmt::format("line {}: {}={}: expected {}", property.line,
                                                property.key, property.value, accepted));
}

}  // namespace

std::string PrintInitialVoter(const InitialVoter& voter) {
  return fmt::format("{}@{}:{}", voter.id, HostPortText(voter.address.host, voter.address.port),
                     voter.directory);
}

std::expected<std::vector<InitialVoter>, std::string> ParseInitialVoters(std::string_view text) {
  std::vector<InitialVoter> voters;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    std::expected<InitialVoter, std::string> voter =
        ParseInitialVoter(TrimConfigText(text.substr(begin, comma - begin)));
    if (!voter.has_value()) return std::unexpected(std::move(voter).error());
    for (const InitialVoter& other : voters) {
      if (other.id == voter->id) {
        return std::unexpected(fmt::format("the id {} occurs twice", voter->id));
      }
      if (other.directory == voter->directory) {
        return std::unexpected(fmt::format("the directory id {} occurs twice", voter->directory));
      }
    }
    voters.push_back(*std::move(voter));
    begin = comma + 1;
  }
  return voters;
}

absl::StatusOr<BootstrapFile> ParseBootstrapFile(std::string_view text) {
  PropertiesFile properties = ParseProperties(text);
  if (!properties.errors.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("line {}: {}", properties.errors.front().line, properties.errors.front().text));
  }
  BootstrapFile file;
  bool has_version = false;
  bool has_quorum = false;
  for (const Property& property : properties.properties) {
    if (property.key == "version") {
      if (property.value != "1") return Invalid(property, "1");
      has_version = true;
    } else if (property.key == "quorum") {
      const std::optional<InitialQuorum> quorum = ParseQuorum(property.value);
      if (!quorum.has_value()) return Invalid(property, "static, voters or none");
      file.quorum = *quorum;
      has_quorum = true;
    } else if (property.key == "voters") {
      auto voters = ParseInitialVoters(property.value);
      if (!voters.has_value()) return Invalid(property, voters.error());
      file.voters = *std::move(voters);
    } else if (property.key.starts_with(kFeaturePrefix) &&
               property.key.size() > kFeaturePrefix.size()) {
      const std::optional<int16_t> level = ParseNumber<int16_t>(property.value);
      if (!level.has_value() || *level == 0) {
        return Invalid(property, "a whole number from 1 to 32767");
      }
      file.features[property.key.substr(kFeaturePrefix.size())] = *level;
    } else {
      return Invalid(property, "version, quorum, voters or feature.NAME");
    }
  }
  if (!has_version) return absl::InvalidArgumentError("version is missing: expected 1");
  if (!has_quorum) return absl::InvalidArgumentError("quorum is missing");
  if ((file.quorum == InitialQuorum::kVoters) == file.voters.empty()) {
    return absl::InvalidArgumentError("voters stand with quorum=voters, and only there");
  }
  return file;
}

std::string PrintBootstrapFile(const BootstrapFile& file) {
  std::string out(kHeader);
  out += PrintProperty("version", "1");
  out += PrintProperty("quorum", QuorumName(file.quorum));
  std::string voters;
  for (const InitialVoter& voter : file.voters) {
    voters += (voters.empty() ? "" : ",") + PrintInitialVoter(voter);
  }
  if (!voters.empty()) out += PrintProperty("voters", voters);
  for (const auto& [name, level] : file.features) {
    out += PrintProperty(fmt::format("{}{}", kFeaturePrefix, name), fmt::format("{}", level));
  }
  return out;
}

}  // namespace millrace

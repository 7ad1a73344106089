// bootstrap.properties: what `millrace storage format` decided about the quorum, for the first start
// of a controller: who votes, and the features a new cluster begins with. Once the metadata log has
// entries they alone count, and the file is history.
//
//   version=1
//   quorum=static | voters | none
//   voters=ID@HOST:PORT:DIRECTORY-ID,...   (quorum=voters only)
//   feature.NAME=LEVEL
//
// Pure: text in, struct out. Errors: kInvalidArgument, naming the key, its line and what is
// accepted.
// Source: KIP-853 (--standalone, --initial-controllers, --no-initial-controllers), KIP-1022.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/listener.h"
#include "common/ids.h"

namespace millrace {

// In the metadata log directory, beside meta.properties.
inline constexpr std::string_view kBootstrapFile = "bootstrap.properties";

struct InitialVoter {
  BrokerId id;
  DirectoryId directory;
  HostPort address;

  friend bool operator==(const InitialVoter&, const InitialVoter&) = default;
};

enum class InitialQuorum {
  kStatic,  // controller.quorum.voters of the configuration.
  kVoters,  // `voters`, who know each other's directories.
  kNone,    // Whoever the others add: this controller begins as an observer.
};

struct BootstrapFile {
  InitialQuorum quorum = InitialQuorum::kStatic;
  std::vector<InitialVoter> voters;         // kVoters only, and then not empty; each id once.
  std::map<std::string, int16_t> features;  // "metadata.version", ...; level 0 is left out.

  // 0 where the feature is left out.
  int16_t LevelOf(std::string_view feature) const {
    const auto level = features.find(std::string(feature));
    return level == features.end() ? int16_t{0} : level->second;
  }

  friend bool operator==(const BootstrapFile&, const BootstrapFile&) = default;
};

absl::StatusOr<BootstrapFile> ParseBootstrapFile(std::string_view text);

// ParseBootstrapFile gives the same struct back.
std::string PrintBootstrapFile(const BootstrapFile& file);

// "ID@HOST:PORT:DIRECTORY-ID,...", as --initial-controllers has it. Errors: what is wrong with which
// entry.
std::expected<std::vector<InitialVoter>, std::string> ParseInitialVoters(std::string_view text);
std::string PrintInitialVoter(const InitialVoter& voter);

}  // namespace millrace

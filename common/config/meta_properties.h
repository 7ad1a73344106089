// meta.properties: the file that says whose a data directory is. Written when the directory is
// formatted, checked at every start, in Kafka's format, so that either broker recognises the
// other's directory.
//
//   version 1: version=1, cluster.id, node.id, optional directory.id (22 characters)
//   version 0: version=0, optional broker.id, optional cluster.id (before KRaft; read, never
//   written)
//
// Pure: text in, struct out. Errors: kInvalidArgument, naming the key, its line and what is
// accepted.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"

namespace millrace {

struct MetaProperties {
  int version = 1;
  std::optional<std::string>
      cluster_id;                   // Any text; Kafka's own are 22-character uuids. v1: always.
  std::optional<BrokerId> node_id;  // v1: always.
  std::optional<DirectoryId> directory_id;
  std::map<std::string, std::string>
      others;  // Keys we do not know, kept so that a rewrite keeps them.

  friend bool operator==(const MetaProperties&, const MetaProperties&) = default;
};

absl::StatusOr<MetaProperties> ParseMetaProperties(std::string_view text);

// The file's whole text; ParseMetaProperties gives the same struct back.
std::string PrintMetaProperties(const MetaProperties& properties);

// The ids 0..99 have meanings of their own in Kafka (lost, unassigned, migrating): no directory has
// one.
bool IsReservedDirectoryId(const DirectoryId& id);

}  // namespace millrace

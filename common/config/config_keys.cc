#include "common/config/config_keys.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "common/config/edit_distance.h"
#include "common/config/keys/group_keys.h"
#include "common/config/keys/log_keys.h"
#include "common/config/keys/millrace_keys.h"
#include "common/config/keys/node_keys.h"
#include "common/config/keys/removed_keys.h"
#include "common/config/keys/replication_keys.h"
#include "common/config/keys/security_keys.h"
#include "common/config/keys/service_keys.h"
#include "common/config/keys/tiered_storage_keys.h"

namespace millrace {
namespace {

template <size_t... N>
constexpr auto Concatenate(const ConfigKey (&... tables)[N]) {
  std::array<std::span<const ConfigKey>, sizeof...(N)> parts = {
      std::span<const ConfigKey>(tables)...};
  std::array<const ConfigKey*, (N + ...)> rows{};
  size_t count = 0;
  for (std::span<const ConfigKey> part : parts) {
    for (const ConfigKey& key : part) rows[count++] = &key;
  }
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return std::array<ConfigKey, sizeof...(I)>{*rows[I]...};
  }(std::make_index_sequence<(N + ...)>());
}

constexpr auto kTable = Concatenate(kNodeKeys, kLogKeys, kReplicationKeys, kGroupKeys, kServiceKeys,
                                    kSecurityKeys, kTieredStorageKeys, kMillraceKeys, kRemovedKeys);

constexpr KeyFamily kFamilies[] = {
    {"zookeeper.", Removed(kKraftOnly)},
    {"password.encoder.", Removed(kPasswordsAreNotEncoded)},
    {"listener.name.",
     NotYet("Settings of a single listener are not served yet, and have no effect.")},
    {"config.providers.", NotNeeded("Values are taken as they stand; there are no providers.")},
    {"rsm.config.", NotYet(kNoTieredStorageYet)},
    {"rlmm.config.", NotYet(kNoTieredStorageYet)},
    {"confluent.", NotNeeded("It speaks to a commercial plug-in, which is not loaded.")},
    {"metrics.context.", NotNeeded("It labels metrics of JVM reporters, which are not loaded.")},
};

}  // namespace

std::span<const ConfigKey> BrokerConfigKeys() { return kTable; }

const ConfigKey* FindBrokerConfigKey(std::string_view name) {
  auto found = std::ranges::find(kTable, name, &ConfigKey::name);
  return found == kTable.end() ? nullptr : &*found;
}

std::optional<KeyFamily> FindKeyFamily(std::string_view name) {
  for (const KeyFamily& family : kFamilies) {
    if (name.starts_with(family.prefix)) return family;
  }
  return std::nullopt;
}

bool LooksSensitive(std::string_view name) {
  for (std::string_view word :
       {"password", "secret", "credential", "jaas", "token", "passphrase"}) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  return false;
}

std::optional<std::string_view> NearestBrokerConfigKey(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ConfigKey& key : kTable) {
    if (!key.hidden) names.push_back(key.name);
  }
  return NearestName(name, names);
}

}  // namespace millrace

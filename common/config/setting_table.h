// SettingTable: the settings of a file and of the command line, checked one by one against the
// table of keys, and read by type. Every complaint is kept, so that a start reports all of them at
// once.
//
// Pure. Lifetime: `report` must outlive it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_source.h"
#include "common/config/keys/config_key.h"

namespace millrace {

// One setting as given. Of several with the same key the last one counts.
struct ConfigSetting {
  std::string key;
  std::string value;
  std::string where;  // "server.properties:12" or "--set"
};

// Lines for people; each names the key, its value (unless it is a secret) and where it was set.
struct ConfigReport {
  std::vector<std::string> errors;    // Any: the server must not start.
  std::vector<std::string> warnings;  // Unknown keys, and keys that are gone.
  std::vector<std::string> notes;     // Known keys that have no effect, and why.
};

class SettingTable {
 public:
  // Checks every setting. A key nobody knows is a warning, or an error if `strict`.
  SettingTable(const std::vector<ConfigSetting>& settings, bool strict, ConfigReport& report);

  // Whether the file or the command line sets the key.
  bool IsSet(std::string_view key) const { return settings_.contains(key); }

  // Whether the key has a value we could not use. Such a key reads as its default, so that one
  // mistake is reported once; a check of a combination asks first.
  bool IsBad(std::string_view key) const { return bad_.contains(key); }
  bool AllGood(std::initializer_list<std::string_view> keys) const;

  // The value set, or the default. The key must be in the table, have this type, and (but for
  // OptionalText) have a value or a default: else it is our mistake (CHECK).
  bool Boolean(std::string_view key) const;
  int64_t Integer(std::string_view key) const;
  int32_t Int32(std::string_view key) const { return static_cast<int32_t>(Integer(key)); }
  double Double(std::string_view key) const;
  std::string Text(std::string_view key) const;
  std::vector<std::string> List(std::string_view key) const;
  // Nothing if neither set nor defaulted, or empty.
  std::optional<std::string> OptionalText(std::string_view key) const;

  // Adds an error about the key, and makes it bad.
  void Refuse(std::string_view key, std::string_view message);
  // Adds lines about the key.
  void Warn(std::string_view key, std::string_view message);
  void Note(std::string_view key, std::string_view message);

  // Everything set to a known key with a good value, as one spelling each.
  ConfigMap Values() const;

 private:
  struct Entry {
    std::string value;
    std::string where;
    const ConfigKey* key;  // nullptr: not in the table.
  };

  void CheckKnown(const std::string& name, const Entry& entry);
  void CheckUnknown(const std::string& name, bool strict);
  // "server.properties:12: num.partitions=0: message", or "num.partitions: message" if it is not
  // set.
  std::string Line(std::string_view key, std::string_view message) const;
  std::optional<ConfigValue> Find(std::string_view key) const;
  ConfigValue Get(std::string_view key) const;

  ConfigReport& report_;
  std::map<std::string, Entry, std::less<>> settings_;
  std::set<std::string, std::less<>> bad_;
};

}  // namespace millrace

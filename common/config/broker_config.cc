#include "common/config/broker_config.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/config/broker_listeners.h"
#include "common/config/config_keys.h"
#include "common/config/properties_file.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;

milliseconds Milliseconds(const SettingTable& settings, std::string_view key) {
  return milliseconds(settings.Integer(key));
}

// SO_SNDBUF and SO_RCVBUF: -1 is the system's choice.
std::optional<int32_t> ReadSocketBuffer(SettingTable& settings, std::string_view key) {
  int32_t bytes = settings.Int32(key);
  if (bytes == -1) return std::nullopt;
  if (bytes < 1)
    settings.Refuse(key, "expected -1 (the system's choice) or a number of at least 1");
  return bytes;
}

// max.connections.per.ip.overrides: ADDRESS:COUNT, ...
std::map<std::string, int32_t> ReadPerIpOverrides(SettingTable& settings) {
  constexpr std::string_view kKey = "max.connections.per.ip.overrides";
  std::map<std::string, int32_t> overrides;
  std::string text = settings.Text(kKey);
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string_view entry = TrimConfigText(rest.substr(0, comma));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    size_t colon = entry.rfind(':');
    std::string_view count_text = colon == std::string_view::npos ? "" : entry.substr(colon + 1);
    int32_t count = -1;
    auto [end, error] =
        std::from_chars(count_text.data(), count_text.data() + count_text.size(), count);
    bool good = error == std::errc() && end == count_text.data() + count_text.size() &&
                count >= 0 && colon > 0 && entry.find(' ') == std::string_view::npos;
    if (!good) {
      settings.Refuse(kKey, fmt::format("{} is not ADDRESS:COUNT", entry));
      return {};
    }
    overrides[std::string(entry.substr(0, colon))] = count;
  }
  return overrides;
}

ConnectionConfig ReadConnections(SettingTable& settings) {
  ConnectionConfig config{
      .request_bytes_max = settings.Int32("socket.request.max.bytes"),
      .send_buffer_bytes = ReadSocketBuffer(settings, "socket.send.buffer.bytes"),
      .receive_buffer_bytes = ReadSocketBuffer(settings, "socket.receive.buffer.bytes"),
      .listen_backlog = settings.Int32("socket.listen.backlog.size"),
      .connections_max = settings.Int32("max.connections"),
      .connections_per_ip_max = settings.Int32("max.connections.per.ip"),
      .connections_per_ip_overrides = ReadPerIpOverrides(settings),
      .connections_per_second_max = settings.Int32("max.connection.creation.rate"),
      .idle_max = Milliseconds(settings, "connections.max.idle.ms"),
  };
  if (config.idle_max->count() < 0) config.idle_max = std::nullopt;
  if (config.connections_per_ip_max == 0 && config.connections_per_ip_overrides.empty()) {
    settings.Refuse("max.connections.per.ip",
                    "nobody could connect: 0 is accepted only with "
                    "max.connections.per.ip.overrides, else a whole number of at least 1");
  }
  return config;
}

AdminConfig ReadAdmin(SettingTable& settings) {
  constexpr std::string_view kKey = "millrace.admin.listeners";
  constexpr std::string_view kScheme = "http://";
  AdminConfig config;
  config.required = settings.IsSet(kKey);
  for (const std::string& entry : settings.List(kKey)) {
    std::string_view address = entry;
    if (address.starts_with(kScheme)) address.remove_prefix(kScheme.size());
    std::expected<Endpoint, std::string> endpoint =
        ParseEndpoint(fmt::format("HTTP://{}", address));
    if (!endpoint.has_value()) {
      settings.Refuse(kKey, fmt::format("{} is not HOST:PORT", entry));
      break;
    }
    config.listeners.push_back({std::move(endpoint->host), endpoint->port});
  }
  return config;
}

TopicCreationConfig ReadTopicCreation(SettingTable& settings) {
  constexpr std::string_view kReplicas = "default.replication.factor";
  int64_t replicas = settings.Integer(kReplicas);
  if (replicas < 1 || replicas > std::numeric_limits<int16_t>::max()) {
    settings.Refuse(kReplicas, "expected a whole number from 1 to 32767");
    replicas = 1;
  }
  return {.partitions_default = settings.Int32("num.partitions"),
          .replication_factor_default = static_cast<int16_t>(replicas),
          .auto_create = settings.Boolean("auto.create.topics.enable"),
          .may_delete = settings.Boolean("delete.topic.enable")};
}

StorageConfig ReadStorage(SettingTable& settings) {
  std::vector<std::string> dirs = settings.List("log.dirs");
  if (dirs.empty()) dirs = settings.List("log.dir");
  MR_CHECK(!dirs.empty());  // Neither may be empty, and log.dir has a default.
  std::vector<std::string> cordoned = settings.List("cordoned.log.dirs");
  for (const std::string& dir : cordoned) {
    if (dir == "*" || std::ranges::find(dirs, dir) != dirs.end()) continue;
    settings.Refuse(
        "cordoned.log.dirs",
        fmt::format("{} is not in log.dirs or log.dir: expected directories from there", dir));
    break;
  }
  std::string metadata_dir = settings.OptionalText("metadata.log.dir").value_or(dirs.front());
  return {.data_dirs = std::move(dirs),
          .cordoned_dirs = std::move(cordoned),
          .metadata_dir = std::move(metadata_dir),
          .journal_bytes_max = settings.Integer("millrace.journal.bytes.max"),
          .journal_pending_bytes_max = settings.Integer("millrace.journal.pending.bytes.max"),
          .segment_write_bytes = settings.Int32("millrace.segment.write.bytes"),
          .segment_write_delay = Milliseconds(settings, "millrace.segment.write.delay.ms"),
          .slow_write = Milliseconds(settings, "millrace.disk.slow.ms"),
          .retention_check_interval = Milliseconds(settings, "log.retention.check.interval.ms"),
          .retention_initial_delay = Milliseconds(settings, "log.initial.task.delay.ms"),
          .open_files_max = settings.Int32("millrace.open.files.max"),
          .scrub_bytes_per_second = settings.Integer("millrace.scrub.bytes.per.second"),
          .scrub_interval = std::chrono::hours(settings.Int32("millrace.scrub.interval.hours")),
          .move_bytes_per_second = settings.Integer("millrace.log.move.bytes.per.second")};
}

// A request of the largest size must fit into the budget, or it would wait for ever.
void CheckRequestBudget(SettingTable& settings, std::string_view key, int64_t budget_bytes) {
  int64_t request_bytes_max = settings.Integer("socket.request.max.bytes");
  if (budget_bytes >= request_bytes_max) return;
  settings.Refuse(key,
                  fmt::format("a request may have {} bytes (socket.request.max.bytes): expected "
                              "at least as many",
                              request_bytes_max));
}

MemoryConfig ReadMemory(SettingTable& settings) {
  constexpr std::string_view kBudget = "millrace.request.budget.bytes";
  constexpr std::string_view kKafkaBudget = "queued.max.request.bytes";
  MemoryConfig config{
      .memory_bytes = settings.Integer("millrace.memory.bytes"),
      .request_budget_bytes = settings.Integer(kBudget),
      .fetch_output_budget_bytes = settings.Integer("millrace.fetch.output.budget.bytes"),
      .tail_cache_bytes = settings.Integer("millrace.tail.cache.bytes"),
      .producer_state_bytes = settings.Integer("millrace.producer.state.bytes"),
      .connection_output_bytes_max = settings.Int32("millrace.connection.output.bytes.max"),
  };
  if (config.request_budget_bytes > 0) {
    CheckRequestBudget(settings, kBudget, config.request_budget_bytes);
  }
  int64_t queued = settings.Integer(kKafkaBudget);
  if (queued >= 0) {
    CheckRequestBudget(settings, kKafkaBudget, queued);
    if (config.request_budget_bytes == 0) config.request_budget_bytes = queued;
  }
  return config;
}

IoChoice ReadIo(const SettingTable& settings) {
  std::string text = settings.Text("millrace.io");
  if (text == "io_uring") return IoChoice::kIoUring;
  if (text == "epoll") return IoChoice::kEpoll;
  return IoChoice::kAuto;
}

// Broker keys that topics fall back on must make sense there too.
void CheckTopicDefaults(SettingTable& settings) {
  for (std::string_view key :
       {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    if (settings.IsSet(key) && !settings.IsBad(key) && settings.Integer(key) == 0) {
      settings.Refuse(key,
                      "everything would be dropped at once: expected -1 (no bound) or a whole "
                      "number of at least 1");
    }
  }
  for (const auto& [key, text] : settings.Values()) {
    if (settings.IsBad(key)) continue;
    if (std::optional<std::string> accepted = WhatTopicsAccept(key, text)) {
      settings.Refuse(key, fmt::format("expected {}", *accepted));
    }
  }
  ServerConfigValues server{
      .static_values = settings.Values(), .dynamic_default = {}, .dynamic_broker = {}};
  TopicConfig topic = ResolveTopicConfig({}, server);
  if (topic.max_compaction_lag.has_value() &&
      topic.min_compaction_lag > *topic.max_compaction_lag) {
    settings.Refuse("log.cleaner.min.compaction.lag.ms",
                    fmt::format("log.cleaner.max.compaction.lag.ms is less: expected at most {}",
                                topic.max_compaction_lag->count()));
  }
}

ReplicationConfig ReadReplication(SettingTable& settings) {
  const std::string selector = settings.OptionalText("replica.selector.class").value_or("");
  const bool by_rack = selector == "org.apache.kafka.common.replica.RackAwareReplicaSelector";
  if (!by_rack && !selector.empty() &&
      selector != "org.apache.kafka.common.replica.LeaderSelector") {
    settings.Refuse("replica.selector.class",
                    "expected org.apache.kafka.common.replica.RackAwareReplicaSelector or "
                    "org.apache.kafka.common.replica.LeaderSelector");
  }
  return {.lag_max = Milliseconds(settings, "replica.lag.time.max.ms"),
          .high_watermark_interval =
              Milliseconds(settings, "replica.high.watermark.checkpoint.interval.ms"),
          .read_from_rack = by_rack};
}

QuorumConfig ReadQuorum(SettingTable& settings, bool is_controller) {
  constexpr std::string_view kAutoJoin = "controller.quorum.auto.join.enable";
  constexpr std::string_view kTimeout = "controller.quorum.fetch.timeout.ms";
  constexpr milliseconds kTimeoutMin(200);
  QuorumConfig config{
      .auto_join = settings.Boolean(kAutoJoin),
      .fetch_timeout = Milliseconds(settings, kTimeout),
      .snapshot_bytes = settings.Integer("metadata.log.max.record.bytes.between.snapshots"),
      .snapshot_interval = Milliseconds(settings, "metadata.log.max.snapshot.interval.ms")};
  if (config.fetch_timeout < kTimeoutMin) {
    settings.Refuse(kTimeout, fmt::format("a leader could not be heard in time: expected a whole "
                                          "number of at least {}",
                                          kTimeoutMin.count()));
  }
  if (config.snapshot_interval->count() == 0) config.snapshot_interval = std::nullopt;
  if (config.auto_join && !is_controller) {
    settings.Refuse(kAutoJoin,
                    "this node is no controller: expected false, or the role controller in "
                    "process.roles");
  }
  return config;
}

LeaderElectionConfig ReadElections(const SettingTable& settings) {
  return {.balance = settings.Boolean("auto.leader.rebalance.enable"),
          .balance_interval =
              std::chrono::seconds(settings.Integer("leader.imbalance.check.interval.seconds")),
          .unclean_interval = Milliseconds(settings, "unclean.leader.election.interval.ms")};
}

// A node that knows of no other one is the whole cluster: what it makes for itself has one replica,
// unless it was told otherwise.
GroupConfig ReadGroups(SettingTable& settings, bool alone) {
  constexpr std::string_view kReplicas = "offsets.topic.replication.factor";
  constexpr std::string_view kAssignors = "group.consumer.assignors";
  constexpr std::string_view kHeartbeat = "group.consumer.heartbeat.interval.ms";
  constexpr std::string_view kSession = "group.consumer.session.timeout.ms";
  constexpr std::string_view kMigration = "group.consumer.migration.policy";
  if (settings.Integer(kHeartbeat) >= settings.Integer(kSession)) {
    settings.Refuse(kHeartbeat,
                    fmt::format("expected less than {}, {}", kSession, settings.Integer(kSession)));
  }
  const auto within = [&settings](std::string_view key, std::string_view min,
                                  std::string_view max) {
    const int64_t value = settings.Integer(key);
    if (value >= settings.Integer(min) && value <= settings.Integer(max)) return;
    settings.Refuse(key, fmt::format("expected from {} to {}, {} to {}", min, max,
                                     settings.Integer(min), settings.Integer(max)));
  };
  within(kSession, "group.consumer.min.session.timeout.ms",
         "group.consumer.max.session.timeout.ms");
  within(kHeartbeat, "group.consumer.min.heartbeat.interval.ms",
         "group.consumer.max.heartbeat.interval.ms");
  std::vector<std::string> assignors = settings.List(kAssignors);
  for (std::string& name : assignors) {
    if (name == "org.apache.kafka.coordinator.group.assignor.UniformAssignor") name = "uniform";
    if (name == "org.apache.kafka.coordinator.group.assignor.RangeAssignor") name = "range";
    if (name == "uniform" || name == "range") continue;
    settings.Refuse(kAssignors, "expected names out of: uniform, range");
  }
  const bool told = settings.Values().contains(std::string(kReplicas));
  const std::string migration = absl::AsciiStrToLower(settings.Text(kMigration));
  return {
      .session_min = Milliseconds(settings, "group.min.session.timeout.ms"),
      .session_max = Milliseconds(settings, "group.max.session.timeout.ms"),
      .initial_rebalance_delay = Milliseconds(settings, "group.initial.rebalance.delay.ms"),
      .members_max = settings.Int32("group.max.size"),
      .offset_metadata_bytes_max = settings.Int32("offset.metadata.max.bytes"),
      .offsets_retention = std::chrono::minutes(settings.Integer("offsets.retention.minutes")),
      .expiration_interval = Milliseconds(settings, "offsets.retention.check.interval.ms"),
      .commit_timeout = Milliseconds(settings, "offsets.commit.timeout.ms"),
      .consumer_session = Milliseconds(settings, kSession),
      .consumer_heartbeat = Milliseconds(settings, kHeartbeat),
      .consumer_members_max = settings.Int32("group.consumer.max.size"),
      .consumer_assignors = std::move(assignors),
      .consumer_assignment_interval =
          Milliseconds(settings, "group.consumer.assignment.interval.ms"),
      .consumer_regex_refresh = Milliseconds(settings, "group.consumer.regex.refresh.interval.ms"),
      .consumer_session_min = Milliseconds(settings, "group.consumer.min.session.timeout.ms"),
      .consumer_session_max = Milliseconds(settings, "group.consumer.max.session.timeout.ms"),
      .consumer_heartbeat_min = Milliseconds(settings, "group.consumer.min.heartbeat.interval.ms"),
      .consumer_heartbeat_max = Milliseconds(settings, "group.consumer.max.heartbeat.interval.ms"),
      .consumer_assignment_interval_min =
          Milliseconds(settings, "group.consumer.min.assignment.interval.ms"),
      .consumer_assignment_interval_max =
          Milliseconds(settings, "group.consumer.max.assignment.interval.ms"),
      .consumer_upgrade = migration == "bidirectional" || migration == "upgrade",
      .consumer_downgrade = migration == "bidirectional" || migration == "downgrade",
      .topic_partitions = settings.Int32("offsets.topic.num.partitions"),
      .topic_replication_factor =
          static_cast<int16_t>(alone && !told ? 1 : settings.Integer(kReplicas)),
      .topic_segment_bytes = settings.Int32("offsets.topic.segment.bytes"),
  };
}

// Combinations that Kafka refuses, of keys that have no effect here yet: a file that starts with us
// must also start later, when they have one.
void CheckCombinations(SettingTable& settings) {
  if (settings.Integer("replica.fetch.wait.max.ms") >
      settings.Integer("replica.socket.timeout.ms")) {
    settings.Refuse("replica.socket.timeout.ms",
                    fmt::format("expected at least replica.fetch.wait.max.ms, {}",
                                settings.Integer("replica.fetch.wait.max.ms")));
  }
  if (settings.Integer("replica.fetch.wait.max.ms") > settings.Integer("replica.lag.time.max.ms")) {
    settings.Refuse("replica.fetch.wait.max.ms",
                    fmt::format("expected at most replica.lag.time.max.ms, {}",
                                settings.Integer("replica.lag.time.max.ms")));
  }
  int64_t idle = settings.Integer("connections.max.idle.ms");
  if (idle >= 0 && settings.Integer("connection.failed.authentication.delay.ms") >= idle) {
    settings.Refuse("connection.failed.authentication.delay.ms",
                    fmt::format("expected less than connections.max.idle.ms, {}", idle));
  }
  constexpr int64_t kDedupeBytesPerThread = 1 << 20;
  int64_t dedupe_min = settings.Integer("log.cleaner.threads") * kDedupeBytesPerThread;
  if (settings.Integer("log.cleaner.dedupe.buffer.size") < dedupe_min) {
    settings.Refuse(
        "log.cleaner.dedupe.buffer.size",
        fmt::format("expected at least 1 MiB per thread of log.cleaner.threads, {}", dedupe_min));
  }
}

// Settings whose silent absence would open what the operator closed.
void RefuseUnservedProtection(SettingTable& settings) {
  if (settings.OptionalText("authorizer.class.name").has_value()) {
    settings.Refuse("authorizer.class.name",
                    "authorization is not served yet, and without it everyone may do everything: "
                    "expected nothing");
  }
  if (settings.Boolean("remote.log.storage.system.enable")) {
    settings.Refuse("remote.log.storage.system.enable",
                    "tiered storage is not served: expected false");
  }
}

// The keys that set what this one sets, itself included, in order of precedence: those on which the
// same topic key falls back (Kafka's DynamicBrokerConfig.brokerConfigSynonyms).
std::vector<std::string_view> SynonymsOf(std::string_view name) {
  // Only stands in for log.flush.interval.ms; nothing stands in for it.
  if (name == "log.flush.scheduler.interval.ms") return {name};
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    if (std::ranges::find(key.synonyms, name, &ServerSynonym::name) == key.synonyms.end()) continue;
    std::vector<std::string_view> names;
    for (const ServerSynonym& synonym : key.synonyms) names.push_back(synonym.name);
    return names;
  }
  return {name};
}

// The value is the key's own; where it comes from is said of the synonym in force (as Kafka says it:
// log.retention.hours of a node that was given log.retention.ms is 168, and not by default).
ConfigEntry DescribeKey(const ConfigKey& key, const ServerConfigValues& server) {
  bool is_sensitive = key.type == ConfigType::kPassword;
  ConfigEntry entry{.name = key.name,
                    .value = std::nullopt,
                    .source = ConfigSource::kDefault,
                    .is_read_only = key.scope == UpdateScope::kReadOnly,
                    .is_sensitive = is_sensitive,
                    .type = key.type,
                    .synonyms = {},
                    .documentation = key.about};
  const auto add = [&](std::string_view name, std::string_view text, ConfigSource source) {
    std::optional<std::string> shown;
    if (!is_sensitive) shown = std::string(text);
    if (name == key.name && !entry.value.has_value()) entry.value = shown;
    entry.synonyms.push_back({std::string(name), std::move(shown), source});
  };
  const std::vector<std::string_view> names = SynonymsOf(key.name);
  const auto add_from = [&](const ConfigMap& values, ConfigSource source) {
    for (std::string_view name : names) {
      if (auto found = values.find(name); found != values.end()) add(name, found->second, source);
    }
  };
  add_from(server.dynamic_broker, ConfigSource::kDynamicBroker);
  add_from(server.dynamic_default, ConfigSource::kDynamicDefaultBroker);
  add_from(server.static_values, ConfigSource::kStaticBroker);
  for (std::string_view name : names) {
    const ConfigKey* found = FindBrokerConfigKey(name);
    if (found != nullptr && found->default_text.has_value()) {
      add(name, *found->default_text, ConfigSource::kDefault);
    }
  }
  if (!entry.synonyms.empty()) entry.source = entry.synonyms.front().source;
  return entry;
}

}  // namespace

BrokerConfigResult BuildBrokerConfig(const std::vector<ConfigSetting>& all, bool strict) {
  BrokerConfigResult result;
  SettingTable settings(all, strict, result.report);
  BrokerConfig config;
  ReadIdentityAndListeners(settings, config);
  config.connections = ReadConnections(settings);
  config.admin = ReadAdmin(settings);
  config.topic_creation = ReadTopicCreation(settings);
  config.storage = ReadStorage(settings);
  config.memory = ReadMemory(settings);
  config.replication = ReadReplication(settings);
  config.quorum = ReadQuorum(settings, config.is_controller);
  config.elections = ReadElections(settings);
  config.groups = ReadGroups(settings, config.voters.empty() && config.quorum_bootstrap.empty());
  config.fetch_bytes_max = settings.Int32("fetch.max.bytes");
  config.fetch_sessions_max = settings.Int32("max.incremental.fetch.session.cache.slots");
  config.describe_partitions_max = settings.Int32("max.request.partition.size.limit");
  config.producer_id_expiration = Milliseconds(settings, "producer.id.expiration.ms");
  config.producer_id_check_interval =
      Milliseconds(settings, "producer.id.expiration.check.interval.ms");
  config.transaction_timeout_max = Milliseconds(settings, "transaction.max.timeout.ms");
  config.controlled_shutdown = settings.Boolean("controlled.shutdown.enable");
  config.heartbeat_interval = Milliseconds(settings, "broker.heartbeat.interval.ms");
  config.session_timeout = Milliseconds(settings, "broker.session.timeout.ms");
  config.registration_timeout = Milliseconds(settings, "initial.broker.registration.timeout.ms");
  config.shards = settings.Int32("millrace.shards");
  config.io = ReadIo(settings);
  config.stall_warning = Milliseconds(settings, "millrace.stall.warning.ms");
  config.log_level = settings.Text("millrace.log.level");
  CheckTopicDefaults(settings);
  CheckCombinations(settings);
  RefuseUnservedProtection(settings);
  if (!result.report.errors.empty()) return result;
  config.server_values.static_values = settings.Values();
  result.config = std::move(config);
  return result;
}

BrokerConfigResult LoadBrokerConfig(const ConfigInput& input) {
  ConfigReport report;
  std::vector<ConfigSetting> settings;
  PropertiesFile file = ParseProperties(input.file_text);
  for (const PropertiesRemark& error : file.errors) {
    report.errors.push_back(fmt::format("{}:{}: {}", input.file_name, error.line, error.text));
  }
  for (const PropertiesRemark& warning : file.warnings) {
    report.warnings.push_back(
        fmt::format("{}:{}: {}", input.file_name, warning.line, warning.text));
  }
  for (Property& property : file.properties) {
    settings.push_back({std::move(property.key), std::move(property.value),
                        fmt::format("{}:{}", input.file_name, property.line)});
  }
  for (std::string_view argument : input.set_arguments) {
    size_t equals = argument.find('=');
    std::string_view key = TrimConfigText(argument.substr(0, equals));
    if (equals == std::string_view::npos || key.empty()) {
      report.errors.push_back(fmt::format("--set {}: expected NAME=VALUE", argument));
      continue;
    }
    settings.push_back({std::string(key), std::string(argument.substr(equals + 1)), "--set"});
  }
  BrokerConfigResult result = BuildBrokerConfig(settings, input.strict);
  auto append = [](std::vector<std::string>& first, std::vector<std::string>& then) {
    first.insert(first.end(), std::make_move_iterator(then.begin()),
                 std::make_move_iterator(then.end()));
  };
  append(report.errors, result.report.errors);
  append(report.warnings, result.report.warnings);
  append(report.notes, result.report.notes);
  result.report = std::move(report);
  if (!result.report.errors.empty()) result.config = std::nullopt;
  return result;
}

std::vector<ConfigEntry> DescribeBrokerConfig(const ServerConfigValues& server) {
  std::vector<ConfigEntry> entries;
  for (const ConfigKey& key : BrokerConfigKeys()) {
    if (!key.hidden) entries.push_back(DescribeKey(key, server));
  }
  return entries;
}

}  // namespace millrace

// BrokerConfig: what a node is told by server.properties and --set, typed and checked. Pure.
//
// With no settings at all: node 1, broker and controller in one, PLAINTEXT on 127.0.0.1:9092, the
// controller on 127.0.0.1:9093, data under ./millrace-data. Kafka would demand process.roles,
// node.id and controller.listener.names; we demand them only where a quorum is named
// (controller.quorum.voters or controller.quorum.bootstrap.servers), because there a guess could
// join the wrong cluster.
//
// Errors:  all of them at once, each naming the key, its value, where it was set and what is
// accepted. Units:   in the names.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/config/config_source.h"
#include "common/config/listener.h"
#include "common/config/setting_table.h"
#include "common/config/topic_config.h"
#include "common/ids.h"

namespace millrace {

enum class IoChoice { kAuto, kIoUring, kEpoll };

// One entry of listeners with what it speaks. (common/network.h has the open one.)
struct NamedListener {
  Endpoint endpoint;
  SecurityProtocol protocol;

  friend bool operator==(const NamedListener&, const NamedListener&) = default;
};

struct QuorumVoter {
  BrokerId id;
  HostPort address;

  friend bool operator==(const QuorumVoter&, const QuorumVoter&) = default;
};

struct ListenerConfig {
  // For clients and brokers: at least one if the node is a broker.
  std::vector<NamedListener> client;
  // May be empty: a single node without one has no need of it.
  std::vector<NamedListener> controller;

  // What clients are told, by name: all of `client`, or those of them that advertised.listeners
  // names. An empty host stands for the machine's name, port 0 for the port the listener was given.
  std::vector<Endpoint> advertised;
  std::vector<Endpoint> advertised_controller;

  std::vector<std::string> controller_names;  // Upper case. Brokers use the first.
  std::string inter_broker_name;              // One of `client`.
};

struct ConnectionConfig {
  int32_t request_bytes_max;
  std::optional<int32_t> send_buffer_bytes;     // Nothing: the system's choice.
  std::optional<int32_t> receive_buffer_bytes;  // The same.
  int32_t listen_backlog;
  int32_t connections_max;
  int32_t connections_per_ip_max;
  std::map<std::string, int32_t> connections_per_ip_overrides;  // By address, as written.
  int32_t connections_per_second_max;
  std::optional<std::chrono::milliseconds> idle_max;  // Nothing: idle connections stay.
};

struct AdminConfig {
  std::vector<HostPort> listeners;  // Host empty: every interface. None: no endpoint.
  // Left at its default: a node whose port is taken starts without the endpoint.
  bool required = false;
};

struct TopicCreationConfig {
  int32_t partitions_default;
  int16_t replication_factor_default;
  bool auto_create;
  bool may_delete;
};

// 0 in any of the sums of bytes: the server decides from the memory it finds.
struct MemoryConfig {
  int64_t memory_bytes;
  int64_t request_budget_bytes;
  int64_t fetch_output_budget_bytes;
  int64_t tail_cache_bytes;
  int64_t producer_state_bytes;
  int32_t connection_output_bytes_max;
};

struct StorageConfig {
  std::vector<std::string> data_dirs;  // At least one, each once.
  std::vector<std::string> cordoned_dirs;
  std::string metadata_dir;
  int64_t journal_bytes_max;          // Per shard and directory.
  int64_t journal_pending_bytes_max;  // Of the whole node.
  int32_t segment_write_bytes;
  std::chrono::milliseconds segment_write_delay;
  std::chrono::milliseconds slow_write;  // 0: no directory counts as slow.
  std::chrono::milliseconds retention_check_interval;
  std::chrono::milliseconds retention_initial_delay;
  int32_t open_files_max;          // 0: the server decides.
  int64_t scrub_bytes_per_second;  // 0: no scrub.
  std::chrono::hours scrub_interval;
  int64_t move_bytes_per_second;  // 0: no bound.
};

struct ReplicationConfig {
  std::chrono::milliseconds lag_max{0};
  std::chrono::milliseconds high_watermark_interval{0};
  bool read_from_rack = false;  // Consumers read from a replica of their rack (KIP-392).
};

// Of a controller.
struct QuorumConfig {
  bool auto_join = false;                      // It makes itself a voter.
  std::chrono::milliseconds fetch_timeout{0};  // Of a follower that hears no leader.
  int64_t snapshot_bytes = 0;                  // Of records, since the last snapshot.
  std::optional<std::chrono::milliseconds> snapshot_interval;  // Nothing: by size only.
};

// What the active controller does for leaderships of its own accord.
struct LeaderElectionConfig {
  bool balance = true;
  std::chrono::seconds balance_interval{0};
  std::chrono::milliseconds unclean_interval{0};
};

// Consumer groups, and the topic that keeps them.
struct GroupConfig {
  std::chrono::milliseconds session_min{0};
  std::chrono::milliseconds session_max{0};
  std::chrono::milliseconds initial_rebalance_delay{0};
  int32_t members_max = 0;
  int32_t offset_metadata_bytes_max = 0;
  std::chrono::minutes offsets_retention{0};
  std::chrono::milliseconds expiration_interval{0};
  std::chrono::milliseconds commit_timeout{0};
  // Of consumer groups (KIP-848).
  std::chrono::milliseconds consumer_session{0};
  std::chrono::milliseconds consumer_heartbeat{0};
  int32_t consumer_members_max = 0;
  std::vector<std::string> consumer_assignors;  // The default first; never empty.
  std::chrono::milliseconds consumer_assignment_interval{0};
  std::chrono::milliseconds consumer_regex_refresh{0};
  // Bounds of what a single consumer group may be set to.
  std::chrono::milliseconds consumer_session_min{0};
  std::chrono::milliseconds consumer_session_max{0};
  std::chrono::milliseconds consumer_heartbeat_min{0};
  std::chrono::milliseconds consumer_heartbeat_max{0};
  std::chrono::milliseconds consumer_assignment_interval_min{0};
  std::chrono::milliseconds consumer_assignment_interval_max{0};
  // Of live groups, to the consumer protocol and from it.
  bool consumer_upgrade = true;
  bool consumer_downgrade = true;

  int32_t topic_partitions = 0;
  int16_t topic_replication_factor = 0;
  int32_t topic_segment_bytes = 0;
};

struct BrokerConfig {
  BrokerId node_id{1};
  bool is_broker = true;
  bool is_controller = true;
  std::optional<std::string> rack;

  ListenerConfig listeners;
  std::vector<QuorumVoter> voters;  // Empty: this node alone, or found by bootstrap.
  std::vector<HostPort> quorum_bootstrap;

  ConnectionConfig connections;
  AdminConfig admin;
  TopicCreationConfig topic_creation;
  StorageConfig storage;
  MemoryConfig memory;
  ReplicationConfig replication;
  QuorumConfig quorum;
  LeaderElectionConfig elections;
  GroupConfig groups;

  int32_t fetch_bytes_max = 0;
  int32_t fetch_sessions_max = 0;
  int32_t describe_partitions_max = 0;  // In one answer of DescribeTopicPartitions.
  std::chrono::milliseconds producer_id_expiration{0};
  std::chrono::milliseconds producer_id_check_interval{0};
  std::chrono::milliseconds transaction_timeout_max{0};
  bool controlled_shutdown = true;
  std::chrono::milliseconds heartbeat_interval{0};
  std::chrono::milliseconds session_timeout{0};       // Of a broker that is silent.
  std::chrono::milliseconds registration_timeout{0};  // Of a start without a controller.

  int32_t shards = 0;  // 0: see ChooseShards().
  IoChoice io = IoChoice::kAuto;
  std::chrono::milliseconds stall_warning{0};
  std::string log_level;  // DEBUG, INFO, WARN or ERROR.

  // What topics fall back on, and DescribeConfigs tells: every key that was set.
  ServerConfigValues server_values;
};

struct BrokerConfigResult {
  std::optional<BrokerConfig> config;  // Exactly if report.errors is empty.
  ConfigReport report;
};

// Builds the configuration from settings in order of rising precedence (the file's, then --set's).
// A key nobody knows is a warning, or an error if `strict`.
BrokerConfigResult BuildBrokerConfig(const std::vector<ConfigSetting>& settings, bool strict);

// What `millrace server [FILE] [--set name=value]... [--strict]` was given.
struct ConfigInput {
  std::string file_name;  // For messages; empty without a file.
  std::string file_text;
  std::vector<std::string> set_arguments;  // "name=value" each; they win over the file.
  bool strict = false;
};

// Reads the file's text and the arguments, and builds the configuration. Keys that the file sets
// twice are warnings; a malformed escape, or an argument without '=', is an error.
BrokerConfigResult LoadBrokerConfig(const ConfigInput& input);

// What DescribeConfigs tells of a broker: every key that is not hidden. Secrets have no value.
std::vector<ConfigEntry> DescribeBrokerConfig(const ServerConfigValues& server);

}  // namespace millrace

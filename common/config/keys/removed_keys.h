// Keys of older Kafka versions that version 4 has dropped: accepted with a warning that says what
// to use now. Part of the table in config_keys.h, which explains the columns.
//
// Whole families are recognised by prefix in config_keys.cc: zookeeper.*, password.encoder.*.
#pragma once

#include "common/config/keys/config_key.h"

namespace millrace {

constexpr ConfigKey RemovedKey(std::string_view name, std::string_view what_now) {
  return {name,
          ConfigType::kString,
          kNull,
          Any(),
          UpdateScope::kReadOnly,
          Removed(what_now),
          "Of an older Kafka.",
          kHidden};
}

inline constexpr std::string_view kKraftOnly =
    "There is no ZooKeeper: the controllers keep the metadata (process.roles, "
    "controller.quorum.voters).";
inline constexpr std::string_view kPasswordsAreNotEncoded =
    "Passwords are kept in the metadata of the controllers and are not encoded with a key of "
    "yours.";
inline constexpr std::string_view kOneFormat =
    "There is one record format, version 2, and nothing is converted down to older ones.";

inline constexpr ConfigKey kRemovedKeys[] = {
    RemovedKey("zookeeper.connect", kKraftOnly),
    RemovedKey("zookeeper.connection.timeout.ms", kKraftOnly),
    RemovedKey("zookeeper.session.timeout.ms", kKraftOnly),
    RemovedKey("zookeeper.sync.time.ms", kKraftOnly),
    RemovedKey("zookeeper.set.acl", kKraftOnly),
    RemovedKey("zookeeper.max.in.flight.requests", kKraftOnly),
    RemovedKey("zookeeper.metadata.migration.enable", kKraftOnly),
    RemovedKey("zookeeper.clientCnxnSocket", kKraftOnly),
    RemovedKey("broker.id.generation.enable", "Ids are not generated: set node.id."),
    RemovedKey("reserved.broker.max.id", "Ids are not generated: set node.id."),
    RemovedKey("host.name", "Use listeners, e.g. listeners=PLAINTEXT://HOST:9092."),
    RemovedKey("port", "Use listeners, e.g. listeners=PLAINTEXT://HOST:9092."),
    RemovedKey("advertised.host.name",
               "Use advertised.listeners, e.g. advertised.listeners=PLAINTEXT://HOST:9092."),
    RemovedKey("advertised.port",
               "Use advertised.listeners, e.g. advertised.listeners=PLAINTEXT://HOST:9092."),
    RemovedKey("control.plane.listener.name", "Use controller.listener.names."),
    RemovedKey("inter.broker.protocol.version",
               "Versions are agreed between brokers; there is nothing to set."),
    RemovedKey("log.message.format.version", kOneFormat),
    RemovedKey("log.message.downconversion.enable", kOneFormat),
    RemovedKey("log.message.timestamp.difference.max.ms",
               "Use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms."),
    RemovedKey("controlled.shutdown.retry.backoff.ms",
               "A stopping broker asks until it is answered."),
    RemovedKey("offsets.commit.required.acks", "Commits are always acknowledged by all replicas."),
    RemovedKey("group.coordinator.new.enable", "There is one group coordinator."),
    RemovedKey("delegation.token.master.key", "Use delegation.token.secret.key."),
    RemovedKey("eligible.leader.replicas.enable",
               "The feature eligible.leader.replicas.version decides."),
    RemovedKey("unstable.metadata.versions.enable", "No unstable metadata versions are served."),
    RemovedKey("quota.producer.default", "Use a client quota on the default client id."),
    RemovedKey("quota.consumer.default", "Use a client quota on the default client id."),
    RemovedKey("password.encoder.secret", kPasswordsAreNotEncoded),
    RemovedKey("password.encoder.old.secret", kPasswordsAreNotEncoded),
    RemovedKey("password.encoder.keyfactory.algorithm", kPasswordsAreNotEncoded),
    RemovedKey("password.encoder.cipher.algorithm", kPasswordsAreNotEncoded),
    RemovedKey("password.encoder.key.length", kPasswordsAreNotEncoded),
    RemovedKey("password.encoder.iterations", kPasswordsAreNotEncoded),
};

}  // namespace millrace

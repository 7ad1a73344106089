// Keys of our own, all under "millrace.". Part of the table in config_keys.h, which explains the
// columns.
#pragma once

#include "common/config/keys/config_key.h"

namespace millrace {

constexpr ConfigKey MillraceKey(std::string_view name, ConfigType type,
                                std::optional<std::string_view> default_text, ValueRule rule,
                                std::string_view about) {
  return {name, type, default_text, rule, UpdateScope::kReadOnly, Used(), about};
}

inline constexpr ConfigKey kMillraceKeys[] = {
    {"millrace.durability", ConfigType::kString, "disk", OneOf("disk|page-cache"),
     UpdateScope::kClusterWide, Used(),
     "Default of the topic config millrace.durability: acknowledge from the disk, or from memory "
     "as "
     "Kafka does."},
    MillraceKey(
        "millrace.shards", ConfigType::kInt, "0", Between(0, 1024),
        "Shards, each one thread with an I/O ring of its own; 0: one per usable core, and one in "
        "all where there are fewer than four."),
    MillraceKey("millrace.admin.listeners", ConfigType::kList, "127.0.0.1:9644", Any(),
                "Where /livez, /readyz, /status and /metrics are served, HOST:PORT, ...; without a "
                "host on every interface, empty: nowhere. Whoever reaches it may read it."),
    MillraceKey("millrace.io", ConfigType::kString, "auto", OneOf("auto|io_uring|epoll"),
                "How to talk to the kernel; auto takes io_uring where it is allowed, else epoll."),
    MillraceKey(
        "millrace.memory.bytes", ConfigType::kLong, "0", AtLeast(0),
        "Memory that the budgets below share out; 0: a part of what the container or machine "
        "has."),
    MillraceKey("millrace.request.budget.bytes", ConfigType::kLong, "0", AtLeast(0),
                "Bytes of requests read and not yet answered, the whole node; when it is used up "
                "sockets are not read. 0: a part of millrace.memory.bytes."),
    MillraceKey("millrace.fetch.output.budget.bytes", ConfigType::kLong, "0", AtLeast(0),
                "Bytes of answers not yet taken by clients, the whole node. 0: a part of "
                "millrace.memory.bytes."),
    MillraceKey("millrace.connection.output.bytes.max", ConfigType::kInt, "4194304", AtLeast(65536),
                "Bytes of answers one slow client may keep in memory; beyond that its data is read "
                "again later."),
    MillraceKey("millrace.tail.cache.bytes", ConfigType::kLong, "0", AtLeast(0),
                "Newest data kept in memory for consumers that keep up, the whole node; more saves "
                "reads. 0: a part of millrace.memory.bytes."),
    MillraceKey("millrace.producer.state.bytes", ConfigType::kLong, "0", AtLeast(0),
                "What partitions remember of idempotent producers, the whole node, at some 250 "
                "bytes for a producer and partition; beyond that those silent for longest are "
                "forgotten. 0: a quarter of millrace.memory.bytes."),
    MillraceKey(
        "millrace.journal.bytes.max", ConfigType::kLong, "268435456", AtLeast(8388608),
        "Size that one journal may grow to, per shard and data directory; more lets segments "
        "be written in larger pieces, less shortens recovery."),
    MillraceKey(
        "millrace.journal.pending.bytes.max", ConfigType::kLong, "67108864", AtLeast(1048576),
        "Bytes taken in and not yet in segment files, the whole node; beyond that producers "
        "wait."),
    MillraceKey("millrace.segment.write.bytes", ConfigType::kInt, "1048576", AtLeast(4096),
                "Journaled bytes of a partition are written to its segment when there are this "
                "many."),
    MillraceKey("millrace.segment.write.delay.ms", ConfigType::kInt, "1000", AtLeast(1),
                "Or when the oldest of them has waited this long."),
    MillraceKey("millrace.disk.slow.ms", ConfigType::kInt, "500", Between(0, 60'000),
                "A log directory where most durable writes take this long is slow: others lead "
                "what lies in it, where they are in sync and their own is not. 0: none is."),
    MillraceKey("millrace.scrub.bytes.per.second", ConfigType::kLong, "1048576", AtLeast(0),
                "How fast what is on disk is read and compared with its checksums, each shard; 0: "
                "never."),
    MillraceKey("millrace.scrub.interval.hours", ConfigType::kInt, "168", AtLeast(1),
                "Between the beginnings of two such rounds."),
    MillraceKey("millrace.log.move.bytes.per.second", ConfigType::kLong, "67108864", AtLeast(0),
                "How fast a replica is copied to another directory of the node "
                "(AlterReplicaLogDirs); 0: as fast as it goes."),
    MillraceKey(
        "millrace.open.files.max", ConfigType::kInt, "0", AtLeast(0),
        "Segment and index files kept open; 0: half of the descriptors that the process may "
        "have, from 64 to 8192."),
    MillraceKey("millrace.stall.warning.ms", ConfigType::kInt, "10", AtLeast(1),
                "A shard that is busy with one piece of work for this long says so in the log."),
    MillraceKey("millrace.log.level", ConfigType::kString, "INFO",
                OneOfAnyCase("DEBUG|INFO|WARN|ERROR"), "Lines below this level are not logged."),
};

}  // namespace millrace

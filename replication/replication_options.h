// What the replication streams of a shard are told, and what they count.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/ids.h"
#include "common/metrics/metrics.h"
#include "common/network.h"
#include "common/time.h"

namespace millrace {

// How a stream to a peer ended, or why there is none: what this node can testify (DESIGN §7).
enum class StreamLoss {
  kBroken,   // It was there and ended: the peer's process is gone, or its machine refuses.
  kRefused,  // Nobody listens there.
  kSilent,   // Nothing comes, nothing breaks: a pause, a cut, a machine without power.
};

struct ReplicationOptions {
  std::string cluster_id;
  BrokerId self{0};
  uint32_t shards = 1;  // Of this node.

  // Batches of one Data frame; a larger batch comes alone. Raise: fewer frames for a busy partition;
  // the others wait longer behind it.
  size_t data_bytes_max = size_t{256} << 10;
  // What one send gathers. Raise: fewer system calls; a slow follower pins more memory.
  size_t send_bytes_max = size_t{1} << 20;
  // The largest batch that is taken from a leader: the largest that a client could have sent.
  size_t batch_bytes_max = 104857600;
  // What a leader may send ahead of what was appended here. Raise: fuller pipes over long ways;
  // costs that much in socket buffers.
  size_t credit_bytes = size_t{8} << 20;
  // One read from disk for a follower that is behind.
  size_t catch_up_read_bytes = size_t{512} << 10;
  // What is read from disk for one follower's shard; 0: no limit. Raise: it is back sooner; live
  // partitions wait longer for the disk and the network.
  uint64_t catch_up_bytes_per_second = uint64_t{256} << 20;
  // High watermarks and log starts go with whatever else is sent, or alone after a while. A log start
  // after so long: somebody waits for its DeleteRecords. Raise: fewer frames; those wait longer.
  Duration start_delay = milliseconds(5);
  // A high watermark after so long: whoever does not read from followers gets nothing from it, and a
  // frame for each batch wakes every follower once more. Raise: less work at low rates; consumers of
  // followers see later what is committed. Whoever sends consumers there wants it short.
  Duration high_watermark_delay = milliseconds(50);
  // A stream without other news says so this often. Raise: less idle work.
  Duration keep_alive = seconds(1);
  // After so much silence a stream is given up. Lower: half-open streams are found sooner; a peer
  // that was paused is taken for one.
  Duration silence_max = seconds(6);
  // For a connection and its hello.
  Duration connect_max = seconds(2);
  // Between two tries to connect, and to subscribe: doubled from the first to the second, then
  // shortened by up to half of it by chance.
  Duration again_min = milliseconds(5);
  Duration again_max = milliseconds(1000);

  // A stream to `peer`, as it was registered under `epoch`, was lost or could not be made. Called
  // on the shard, from the loop.
  std::function<void(BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how)> on_loss;
  // One with `peer` stands, which says that it has this epoch. Called likewise.
  std::function<void(BrokerId peer, BrokerEpoch epoch)> on_stream = {};
  // The leader `peer` has answered ReplicationShard::AskEcho(). Called likewise.
  std::function<void(BrokerId peer, uint64_t number)> on_echo = {};
};

// What the metadata says about other brokers; always the latest that this shard has applied.
class ReplicationPeers {
 public:
  virtual ~ReplicationPeers() = default;
  // Of its registration; nothing for one that is not registered. Also asked for this broker itself.
  virtual std::optional<BrokerEpoch> EpochOf(BrokerId broker) const = 0;
  // Of its inter-broker listener.
  virtual std::optional<SocketAddress> AddressOf(BrokerId broker) const = 0;
};

// Of one shard.
struct ReplicationMetrics {
  Counter bytes_out;
  Counter bytes_in;
  Counter catch_up_bytes;  // Of bytes_out: read from disk.
  Counter frames_dropped;  // Under handles that had ended.
  Counter truncations;     // Answers after which a log here was cut.
  // Of replicas for which a throttle is meant, while it has a rate.
  Counter throttled_bytes_out;
  Counter throttled_bytes_in;
  Counter corrupt;  // Batches from a leader that failed their checksum.
  Counter streams_lost;
  Histogram failover;  // From the loss of the stream to a partition's leader to leading it here.
};

}  // namespace millrace

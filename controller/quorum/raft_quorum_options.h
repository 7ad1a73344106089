// What a replica of the metadata log is told: who it is, whom it shares the log with, and its
// patience.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/network.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "controller/quorum/raft_peers.h"
#include "controller/raft/raft_types.h"
#include "controller/raft/voter_set.h"

namespace millrace {

// What is said behind the damage of a store that cannot be restored.
inline constexpr std::string_view kNobodyToRestoreFrom =
    "this is the only controller, so there is nobody to restore it from: put a copy of its "
    "millrace-state/ back, or remove that folder and .millrace_started beside it to begin without "
    "any metadata";

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kRereadsProposals = true;
#else
inline constexpr bool kRereadsProposals = false;
#endif

struct RaftQuorumOptions {
  BrokerId node_id{1};
  std::string cluster_id;
  // Of the metadata log: directory.id of its meta.properties. A store that was given another
  // identity (after damage) keeps that one.
  DirectoryId directory{0, 0};
  // controller.quorum.voters: ids and endpoints, the same on every controller, this one among them
  // when it votes. Empty: the quorum was formatted, or is found through `bootstrap`.
  raft::VoterSet static_voters;
  // What an empty store begins with: the voters of a new quorum, directories and all (`storage
  // format --standalone`, `--initial-controllers`; a node without configuration: itself).
  raft::VoterSet initial_voters;
  // Why an empty store must not begin: what this replica was formatted with cannot be used. One
  // that holds something does not mind.
  absl::Status first_start;
  // There was a store of this replica before. One that is empty now was lost, and what was promised
  // with it: the replica goes on as another, as after damage.
  bool had_store = false;
  // Awaited before the store holds a term, and so a promise: sees to it that `had_store` is true
  // from now on, and durable. Null: nobody removes stores.
  std::function<Task<absl::Status>()> remember_store;
  // When this replica last wrote it was the only voter, so nobody else can have the log: what
  // `remember_alone` was told. What it is configured with may name it by any of its addresses, and
  // those it began with may have been removed since.
  bool alone = false;
  // Awaited before the store holds other voters than it did. Null: nobody asks.
  std::function<Task<absl::Status>(bool alone)> remember_alone;
  // Awaited when the store turns out to be damaged while it is open (kDataLoss of a write): the next
  // start is not to open it. Null: it is opened again.
  std::function<Task<absl::Status>()> remember_damage;
  // controller.quorum.bootstrap.servers: who may know the quorum, for a replica that does not.
  std::vector<SocketAddress> bootstrap;
  // Where other controllers reach this one; enters the voter set when this replica leads.
  std::vector<raft::VoterEndpoint> endpoints;
  // controller.quorum.auto.join.enable: while it is no voter, this replica asks the leader to make it
  // one, which is reached at `endpoints` (auto_join.h). Without endpoints it does not.
  bool auto_join = false;
  // The listener by which controllers dial each other: the first of controller.listener.names.
  std::string listener = "CONTROLLER";

  // Smaller: elections after a broken connection begin sooner (within three ticks); larger: fewer
  // wake-ups.
  milliseconds tick{40};
  // Silence after which an election begins: this to twice as much. Smaller: a silent machine is
  // replaced sooner; larger: a slow one is not mistaken for it.
  milliseconds election_timeout{1000};
  // Smaller: followers learn of commits sooner where nothing else is said; larger: less talk.
  milliseconds heartbeat{120};
  // Records after which a snapshot is taken, and how old one may get while there is anything new
  // (nothing: as old as it likes). Smaller: less to replay at a start, less memory; larger: fewer
  // snapshots are written.
  int64_t snapshot_bytes = int64_t{20} << 20;
  std::optional<Duration> snapshot_interval = std::chrono::hours(1);
  // At which a snapshot is written. Smaller: fewer commits wait for the store to make room, and for
  // the disk; larger: the log is cut sooner. A hundred thousand partitions are about 6 MB.
  int64_t snapshot_bytes_per_second = int64_t{8} << 20;
  size_t uncommitted_bytes_max = size_t{64} << 20;
  // One entry: what fits into a message between controllers.
  size_t entry_bytes_max = size_t{6} << 20;
  // Entries kept behind a snapshot for followers that are a little late.
  int64_t entries_kept = 1000;
  // CHECKs that what is proposed says, encoded, what was decided: this replica applies it as it was
  // decided, the others as they read it, and a bug of the encoder would make them differ. It costs
  // what reading each entry once more does: for simulations and builds with sanitizers.
  bool rereads_proposals = kRereadsProposals;
  // A stop waits so long for another voter to take the leadership over.
  milliseconds hand_over{500};

  RaftPeersOptions peers;
  // Told once, when the store fails or the log cannot be applied: the node is to stop.
  std::function<void(const absl::Status& why)> on_failure;

  absl::Status Validate() const;
  // Whether anybody else could have the log.
  bool HasOthers() const;
};

}  // namespace millrace

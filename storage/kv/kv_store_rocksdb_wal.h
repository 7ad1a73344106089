// What RocksDB's write-ahead log tells about its own losses.
//
// RocksDB replays its log up to the first record that it cannot read. After power loss that is
// right: what was not synced may have holes. But a flipped bit in what *was* synced ends the replay
// just the same, and everything behind it, votes and acknowledged records, would be gone without a
// word. So every write of ours carries a mark, which says through which sequence number the store
// was durable before it; a mark found behind the damage that promises more than the replay gave
// proves that this was no power loss. (LogKvStore does the same: RecordHeader::synced_bytes.)
//
// Not told from a torn write: damage behind which no record can be read, so that nobody speaks for
// it; as a rule that is the last page. Nor from an end: what is lost from the start of a record on, be
// it that the file is shorter, or zeros to its end. Zeros to the end are what a log that was not closed
// has ahead of its records (kv_store_rocksdb_files.h); zeros in front of anything else are damage.
//
// Pure. The format of RocksDB's log: blocks of 32 KiB; a fragment has a masked CRC-32C, a length, a
// type (whole, first, middle, last) and a payload, and never crosses a block.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

// The mark of a write, to go first into its batch as log data. `store` is the store's own secret
// name (RocksDB's IDENTITY): no value that a client chose can pass for a mark.
std::string KvSyncMark(std::string_view store, uint64_t synced_through);

struct KvWalScan {
  // A record cannot be read, and it or what follows is more than zeros: the log is torn there, or has
  // a hole.
  bool damaged = false;
  // The most that a mark of this file says, wherever it stands.
  uint64_t synced_through = 0;

  bool operator==(const KvWalScan&) const = default;
};

// `file`: the whole log file.
KvWalScan ScanKvWal(std::span<const uint8_t> file, std::string_view store);

}  // namespace millrace

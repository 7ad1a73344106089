// The bytes of a `.snapshot` file: producer state up to (not including) the offset in its name.
//
// Kafka's version 1 keeps one batch per producer. After a crash that is too little: a client with
// five batches in flight would be told that the first four are out of order. So we write the older
// ones behind Kafka's entries, where Kafka's readers do not look (their CRC covers the whole file,
// their parser stops after the entries), and read files without them too.
//
//   int16 version = 1, uint32 CRC-32C of the bytes from 6 on, int32 count, then per producer 46
//   bytes: int64 id, int16 epoch, int32 last sequence, int64 last offset, int32 offset delta, int64
//   timestamp, int32 coordinator epoch, int64 first offset of the open transaction. -1 says "none".
//   Ours, if any producer has older batches: "MRwindow", int32 count, then per producer int64 id,
//   int8 batches, and per batch, oldest first: int32 last sequence, int64 last offset, int32 offset
//   delta, int64 timestamp.
//
// Shard:  any; pure.
// Errors: Decode: kDataLoss for bytes that are damaged or not version 1.
// Source: the ProducerSnapshot schema of Kafka 4.4.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>

#include "common/bytes/slice.h"
#include "common/time.h"
#include "storage/producer/producer_state.h"

namespace millrace {

Slice EncodeProducerSnapshot(const ProducerState& state);

// Every producer counts as active at `now`: when it was last seen is not stored.
absl::StatusOr<ProducerState> DecodeProducerSnapshot(std::span<const uint8_t> bytes, Timestamp now);

}  // namespace millrace

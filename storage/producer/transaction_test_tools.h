// For tests: batches of interleaved transactions, and a dumb model of what they mean, computed from
// the list of all batches each time.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_random.h"
#include "storage/record/batch_builder.h"
#include "storage/record/transaction_marker.h"
#include "storage/segment/aborted_index.h"

namespace millrace {

inline BatchView TransactionalBatch(int64_t producer, int32_t sequence, int records_behind_first,
                                    size_t value_bytes = 20) {
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(producer), ProducerEpoch(0), Sequence(sequence)};
  options.transactional = true;
  BatchBuilder builder(options);
  const std::string value(value_bytes, 't');
  for (int i = 0; i <= records_behind_first; ++i) {
    builder.Append(Timestamp(1000), std::nullopt,
                   std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
  }
  return *builder.Build();
}

inline BatchView MarkerBatch(int64_t producer, int16_t epoch, bool commit,
                             int32_t coordinator_epoch = 3) {
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(producer), ProducerEpoch(epoch), std::nullopt};
  options.transactional = options.control = true;
  std::array<uint8_t, 4> key = {0, 0, 0, static_cast<uint8_t>(commit ? 1 : 0)};
  std::array<uint8_t, 6> value = {};
  StoreBig<int32_t>(value.data() + 2, coordinator_epoch);
  BatchBuilder builder(options);
  // The time of the data: a snapshot, as Kafka's, has one time for a producer and its last batch.
  builder.Append(Timestamp(1000), key, value);
  return *builder.Build();
}

class TransactionModel {
 public:
  // A batch that may follow: data of a transaction, a marker, or neither.
  BatchView Next(SimRandom& random) const {
    const auto producer = static_cast<int64_t>(random.Between(1, 5));
    const size_t bytes = random.Between(1, 150);
    const bool open = Replay().open.contains(ProducerId(producer));
    switch (random.Below(4)) {
      case 0:
        if (open) return MarkerBatch(producer, 0, random.Coin());
        break;
      case 1: {
        BatchBuilder builder;
        const std::vector<uint8_t> value(bytes, 'n');
        builder.Append(Timestamp(1500), std::nullopt, value);
        return *builder.Build();
      }
      default:
        break;
    }
    return TransactionalBatch(producer, NextSequence(ProducerId(producer)),
                              static_cast<int>(random.Below(4)), bytes);
  }

  void Appended(const BatchHeader& header, std::optional<TransactionMarker> marker, Offset base) {
    const Offset next = base + OffsetDelta(int64_t{header.last_offset_delta} + 1);
    items_.push_back({base, next, header.producer, header.record_count,
                      header.attributes.is_transactional(), marker});
  }
  void Cut(Offset end) {
    while (!items_.empty() && items_.back().next > end) items_.pop_back();
  }

  Offset end() const { return items_.empty() ? Offset(0) : items_.back().next; }
  // The beginning of some batch.
  Offset BatchAt(SimRandom& random) const {
    return items_.empty() ? Offset(0) : items_[random.Below(items_.size())].base;
  }
  size_t aborted_count() const { return Replay().aborted.size(); }

  // Where the oldest open transaction begins that has records at or above `start`.
  std::optional<Offset> FirstOpen(Offset start) const {
    std::optional<Offset> first;
    for (const auto& [producer, begin] : Replay().open) {
      first = std::min(first.value_or(begin), begin);
    }
    return first ? std::max(*first, start) : first;
  }

  std::vector<AbortedTransaction> Overlapping(Offset from, Offset to) const {
    std::vector<AbortedTransaction> found;
    for (const AbortedTransaction& one : Replay().aborted) {
      if (one.last >= from && one.first < to) found.push_back(one);
    }
    std::ranges::sort(found, {}, &AbortedTransaction::first);
    return found;
  }

 private:
  struct Item {
    Offset base;
    Offset next;
    std::optional<BatchProducer> producer;
    int32_t records;
    bool transactional;
    std::optional<TransactionMarker> marker;
  };
  struct Meaning {
    std::map<ProducerId, Offset> open;
    std::vector<AbortedTransaction> aborted;
  };

  Meaning Replay() const {
    Meaning meaning;
    for (const Item& item : items_) {
      if (!item.producer || !item.transactional) continue;
      const ProducerId id = item.producer->id;
      if (!item.marker) {
        meaning.open.try_emplace(id, item.base);
        continue;
      }
      auto open = meaning.open.find(id);
      if (open == meaning.open.end()) continue;
      const Offset first = open->second;
      meaning.open.erase(open);
      if (item.marker->commit) continue;
      Offset stable = item.next;
      for (const auto& [other, begin] : meaning.open) stable = std::min(stable, begin);
      meaning.aborted.push_back({id, first, item.base, stable});
    }
    return meaning;
  }

  int32_t NextSequence(ProducerId id) const {
    for (auto item = items_.rbegin(); item != items_.rend(); ++item) {
      if (!item->producer || item->producer->id != id || item->marker) continue;
      return item->producer->base_sequence->value() + item->records;
    }
    return 0;
  }

  std::vector<Item> items_;
};

}  // namespace millrace

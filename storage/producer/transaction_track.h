// TransactionTrack: which transactions have records in a stretch of a log that is read from its
// beginning, so that compaction drops those of aborted ones, and a marker only when nothing is left
// that it ends.
//
// Shard:  any; pure.
// Bounds: the aborted transactions that overlap what is read, and one entry per producer with a
//         transaction in it.
// Source: rules 13.5, 13.6 of Kafka's broker behaviour; KIP-98, KIP-534.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/ids.h"
#include "storage/record/record_batch.h"
#include "storage/segment/aborted_index.h"

namespace millrace {

class TransactionTrack {
 public:
  // An aborted transaction that overlaps what is read from here on. The same again changes nothing.
  void AddAborted(const AbortedTransaction& transaction);

  // A batch of data. True: it belongs to an aborted transaction.
  bool OnData(const BatchHeader& batch);

  struct Marker {
    // No batch of its transaction was seen, not even an empty one.
    bool ends_nothing;
    // The transaction that it ends, where that was aborted and is known.
    std::optional<AbortedTransaction> aborted;
  };
  Marker OnMarker(const BatchHeader& batch, bool commit);

 private:
  struct Aborted {
    AbortedTransaction transaction;
    bool seen = false;
  };

  // Transactions that begin at or below `last` have begun.
  void BeginUpTo(Offset last);

  std::map<std::pair<Offset, ProducerId>, AbortedTransaction> ahead_;
  std::map<ProducerId, Aborted> aborted_;
  std::set<ProducerId> committed_;  // With data, and not ended yet.
};

}  // namespace millrace

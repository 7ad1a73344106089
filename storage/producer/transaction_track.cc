#include "storage/producer/transaction_track.h"

namespace millrace {

void TransactionTrack::AddAborted(const AbortedTransaction& transaction) {
  auto found = aborted_.find(transaction.producer);
  if (found != aborted_.end() && found->second.transaction.first == transaction.first) return;
  ahead_.insert_or_assign({transaction.first, transaction.producer}, transaction);
}

void TransactionTrack::BeginUpTo(Offset last) {
  while (!ahead_.empty() && ahead_.begin()->first.first <= last) {
    const AbortedTransaction& transaction = ahead_.begin()->second;
    // A marker that was removed cannot end the one before it; a producer has one at a time.
    aborted_.insert_or_assign(transaction.producer, Aborted{transaction});
    ahead_.erase(ahead_.begin());
  }
}

bool TransactionTrack::OnData(const BatchHeader& batch) {
  BeginUpTo(batch.last_offset());
  if (!batch.attributes.is_transactional() || !batch.producer) return false;
  auto found = aborted_.find(batch.producer->id);
  // What lies behind its marker, or before its beginning, is not of it.
  if (found != aborted_.end() && batch.base_offset >= found->second.transaction.first &&
      batch.base_offset < found->second.transaction.last) {
    found->second.seen = true;
    return true;
  }
  committed_.insert(batch.producer->id);
  return false;
}

TransactionTrack::Marker TransactionTrack::OnMarker(const BatchHeader& batch, bool commit) {
  BeginUpTo(batch.last_offset());
  const ProducerId id = batch.producer->id;
  if (commit) return {committed_.erase(id) == 0, std::nullopt};
  auto found = aborted_.find(id);
  // Of a transaction that the index does not name no record was taken for an aborted one.
  if (found == aborted_.end() || found->second.transaction.last != batch.base_offset) {
    return {committed_.erase(id) == 0, std::nullopt};
  }
  const Marker marker{!found->second.seen, found->second.transaction};
  aborted_.erase(found);
  return marker;
}

}  // namespace millrace

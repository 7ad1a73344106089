#include "storage/scanned_batches.h"

#include <algorithm>
#include <iterator>

#include "common/check.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_frame.h"

namespace millrace {
namespace {

// No journal takes it, so only its segment's sync makes it durable.
bool IsTooLarge(const ScannedBatch& batch) {
  return JournalAppendBytes(batch.bytes) > Journal::Options().entry_bytes_max();
}

}  // namespace

void ScannedBatches::LimitTo(std::optional<JournaledBases> journaled) {
  MR_CHECK(batches_.empty());
  limited_ = true;
  journaled_ = journaled;
}

bool ScannedBatches::IsJournaled(Offset base) const {
  return journaled_ && journaled_->first <= base && base <= journaled_->last;
}

void ScannedBatches::Add(const ScannedBatch& batch) {
  CutFrom(batch.base);
  if (limited_ && !IsJournaled(batch.base) && !IsTooLarge(batch)) {
    // What lies in front of it does not go on behind it.
    while (!batches_.empty() && !IsJournaled(batches_.back().base)) batches_.pop_back();
  }
  batches_.push_back(batch);
}

bool ScannedBatches::Has(const BatchHeader& header) const {
  const auto at = std::ranges::lower_bound(batches_, header.base_offset, {}, &ScannedBatch::base);
  return at != batches_.end() && at->base == header.base_offset &&
         at->next == header.next_offset() && at->crc == header.crc;
}

void ScannedBatches::CutFrom(Offset end) {
  while (!batches_.empty() && batches_.back().base >= end) batches_.pop_back();
}

const ScannedBatch* ScannedBatches::FirstUnsynced(std::optional<Offset> base) const {
  auto first =
      base ? std::ranges::lower_bound(batches_, *base, {}, &ScannedBatch::base) : batches_.end();
  while (first != batches_.begin() && IsTooLarge(*std::prev(first))) --first;
  return first == batches_.end() ? nullptr : &*first;
}

}  // namespace millrace

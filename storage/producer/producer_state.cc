#include "storage/producer/producer_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

// How much room an eviction makes at once, so that its pass over all entries is rare.
constexpr size_t kEvictedAtOnce = kProducersMax / 16;

absl::Status OutOfOrder(const BatchProducer& producer, std::string why) {
  return MakeError(ErrorKind::kOutOfOrderSequence,
                   fmt::format("Out of order sequence number for producer {} epoch {}: {}",
                               producer.id, producer.epoch, why));
}

}  // namespace

const ProducerBatch* ProducerEntry::FindDuplicate(const BatchHeader& batch) const {
  if (batch.producer->epoch != epoch_ || !batch.producer->base_sequence.has_value()) return nullptr;
  for (const ProducerBatch& kept : batches()) {
    if (kept.first_sequence() == *batch.producer->base_sequence &&
        kept.last_sequence == batch.last_sequence()) {
      return &kept;
    }
  }
  return nullptr;
}

void ProducerEntry::AddBatch(const ProducerBatch& batch) {
  if (count_ == kProducerBatchesKept) {
    std::shift_left(batches_.begin(), batches_.end(), 1);
    --count_;
  }
  batches_[count_++] = batch;
}

void ProducerEntry::SetEpoch(ProducerEpoch epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  count_ = 0;
}

bool operator==(const ProducerEntry& a, const ProducerEntry& b) {
  return a.epoch_ == b.epoch_ && std::ranges::equal(a.batches(), b.batches()) &&
         a.last_timestamp == b.last_timestamp && a.coordinator_epoch == b.coordinator_epoch &&
         a.open_transaction == b.open_transaction;
}

ProducerState::ProducerState(ProducerState&& from) noexcept { *this = std::move(from); }

ProducerState& ProducerState::operator=(ProducerState&& from) noexcept {
  MR_CHECK(from.ledger_ == nullptr);
  entries_ = std::move(from.entries_);
  open_ = std::move(from.open_);
  ended_ = std::move(from.ended_);
  for (auto it = entries_.begin(); it != entries_.end();) {
    auto& [id, entry] = *it++;  // The ledger may send away one that was counted before.
    Count(id, entry);
  }
  return *this;
}

void ProducerState::Count(ProducerId id, ProducerEntry& entry) {
  if (ledger_ != nullptr)
    ledger_->Heard(entry.place, *this, id, entry.open_transaction.has_value());
}

const ProducerEntry* ProducerState::Find(ProducerId id) const {
  auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second;
}

absl::StatusOr<std::optional<DuplicateBatch>> ProducerState::Check(const BatchHeader& batch) const {
  if (!batch.producer.has_value() || batch.attributes.is_control()) return std::nullopt;
  const BatchProducer& producer = *batch.producer;
  const ProducerEntry* entry = Find(producer.id);
  // KIP-360: it may have been expired, or its records deleted; its client cannot know where to go
  // on.
  if (entry == nullptr) return std::nullopt;

  // Before all other tests: a batch sent again is behind the sequence that is expected.
  if (const ProducerBatch* kept = entry->FindDuplicate(batch)) {
    return DuplicateBatch{.base_offset = kept->base_offset(),
                          .last_offset = kept->last_offset,
                          .timestamp = kept->timestamp};
  }
  if (producer.epoch < entry->epoch()) {
    return MakeError(ErrorKind::kInvalidProducerEpoch,
                     fmt::format("Epoch {} of producer {} is smaller than the last seen epoch {}",
                                 producer.epoch, producer.id, entry->epoch()));
  }
  Sequence first = producer.base_sequence.value_or(Sequence(0));
  if (producer.epoch > entry->epoch()) {
    if (first.value() != 0) {
      return OutOfOrder(producer, fmt::format("a new epoch must start at 0, not at {}", first));
    }
  } else {
    std::optional<Sequence> last = entry->last_sequence();
    Sequence expected = last.has_value() ? AdvanceSequence(*last, 1) : Sequence(0);
    if (first != expected) {
      return OutOfOrder(producer, fmt::format("{} (incoming seq. number), {} (current end sequence "
                                              "number)",
                                              first, last.has_value() ? last->value() : -1));
    }
  }
  if (entry->open_transaction.has_value() && !batch.attributes.is_transactional()) {
    return MakeError(
        ErrorKind::kInvalidTxnState,
        fmt::format("Producer {} has an open transaction: expected a transactional write",
                    producer.id));
  }
  return std::nullopt;
}

std::optional<CompletedTransaction> ProducerState::Apply(
    const BatchHeader& batch, Timestamp now, const std::optional<TransactionMarker>& marker) {
  if (!batch.producer.has_value()) return std::nullopt;
  if (batch.attributes.is_control() && !marker.has_value()) return std::nullopt;
  const ProducerId id = batch.producer->id;
  auto [it, added] = entries_.try_emplace(id, batch.producer->epoch);
  ProducerEntry& entry = it->second;
  entry.SetEpoch(batch.producer->epoch);
  entry.last_timestamp = batch.max_timestamp;
  entry.last_active = now;
  std::optional<CompletedTransaction> completed;
  if (marker.has_value()) {
    entry.coordinator_epoch = marker->coordinator_epoch;
    completed = EndTransaction(id, entry, batch.base_offset, !marker->commit);
  } else {
    if (batch.producer->base_sequence.has_value()) {
      entry.AddBatch({.last_sequence = batch.last_sequence(),
                      .offset_delta = batch.last_offset_delta,
                      .last_offset = batch.last_offset(),
                      .timestamp = batch.max_timestamp});
    }
    if (batch.attributes.is_transactional() && !entry.open_transaction.has_value()) {
      entry.open_transaction = batch.base_offset;
      open_.emplace(batch.base_offset, id);
    }
  }
  Count(id, entry);
  if (added) EvictIfFull();
  return completed;
}

std::optional<CompletedTransaction> ProducerState::ApplyBatch(const BatchView& batch,
                                                              Timestamp now) {
  if (!batch.header().attributes.is_control()) return Apply(batch.header(), now);
  absl::StatusOr<std::optional<TransactionMarker>> marker = ParseTransactionMarker(batch);
  return Apply(batch.header(), now, marker.ok() ? *marker : std::nullopt);
}

AbortedTransaction AbortedOf(const CompletedTransaction& completed) {
  return {completed.producer, completed.first, completed.last, completed.last_stable};
}

std::optional<CompletedTransaction> ProducerState::EndTransaction(ProducerId id,
                                                                  ProducerEntry& entry,
                                                                  Offset marker_offset,
                                                                  bool aborted) {
  // A marker for a partition that got no records of the transaction.
  if (!entry.open_transaction.has_value()) return std::nullopt;
  const Offset first = *entry.open_transaction;
  entry.open_transaction.reset();
  open_.erase(first);
  ended_.emplace(marker_offset, first);
  return CompletedTransaction{
      .producer = id,
      .first = first,
      .last = marker_offset,
      .aborted = aborted,
      .last_stable = open_.empty() ? marker_offset + OffsetDelta(1) : open_.begin()->first};
}

std::optional<Offset> ProducerState::first_unstable() const {
  std::optional<Offset> first;
  if (!open_.empty()) first = open_.begin()->first;
  for (const auto& [marker, begin] : ended_) first = std::min(first.value_or(begin), begin);
  return first;
}

void ProducerState::OnCommitted(Offset high_watermark) {
  ended_.erase(ended_.begin(), ended_.lower_bound(high_watermark));
}

void ProducerState::Clear() {
  entries_.clear();
  open_.clear();
  ended_.clear();
}

void ProducerState::Restore(ProducerId id, const ProducerEntry& entry) {
  auto [it, added] = entries_.try_emplace(id, entry);
  if (!added) {
    if (it->second.open_transaction.has_value()) open_.erase(*it->second.open_transaction);
    it->second = entry;
  }
  if (entry.open_transaction.has_value()) open_.insert_or_assign(*entry.open_transaction, id);
  Count(id, it->second);
  EvictIfFull();
}

ProducerState::ExpiryPass ProducerState::Expire(Timestamp now, milliseconds expiration) {
  ExpiryPass pass;
  pass.dropped = std::erase_if(entries_, [&](const auto& item) {
    const ProducerEntry& entry = item.second;
    if (!entry.open_transaction.has_value() &&
        now.ms() - entry.last_active.ms() >= expiration.count()) {
      return true;
    }
    pass.oldest = std::min(pass.oldest.value_or(entry.last_active), entry.last_active);
    return false;
  });
  return pass;
}

void ProducerState::EvictIfFull() {
  if (entries_.size() <= kProducersMax) return;
  std::vector<std::pair<Timestamp, ProducerId>> idle;
  for (const auto& [id, entry] : entries_) {
    if (!entry.open_transaction.has_value()) idle.emplace_back(entry.last_active, id);
  }
  size_t evicted = std::min(kEvictedAtOnce, idle.size());
  std::ranges::partial_sort(idle, idle.begin() + static_cast<ptrdiff_t>(evicted));
  for (size_t i = 0; i < evicted; ++i) entries_.erase(idle[i].second);
}

}  // namespace millrace

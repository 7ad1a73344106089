#include "storage/journal_survey.h"

#include <absl/status/statusor.h>

#include <algorithm>
#include <variant>

#include "storage/record/record_batch.h"

namespace millrace {

std::pair<TopicPartitionId, IncarnationId> OwnerOf(const JournalEntry& entry) {
  return std::visit([](const auto& one) { return std::pair(one.partition, one.incarnation); },
                    entry);
}

Task<absl::Status> JournalSurvey::OnJournalEntry(JournalReplay replay) {
  const auto owner = OwnerOf(replay.entry);
  if (std::holds_alternative<JournalDelete>(replay.entry)) {
    const auto last = last_.find(owner.first);
    if (last != last_.end() && last->second == owner.second) last_.erase(last);
    co_return absl::OkStatus();
  }
  last_.insert_or_assign(owner.first, owner.second);
  Said& said = said_[owner];
  if (const auto* append = std::get_if<JournalAppend>(&replay.entry)) {
    const absl::StatusOr<BatchView> batch = BatchView::Parse(append->bytes);
    if (!batch.ok()) co_return batch.status();
    const Offset base = batch->header().base_offset;
    JournaledBases& bases = said.appended ? *said.appended : said.appended.emplace(base, base);
    bases.first = std::min(bases.first, base);
    bases.last = std::max(bases.last, base);
  } else {
    ++said.cuts.count;
    const auto* truncate = std::get_if<JournalTruncate>(&replay.entry);
    said.cuts.kept_end = truncate == nullptr ? Offset(0) : truncate->end_offset;
  }
  co_return absl::OkStatus();
}

std::optional<IncarnationId> JournalSurvey::LastOf(const TopicPartitionId& partition) const {
  const auto found = last_.find(partition);
  return found == last_.end() ? std::nullopt : std::optional(found->second);
}

JournalSurvey::Said JournalSurvey::Of(const TopicPartitionId& partition,
                                      const IncarnationId& incarnation) const {
  const auto found = said_.find({partition, incarnation});
  return found == said_.end() ? Said() : found->second;
}

}  // namespace millrace

#include "storage/segment/aborted_index.h"

#include <fmt/format.h>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr int16_t kVersion = 0;

absl::Status Damaged(std::string what) {
  return absl::DataLossError(fmt::format("Transaction index: {}", what));
}

}  // namespace

std::array<uint8_t, kAbortedEntryBytes> EncodeAbortedEntry(const AbortedTransaction& entry) {
  std::array<uint8_t, kAbortedEntryBytes> bytes;
  StoreBig<int16_t>(bytes.data(), kVersion);
  StoreBig<int64_t>(bytes.data() + 2, entry.producer.value());
  StoreBig<int64_t>(bytes.data() + 10, entry.first.value());
  StoreBig<int64_t>(bytes.data() + 18, entry.last.value());
  StoreBig<int64_t>(bytes.data() + 26, entry.last_stable.value());
  return bytes;
}

absl::StatusOr<AbortedTransaction> DecodeAbortedEntry(std::span<const uint8_t> bytes) {
  if (int16_t version = LoadBig<int16_t>(bytes.data()); version != kVersion) {
    return Damaged(fmt::format("version {}", version));
  }
  AbortedTransaction entry{
      ProducerId(LoadBig<int64_t>(bytes.data() + 2)), Offset(LoadBig<int64_t>(bytes.data() + 10)),
      Offset(LoadBig<int64_t>(bytes.data() + 18)), Offset(LoadBig<int64_t>(bytes.data() + 26))};
  if (entry.producer.value() < 0 || entry.first.value() < 0 || entry.first >= entry.last ||
      entry.last_stable.value() < 0 || entry.last_stable > entry.last + OffsetDelta(1)) {
    return Damaged("an entry cannot be true");
  }
  return entry;
}

absl::StatusOr<std::vector<AbortedTransaction>> DecodeAbortedIndex(std::span<const uint8_t> file,
                                                                   Offset begin, Offset end) {
  if (file.size() % kAbortedEntryBytes != 0) {
    return Damaged(fmt::format("{} bytes are no whole entries", file.size()));
  }
  std::vector<AbortedTransaction> entries;
  entries.reserve(file.size() / kAbortedEntryBytes);
  for (size_t at = 0; at < file.size(); at += kAbortedEntryBytes) {
    MR_ASSIGN_OR_RETURN(AbortedTransaction entry,
                        DecodeAbortedEntry(file.subspan(at, kAbortedEntryBytes)));
    const bool inside = entry.last >= begin && entry.last < end;
    const bool in_order = entries.empty() || entry.last > entries.back().last;
    if (!inside || !in_order) return Damaged(fmt::format("the entry at {} cannot be true", at));
    entries.push_back(entry);
  }
  return entries;
}

absl::StatusOr<std::vector<AbortedTransaction>> SoundAbortedBelow(std::span<const uint8_t> file,
                                                                  Offset begin, Offset end,
                                                                  size_t count_min) {
  std::vector<AbortedTransaction> entries;
  bool ended = false;
  for (size_t at = 0; at + kAbortedEntryBytes <= file.size(); at += kAbortedEntryBytes) {
    absl::StatusOr<AbortedTransaction> entry =
        DecodeAbortedEntry(file.subspan(at, kAbortedEntryBytes));
    const bool below = entry.ok() && entry->last >= begin && entry->last < end &&
                       (entries.empty() || entry->last > entries.back().last);
    if (below && ended) return Damaged("what stands before a sound entry has changed");
    if (below) entries.push_back(*entry);
    ended = ended || !below;
  }
  if (entries.size() < count_min) {
    return Damaged(fmt::format("{} entries where {} were written", entries.size(), count_min));
  }
  return entries;
}

}  // namespace millrace

#include "storage/leader_epoch_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace millrace {
namespace {

absl::Status Malformed(std::string what) {
  return absl::DataLossError(fmt::format("leader-epoch-checkpoint: {}", what));
}

// The next number of `text`, behind blanks; nothing if there is none. A line's end stops the
// search.
template <typename T>
std::optional<T> TakeNumber(std::string_view& text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return std::nullopt;
  T value = 0;
  auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// Moves behind the line's end, before which only blanks may stand.
bool TakeLineEnd(std::string_view& text) {
  size_t at = text.find_first_not_of(" \t\r");
  if (at == std::string_view::npos) {
    text = {};
    return true;
  }
  if (text[at] != '\n') return false;
  text.remove_prefix(at + 1);
  return true;
}

}  // namespace

bool LeaderEpochCache::Assign(LeaderEpoch epoch, Offset start_offset) {
  if (!entries_.empty() && entries_.back().epoch == epoch &&
      entries_.back().start_offset <= start_offset) {
    return false;
  }
  while (!entries_.empty() &&
         (entries_.back().epoch >= epoch || entries_.back().start_offset >= start_offset)) {
    entries_.pop_back();
  }
  entries_.push_back({epoch, start_offset});
  return true;
}

std::optional<EpochEndOffset> LeaderEpochCache::EndOffsetFor(LeaderEpoch epoch,
                                                             Offset log_end) const {
  auto higher = std::ranges::upper_bound(entries_, epoch, {}, &EpochStart::epoch);
  if (higher == entries_.end()) {
    if (latest_epoch() != epoch) return std::nullopt;
    return EpochEndOffset{epoch, log_end};
  }
  if (higher == entries_.begin()) return EpochEndOffset{epoch, higher->start_offset};
  return EpochEndOffset{std::prev(higher)->epoch, higher->start_offset};
}

std::optional<LeaderEpoch> LeaderEpochCache::EpochFor(Offset offset) const {
  auto later = std::ranges::upper_bound(entries_, offset, {}, &EpochStart::start_offset);
  if (later == entries_.begin()) return std::nullopt;
  return std::prev(later)->epoch;
}

bool LeaderEpochCache::TruncateFromEnd(Offset end_offset) {
  return std::erase_if(entries_, [&](const EpochStart& entry) {
           return entry.start_offset >= end_offset;
         }) > 0;
}

bool LeaderEpochCache::TruncateFromStart(Offset start_offset) {
  auto later = std::ranges::upper_bound(entries_, start_offset, {}, &EpochStart::start_offset);
  if (later == entries_.begin()) return false;
  auto in_force = std::prev(later);
  if (in_force == entries_.begin() && in_force->start_offset == start_offset) return false;
  in_force->start_offset = start_offset;
  entries_.erase(entries_.begin(), in_force);
  return true;
}

std::string LeaderEpochCache::Encode() const {
  std::string text = fmt::format("0\n{}\n", entries_.size());
  for (const EpochStart& entry : entries_) {
    text += fmt::format("{} {}\n", entry.epoch, entry.start_offset);
  }
  return text;
}

absl::StatusOr<LeaderEpochCache> LeaderEpochCache::Decode(std::string_view text) {
  std::optional<int> version = TakeNumber<int>(text);
  if (version != 0 || !TakeLineEnd(text)) return Malformed("its version is not 0");
  std::optional<uint32_t> count = TakeNumber<uint32_t>(text);
  if (!count.has_value() || !TakeLineEnd(text)) return Malformed("it has no count");
  LeaderEpochCache cache;
  for (uint32_t i = 0; i < *count; ++i) {
    std::optional<int32_t> epoch = TakeNumber<int32_t>(text);
    std::optional<int64_t> start = TakeNumber<int64_t>(text);
    if (!epoch.has_value() || !start.has_value() || *epoch < 0 || *start < 0 ||
        !TakeLineEnd(text)) {
      return Malformed(fmt::format("entry {} is malformed", i));
    }
    EpochStart entry{LeaderEpoch(*epoch), Offset(*start)};
    if (!cache.entries_.empty() && (cache.entries_.back().epoch >= entry.epoch ||
                                    cache.entries_.back().start_offset >= entry.start_offset)) {
      return Malformed(fmt::format("entry {} does not increase", i));
    }
    cache.entries_.push_back(entry);
  }
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return Malformed("more entries than its count says");
  }
  return cache;
}

}  // namespace millrace

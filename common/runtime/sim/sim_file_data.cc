#include "common/runtime/sim/sim_file_data.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

template <size_t kBytes>
bool AllZero(const std::array<uint8_t, kBytes>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

}  // namespace

uint64_t SimFileData::charged_bytes() const {
  const uint64_t end = std::max({size_, synced_size_, reserved_end_});
  return (end + kPageBytes - 1) / kPageBytes * kPageBytes;
}

SimFileData::Sector SimFileData::Shown(uint64_t sector) const {
  constexpr uint64_t kPerPage = kPageBytes / kSectorBytes;
  Sector content{};
  auto page = pages_.find(sector / kPerPage);
  if (page != pages_.end()) {
    std::memcpy(content.data(), page->second->data() + sector % kPerPage * kSectorBytes,
                kSectorBytes);
  }
  return content;
}

void SimFileData::Show(uint64_t sector, const Sector& content) {
  constexpr uint64_t kPerPage = kPageBytes / kSectorBytes;
  auto page = pages_.find(sector / kPerPage);
  if (page == pages_.end()) {
    if (AllZero(content)) return;  // Zero-filled extents cost nothing.
    page = pages_.emplace(sector / kPerPage, std::make_unique<Page>()).first;
  }
  std::memcpy(page->second->data() + sector % kPerPage * kSectorBytes, content.data(),
              kSectorBytes);
}

void SimFileData::Replace(uint64_t sector, const Sector& content) {
  const Sector old = Shown(sector);
  auto forgotten = forgotten_.find(sector);
  if (old == content && forgotten == forgotten_.end()) return;  // Nothing to lose or to gain.
  ++writes_;
  auto unsynced = unsynced_.find(sector);
  if (unsynced == unsynced_.end()) {
    // A forgotten sector that is written again is dirty again; the medium has what it had.
    const Sector& on_medium = forgotten == forgotten_.end() ? old : forgotten->second;
    unsynced_.emplace(sector, Unsynced{{Version{0, on_medium}}, writes_});
    if (forgotten != forgotten_.end()) forgotten_.erase(forgotten);
  } else {
    // While a sync is in flight the content it will have made durable must not be dropped.
    if (unsynced->second.older.size() < kVersionsMax || syncs_in_flight_ > 0) {
      unsynced->second.older.push_back({unsynced->second.write, old});
    }
    unsynced->second.write = writes_;
  }
  Show(sector, content);
}

void SimFileData::Read(uint64_t position, std::span<uint8_t> out) const {
  MR_CHECK(position + out.size() <= size_);
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = position + done;
    const size_t within = at % kPageBytes;
    const size_t count = std::min(out.size() - done, kPageBytes - within);
    auto page = pages_.find(at / kPageBytes);
    if (page == pages_.end()) {
      std::memset(out.data() + done, 0, count);
    } else {
      std::memcpy(out.data() + done, page->second->data() + within, count);
    }
    done += count;
  }
}

void SimFileData::Write(uint64_t position, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const uint64_t at = position + done;
    const uint64_t sector = at / kSectorBytes;
    const size_t within = at % kSectorBytes;
    const size_t count = std::min(bytes.size() - done, kSectorBytes - within);
    Sector content = Shown(sector);
    std::memcpy(content.data() + within, bytes.data() + done, count);
    Replace(sector, content);
    done += count;
  }
  size_ = std::max(size_, position + bytes.size());
}

void SimFileData::Resize(uint64_t size) {
  if (size < size_) {
    // What is cut must read as zeros when the file grows again.
    const uint64_t first_page = size / kPageBytes;
    std::vector<uint64_t> touched;
    for (auto page = pages_.lower_bound(first_page); page != pages_.end(); ++page) {
      touched.push_back(page->first);
    }
    for (uint64_t page : touched) {
      const uint64_t end = std::min(size_, (page + 1) * kPageBytes);
      for (uint64_t at = std::max(size, page * kPageBytes); at < end;) {
        const uint64_t sector = at / kSectorBytes;
        Sector content = Shown(sector);
        std::fill(content.begin() + static_cast<ptrdiff_t>(at % kSectorBytes), content.end(), 0);
        Replace(sector, content);
        at = (sector + 1) * kSectorBytes;
      }
    }
    reserved_end_ = std::min(reserved_end_, size);
    range_synced_end_ = std::min(range_synced_end_, size);
  }
  size_ = size;
}

void SimFileData::Reserve(uint64_t end) { reserved_end_ = std::max(reserved_end_, end); }

SimFileData::SyncPoint SimFileData::BeginSync() {
  ++syncs_in_flight_;
  return {writes_, size_};
}

void SimFileData::EndSync(SyncPoint point) {
  --syncs_in_flight_;
  for (auto at = unsynced_.begin(); at != unsynced_.end();) {
    std::vector<Version>& older = at->second.older;
    if (at->second.write <= point.write) {
      at = unsynced_.erase(at);
      continue;
    }
    // The newest content from before the sync is the oldest that can still come back.
    size_t keep = 0;
    while (keep + 1 < older.size() && older[keep + 1].write <= point.write) ++keep;
    older.erase(older.begin(), older.begin() + static_cast<ptrdiff_t>(keep));
    ++at;
  }
  if (point.write >= synced_write_) {  // Of two that overlap the later one speaks.
    synced_write_ = point.write;
    synced_size_ = std::max(point.size, range_synced_end_);
  }
}

void SimFileData::SyncRange(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  const uint64_t last = (end - 1) / kSectorBytes;
  unsynced_.erase(unsynced_.lower_bound(begin / kSectorBytes), unsynced_.upper_bound(last));
  range_synced_end_ = std::max(range_synced_end_, std::min(end, size_));
  synced_size_ = std::max(synced_size_, range_synced_end_);
}

void SimFileData::ForgetUnsynced() {
  for (auto& [sector, unsynced] : unsynced_) {
    forgotten_.emplace(sector, unsynced.older.front().content);
  }
  unsynced_.clear();
}

void SimFileData::LosePower(SimRandom& dice) {
  // Whole-file outcomes get a share of their own: among many sectors independent choices would
  // never all fall alike.
  enum class Mode { kNothingSurvives, kAllSurvives, kEachForItself };
  const uint64_t drawn = dice.Below(4);
  const Mode mode = drawn == 0   ? Mode::kNothingSurvives
                    : drawn == 1 ? Mode::kAllSurvives
                                 : Mode::kEachForItself;
  for (auto& [sector, unsynced] : unsynced_) {
    if (mode == Mode::kAllSurvives) continue;
    const size_t chosen = mode == Mode::kNothingSurvives
                              ? 0
                              : static_cast<size_t>(dice.Below(unsynced.older.size() + 1));
    if (chosen < unsynced.older.size()) Show(sector, unsynced.older[chosen].content);
  }
  for (auto& [sector, content] : forgotten_) Show(sector, content);
  uint64_t size = mode == Mode::kAllSurvives ? size_ : synced_size_;
  if (mode == Mode::kEachForItself) {
    size = dice.Between(std::min(size_, synced_size_), std::max(size_, synced_size_));
    if (dice.Coin()) size = dice.Coin() ? size_ : synced_size_;
  }
  unsynced_.clear();
  forgotten_.clear();
  size_ = std::max(size_, size);  // So that Resize() cuts whatever lies beyond.
  Resize(size);
  unsynced_.clear();
  synced_size_ = size_;
}

void SimFileData::FlipBit(uint64_t position, int bit) {
  MR_CHECK(position < size_);
  const uint64_t sector = position / kSectorBytes;
  const size_t within = position % kSectorBytes;
  const auto mask = static_cast<uint8_t>(1u << (bit & 7));
  Sector content = Shown(sector);
  content[within] ^= mask;
  Show(sector, content);
  auto unsynced = unsynced_.find(sector);
  if (unsynced != unsynced_.end()) {
    for (Version& version : unsynced->second.older) version.content[within] ^= mask;
  }
}

}  // namespace millrace

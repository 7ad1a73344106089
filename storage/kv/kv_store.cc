#include "storage/kv/kv_store.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/kv/kv_store_keys.h"

namespace millrace {
namespace {

constexpr size_t kScanPageEntries = 4096;
constexpr size_t kScanPageBytes = size_t{1} << 20;

}  // namespace

std::string KvStoredKey(KvSpace space, std::string_view key) {
  std::string stored(1, static_cast<char>(space));
  stored.append(key);
  return stored;
}

std::string KvSpaceEnd(KvSpace space) {
  static_assert(static_cast<uint8_t>(KvSpace::kTest) == 255);
  // Byte 255 has no successor; longer keys than any real one end that space.
  if (space == KvSpace::kTest) return std::string(kKvKeyBytesMax + 2, '\xff');
  return std::string(1, static_cast<char>(static_cast<uint8_t>(space) + 1));
}

KvStoredRange StoredRange(const KvRange& range) {
  return {KvStoredKey(range.space, range.begin),
          range.end.has_value() ? KvStoredKey(range.space, *range.end) : KvSpaceEnd(range.space)};
}

void KvBatch::Put(KvSpace space, std::string_view key, std::string_view value) {
  MR_CHECK(!key.empty());
  MR_CHECK(key.size() <= kKvKeyBytesMax);
  MR_CHECK(value.size() <= kKvValueBytesMax);
  changes_.push_back({Op::kPut, KvStoredKey(space, key), std::string(value)});
  bytes_ += key.size() + value.size();
}

void KvBatch::Delete(KvSpace space, std::string_view key) {
  MR_CHECK(!key.empty());
  MR_CHECK(key.size() <= kKvKeyBytesMax);
  changes_.push_back({Op::kDelete, KvStoredKey(space, key), std::string()});
  bytes_ += key.size();
}

void KvBatch::DeleteRange(KvSpace space, std::string_view begin,
                          std::optional<std::string_view> end) {
  MR_CHECK(begin.size() <= kKvKeyBytesMax);
  MR_CHECK(!end.has_value() || end->size() <= kKvKeyBytesMax);
  changes_.push_back({Op::kDeleteRange, KvStoredKey(space, begin),
                      end.has_value() ? KvStoredKey(space, *end) : KvSpaceEnd(space)});
  bytes_ += begin.size() + (end.has_value() ? end->size() : 0);
}

void KvBatch::Append(KvBatch other) {
  if (changes_.empty()) {
    *this = std::move(other);
    return;
  }
  for (Change& change : other.changes_) changes_.push_back(std::move(change));
  bytes_ += other.bytes_;
}

KvRange KvRange::Prefix(KvSpace space, std::string_view prefix) {
  KvRange range{space, std::string(prefix), std::nullopt};
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return range;  // Nothing in the space lies behind it.
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  range.end = std::move(end);
  return range;
}

Task<absl::StatusOr<std::vector<KvEntry>>> KvStore::ScanAll(KvRange range) {
  std::vector<KvEntry> entries;
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(KvPage page, co_await Scan(range, kScanPageEntries, kScanPageBytes));
    for (KvEntry& entry : page.entries) entries.push_back(std::move(entry));
    if (!page.next_key.has_value()) co_return entries;
    range.begin = *std::move(page.next_key);
  }
}

}  // namespace millrace

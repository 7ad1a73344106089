#include "storage/journal/journal_extents.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "common/bytes/block.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "storage/journal/journal_frame.h"

namespace millrace {
namespace {

constexpr std::string_view kSuffix = ".journal";
constexpr uint64_t kFillBytes = uint64_t{256} << 10;  // Per write; short, so that others get turns.

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string JournalDirectory(const std::string& log_dir) { return log_dir + "/millrace-journal"; }

std::optional<JournalExtentName> JournalExtentName::Parse(const std::string& name) {
  std::string_view text = name;
  if (!text.ends_with(kSuffix)) return std::nullopt;
  text.remove_suffix(kSuffix.size());
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::optional<uint32_t> shard = ParseNumber<uint32_t>(text.substr(0, dash));
  const std::optional<uint64_t> number = ParseNumber<uint64_t>(text.substr(dash + 1));
  if (!shard.has_value() || !number.has_value()) return std::nullopt;
  return JournalExtentName{ShardId(*shard), *number};
}

std::string JournalExtentName::ToString() const {
  return fmt::format("{}-{}{}", shard, number, kSuffix);
}

JournalExtents::~JournalExtents() { MR_CHECK(count_ == 0); }

std::string JournalExtents::PathOf(uint64_t number) const {
  return directory_ + "/" + JournalExtentName{shard_, number}.ToString();
}

Task<absl::Status> JournalExtents::Create() {
  const uint64_t number = next_number_++;
  const std::string path = PathOf(number);
  // Direct where the file system allows it; where it would need more than our blocks align to,
  // buffered (durable writes are as durable there, and dearer).
  OpenOptions options{.create = true, .exclusive = true, .direct = true};
  absl::StatusOr<std::unique_ptr<File>> file = co_await disk_.Open(path, options);
  if (!file.ok()) co_return std::move(file).status();
  if (kJournalBlockBytes % (*file)->alignment() != 0) {
    MR_CO_RETURN_IF_ERROR(co_await (*file)->Close());
    options = OpenOptions{};
    file = co_await disk_.Open(path, options);
    if (!file.ok()) co_return std::move(file).status();
  }
  absl::Status status = co_await Fill(**file);
  if (status.ok()) status = co_await disk_.SyncDirectory(directory_);
  if (!status.ok()) {
    // The first failure is what counts; the file is in nobody's way if it cannot be removed.
    (co_await (*file)->Close()).IgnoreError();
    (co_await disk_.Remove(path)).IgnoreError();
    co_return status;
  }
  free_.push_back(Extent{.number = number, .file = *std::move(file)});
  ++count_;
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> JournalExtents::Fill(File& file) {
  // Reserving first finds a full disk before the writing does, and gives contiguous blocks.
  MR_CO_RETURN_IF_ERROR(co_await file.Allocate(0, extent_bytes_, /*grow=*/true));
  MutableBuffer memory(kJournalChunkBytes, kPageSize);
  std::memset(memory.data(), 0, memory.size());
  const Slice zeros = std::move(memory).Freeze(kJournalChunkBytes);
  for (uint64_t at = 0; at < extent_bytes_;) {
    Chain chain;
    while (chain.size() < kFillBytes && at + chain.size() < extent_bytes_) {
      chain.Append(
          zeros.Sub(0, std::min<uint64_t>(zeros.size(), extent_bytes_ - at - chain.size())));
    }
    const uint64_t length = chain.size();
    MR_CO_RETURN_IF_ERROR(co_await file.WriteAt(at, std::move(chain), WriteFlags{}));
    at += length;
  }
  co_return co_await file.Sync();
}

void JournalExtents::Enter(uint64_t first_sequence) {
  MR_CHECK(!free_.empty());
  Extent extent = std::move(free_.front());
  free_.pop_front();
  extent.write_position = 0;
  extent.first_sequence = first_sequence;
  extent.last_sequence = first_sequence - 1;
  extent.last_position = JournalPosition(0);
  live_.push_back(std::move(extent));
  Retire();  // The one before may have been recycled while it was the newest.
}

bool JournalExtents::Fits(uint64_t bytes) const {
  return entered() && live_.back().write_position + bytes + kJournalBlockBytes <= extent_bytes_;
}

bool JournalExtents::FitsLastBlock(uint64_t bytes) const {
  return entered() && live_.back().write_position + bytes <= extent_bytes_;
}

void JournalExtents::Wrote(uint64_t bytes, JournalPosition last, uint64_t tail_sequence) {
  Extent& newest = live_.back();
  newest.write_position += bytes;
  MR_CHECK(newest.write_position <= extent_bytes_);
  newest.last_position = last;
  ++newest.last_sequence;
  while (!retiring_.empty() && retiring_.front().last_sequence < tail_sequence) {
    free_.push_back(std::move(retiring_.front()));
    retiring_.pop_front();
  }
}

void JournalExtents::Recycle(JournalPosition position) {
  recycled_ = std::max(recycled_, position);
  Retire();
}

void JournalExtents::Retire() {
  while (live_.size() > 1 && !Needed(live_.front())) {  // The newest one is still being written.
    retiring_.push_back(std::move(live_.front()));
    live_.pop_front();
  }
}

uint64_t JournalExtents::TailSequence(uint64_t next_sequence) const {
  for (const Extent& extent : live_) {
    if (Needed(extent)) return extent.first_sequence;
  }
  return next_sequence;
}

uint64_t JournalExtents::live_bytes() const {
  uint64_t bytes = 0;
  for (const Extent& extent : live_) {
    if (!Needed(extent)) continue;
    bytes += &extent == &live_.back() ? extent.write_position : extent_bytes_;
  }
  return bytes;
}

double JournalExtents::newest_used() const {
  if (live_.empty()) return 0;
  return static_cast<double>(live_.back().write_position) / static_cast<double>(extent_bytes_);
}

Task<absl::Status> JournalExtents::Close() {
  absl::Status status;
  for (std::deque<Extent>* extents : {&free_, &retiring_, &live_}) {
    std::deque<Extent> closing = std::exchange(*extents, {});
    for (Extent& extent : closing) {
      status.Update(co_await extent.file->Close());
      --count_;
    }
  }
  co_return status;
}

Task<absl::Status> JournalExtents::RemoveAll() {
  std::vector<std::string> paths;  // The newest one last.
  for (std::deque<Extent>* extents : {&free_, &retiring_, &live_}) {
    for (const Extent& extent : *extents) paths.push_back(PathOf(extent.number));
  }
  MR_CO_RETURN_IF_ERROR(co_await Close());
  for (size_t i = 0; i < paths.size(); ++i) {
    if (i + 1 == paths.size()) MR_CO_RETURN_IF_ERROR(co_await disk_.SyncDirectory(directory_));
    MR_CO_RETURN_IF_ERROR(co_await disk_.Remove(paths[i]));
  }
  co_return co_await disk_.SyncDirectory(directory_);
}

}  // namespace millrace

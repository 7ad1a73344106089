#include "storage/log_directory.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kTextFileBytesMax = 64 << 10;

// kFailedPrecondition is kept for what a person must look at; the disk uses it for a path that is
// no folder, which is one more way for a directory to be offline.
absl::Status FromDisk(const absl::Status& status) {
  if (!absl::IsFailedPrecondition(status)) return status;
  return absl::UnavailableError(std::string(status.message()));
}

}  // namespace

// The disk outlives the call.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::optional<MetaProperties>>> ReadMetaProperties(Disk& disk,
                                                                       std::string path) {
  absl::StatusOr<Slice> text =
      co_await ReadWholeFile(disk, JoinPath(path, kMetaPropertiesFile), kTextFileBytesMax);
  if (absl::IsNotFound(text.status())) co_return std::optional<MetaProperties>();
  if (absl::IsOutOfRange(text.status())) {
    co_return absl::FailedPreconditionError(std::string(text.status().message()));
  }
  if (!text.ok()) co_return FromDisk(text.status());
  absl::StatusOr<MetaProperties> meta = ParseMetaProperties(text->view());
  if (!meta.ok()) {
    co_return absl::FailedPreconditionError(fmt::format(
        "{}: {}", JoinPath(path, kMetaPropertiesFile), std::string(meta.status().message())));
  }
  co_return std::optional<MetaProperties>(*std::move(meta));
}

// The disk outlives the call.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> FormatLogDirectory(Disk& disk, std::string path, MetaProperties meta) {
  auto present = co_await ReadMetaProperties(disk, path);
  if (!present.ok()) co_return present.status();
  if (present->has_value()) {
    co_return absl::AlreadyExistsError(fmt::format("{} is already formatted", path));
  }
  MR_CO_RETURN_IF_ERROR(co_await CreateDirectoriesDurably(disk, path));
  co_return co_await ReplaceFile(disk, JoinPath(path, kMetaPropertiesFile),
                                 PrintMetaProperties(meta));
}

Task<absl::Status> LogDirectory::OpenDirectory(std::optional<std::string> cluster_id,
                                               std::optional<BrokerId> node_id, bool lock) {
  if (lock) {
    // A path that is no folder would look like one that is locked.
    auto listed = co_await disk_.List(path_);
    if (!listed.ok() && !absl::IsNotFound(listed.status())) co_return FromDisk(listed.status());
    strays = 0;
    for (const DirectoryEntry& entry : listed.ok() ? *listed : std::vector<DirectoryEntry>()) {
      if (entry.is_directory && IsStrayDirectoryName(entry.name)) ++strays;
    }
    auto taken = co_await disk_.Lock(JoinPath(path_, kLockFile));
    if (absl::IsFailedPrecondition(taken.status())) {
      co_return absl::FailedPreconditionError(
          fmt::format("log directory {} is in use by another process", path_));
    }
    if (absl::IsNotFound(taken.status())) {
      co_return absl::UnavailableError(fmt::format("log directory {} is absent", path_));
    }
    if (!taken.ok()) co_return taken.status();
    lock_ = *std::move(taken);
  }
  auto meta = co_await ReadMetaProperties(disk_, path_);
  if (!meta.ok()) co_return meta.status();
  if (!meta->has_value()) {
    co_return absl::FailedPreconditionError(
        fmt::format("log directory {} is not formatted: run `millrace storage format`", path_));
  }
  const MetaProperties& found = **meta;
  if (cluster_id && found.cluster_id && *cluster_id != *found.cluster_id) {
    co_return absl::FailedPreconditionError(
        fmt::format("log directory {} belongs to cluster {}, this node to {}", path_,
                    *found.cluster_id, *cluster_id));
  }
  if (node_id && found.node_id && *node_id != *found.node_id) {
    co_return absl::FailedPreconditionError(fmt::format(
        "log directory {} belongs to node {}, this is node {}", path_, *found.node_id, *node_id));
  }
  id_ = found.directory_id;

  const std::string mark = JoinPath(path_, kCleanShutdownFile);
  absl::StatusOr<Slice> text = co_await ReadWholeFile(disk_, mark, kTextFileBytesMax);
  if (!text.ok() && !absl::IsNotFound(text.status())) co_return text.status();
  was_clean_ = text.ok();
  if (lock && was_clean_) {
    // Gone before anything changes, so that a crash from here on is seen.
    MR_CO_RETURN_IF_ERROR(co_await disk_.Remove(mark));
    MR_CO_RETURN_IF_ERROR(co_await disk_.SyncDirectory(path_));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogDirectory::MarkClean() {
  co_return co_await ReplaceFile(disk_, JoinPath(path_, kCleanShutdownFile),
                                 FormatCleanShutdown(std::nullopt));
}

void LogDirectory::ReleasePending(size_t bytes) {
  MR_CHECK(bytes <= pending_bytes_);
  pending_bytes_ -= bytes;
}

void LogDirectory::SetFull(bool full) {
  if (full == full_) return;
  if (!full) last_full_ = reactor_.Now();
  full_ = full;
  if (on_full_) on_full_(full);
}

void LogDirectory::OnJournalWrite(bool begun) {
  cold_reads_.OnJournalWrite(begun);
  journal_write_ = begun ? pace_.Begin() : DirectoryPace::Write();
}

void LogDirectory::RecycleJournal() {
  if (journal_ == nullptr || !journal_->status().ok()) return;
  const uint64_t durable = journal_->durable_position().value();
  const uint64_t free = needed_.empty() ? durable : std::min(needed_.begin()->first - 1, durable);
  if (free > journal_->recycled_position().value()) journal_->Recycle(JournalPosition(free));
}

void LogDirectory::EndIncarnation(const TopicPartitionId& id, const IncarnationId& incarnation) {
  if (journal_ == nullptr || !journal_->status().ok()) return;
  // Not waited for: a full disk, which this may be to free, can hold the journal up. One that fails
  // takes its directory offline by itself.
  const auto end = journal_->Enqueue(JournalDelete{id, incarnation}, nullptr);
  if (end.ok()) last_end_ = *end;
}

absl::Status InOffline(const std::string& topic, PartitionId partition,
                       const std::optional<std::string>& directory) {
  const std::string where =
      directory.has_value() ? fmt::format("a log directory that is offline ({})", *directory)
                            : std::string("a log directory that log.dirs does not name any more");
  return MakeError(ErrorKind::kStorageError, absl::StatusCode::kUnavailable,
                   fmt::format("{}-{} is in {}", topic, partition, where));
}

}  // namespace millrace

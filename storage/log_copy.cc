#include "storage/log_copy.h"

#include <utility>

#include "common/status_macros.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

constexpr size_t kMetadataBytesMax = 64 << 10;

}  // namespace

CopyFate FateOf(const CopyFacts& facts) {
  if (facts.named_here == true && !facts.folder_here) {
    return facts.of == facts.log ? CopyFate::kIsTheLog : CopyFate::kStays;
  }
  const bool log_is_here = facts.folder_here && facts.named_here != false;
  if (!log_is_here && !facts.folder_there) return CopyFate::kStays;
  if (facts.of && (log_is_here || *facts.of != facts.log)) return CopyFate::kSetAside;
  return CopyFate::kGoes;
}

// The disk outlives the call.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::optional<TopicPartitionId>>> LogIn(Disk& disk, std::string path,
                                                            PartitionId partition) {
  auto text =
      co_await ReadWholeFile(disk, JoinPath(path, kPartitionMetadataFile), kMetadataBytesMax);
  if (absl::IsNotFound(text.status()) || absl::IsOutOfRange(text.status())) {
    co_return std::optional<TopicPartitionId>();
  }
  // A disk that fails says nothing of what is there.
  if (!text.ok()) co_return text.status();
  const absl::StatusOr<TopicId> topic_id = ParsePartitionMetadata(text->view());
  if (!topic_id.ok()) co_return std::optional<TopicPartitionId>();
  co_return std::optional(TopicPartitionId{*topic_id, partition});
}

// The disk outlives the call.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> RenameFolder(Disk& disk, std::string directory, std::string from,
                                std::string to) {
  MR_CO_RETURN_IF_ERROR(co_await disk.Rename(JoinPath(directory, from), JoinPath(directory, to)));
  co_return co_await disk.SyncDirectory(directory);
}

}  // namespace millrace

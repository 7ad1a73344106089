#include "storage/log_maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/segment_writer.h"

namespace millrace {
namespace {

constexpr size_t kMetadataBytesMax = 64 << 10;

}  // namespace

LogMaker::Item LogMaker::Begin(NewLog wanted) {
  LogDirectory* directory = choose_(wanted.topic, wanted.id.partition);
  if (directory == nullptr) {
    return {nullptr,
            absl::UnavailableError("no log directory is online, has room and takes new logs")};
  }
  ++directory->log_count;
  auto state = std::make_unique<Log::State>(context_, *directory, wanted.id,
                                            std::move(wanted.topic), context_.env.random.NextUuid(),
                                            context_.next_log_number++, wanted.config, Offset(0));
  Log::State& made = *state;
  auto log = std::make_unique<Log>(std::move(state));
  made.segments.emplace_back(Offset(0), context_.env.clock.Now());
  DrawRollJitter(made);
  return {std::move(log), absl::OkStatus()};
}

Task<absl::Status> LogMaker::TakeFolder(const Log::State& state) {
  Disk& disk = context_.env.disk;
  const std::string path = JoinPath(state.path(), kPartitionMetadataFile);
  auto present = co_await ReadWholeFile(disk, path, kMetadataBytesMax);
  if (!present.ok() && !absl::IsNotFound(present.status())) co_return present.status();
  auto entries = co_await disk.List(state.path());
  if (!entries.ok()) co_return entries.status();
  const bool other_files = std::ranges::any_of(*entries, [](const DirectoryEntry& entry) {
    return !entry.name.starts_with(kPartitionMetadataFile);  // Or its temporary one.
  });
  const absl::StatusOr<TopicId> whose =
      present.ok() ? ParsePartitionMetadata(present->view()) : present.status();
  const bool ours = whose.ok() && *whose == state.id.topic_id;
  // Of a log that was about to be made when the power failed there may be a file, and nothing in
  // it that was written.
  if (!ours && (other_files || whose.ok())) {
    co_return absl::AlreadyExistsError(
        fmt::format("{} belongs to another topic: {}", state.path(),
                    present.ok() ? present->view() : std::string_view("it has files")));
  }
  if (other_files) MR_CO_RETURN_IF_ERROR(co_await SetFolderAside(state));
  MR_CO_RETURN_IF_ERROR(
      co_await ReplaceFile(disk, path, FormatPartitionMetadata(state.id.topic_id)));
  co_return co_await disk.SyncDirectory(state.directory->path());
}

// Its segments are of another life of the replica, which was left alone where it lay: as a second copy,
// for instance. Ours would be written over some of them, and recovered with what is left.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> LogMaker::SetFolderAside(const Log::State& state) {
  Disk& disk = context_.env.disk;
  LogDirectory& directory = *state.directory;
  const std::string aside =
      JoinPath(directory.path(),
               StrayDirectoryName(state.topic, state.id.partition, context_.env.random.NextUuid()));
  MR_CO_RETURN_IF_ERROR(co_await disk.Rename(state.path(), aside));
  ++directory.strays;
  MR_CO_RETURN_IF_ERROR(co_await disk.CreateDirectories(state.path()));
  context_.env.logger.Warning(
      "[log {}] a folder of an earlier replica was in its place, and is set aside as {}: nothing "
      "here will remove it",
      state.path(), aside);
  co_return absl::OkStatus();
}

Task<void> LogMaker::MakeFolders(LogDirectory* directory, std::vector<Item*> items) {
  std::vector<NewFolder> folders;
  for (const Item* item : items) {
    const Log::State& state = item->log->state();
    folders.push_back({PartitionDirectoryName(state.topic, state.id.partition),
                       std::string(kPartitionMetadataFile),
                       FormatPartitionMetadata(state.id.topic_id)});
  }
  const std::vector<absl::Status> made =
      co_await context_.env.disk.MakeFolders(directory->path(), std::move(folders));
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = *items[i];
    Log::State& state = item.log->state();
    item.status = made[i];
    if (absl::IsAlreadyExists(item.status)) item.status = co_await TakeFolder(state);
    // What could not be written or synced may be taken for clean by the next sync (disk.h).
    if (absl::IsDataLoss(item.status)) context_.fail_directory(*directory, item.status);
  }
}

Task<std::vector<absl::StatusOr<std::unique_ptr<Log>>>> LogMaker::Make(std::vector<NewLog> logs) {
  std::vector<Item> items;
  items.reserve(logs.size());
  for (NewLog& wanted : logs) items.push_back(Begin(std::move(wanted)));
  for (LogDirectory* directory : context_.directories) {
    std::vector<Item*> here;
    for (Item& item : items) {
      if (item.log != nullptr && item.log->state().directory == directory) here.push_back(&item);
    }
    if (!here.empty()) co_await MakeFolders(directory, std::move(here));
  }
  std::vector<Log::State*> states;
  for (Item& item : items) {
    // It may have gone offline meanwhile.
    if (item.status.ok()) item.status = item.log->state().directory->failure();
    if (item.status.ok()) states.push_back(&item.log->state());
  }
  // Last, because they say that the logs exist.
  const absl::Status stored = co_await context_.writer->StoreFirst(states);
  std::vector<absl::StatusOr<std::unique_ptr<Log>>> made;
  for (Item& item : items) {
    if (item.status.ok() && !stored.ok()) {
      item.status = stored;
      item.log->state().deleted = true;  // So that it is not tried again.
      context_.writer->HandleFailure(item.log->state(), stored);
    }
    if (item.status.ok()) {
      made.emplace_back(std::move(item.log));
      continue;
    }
    if (item.log != nullptr) --item.log->state().directory->log_count;
    made.emplace_back(absl::IsAlreadyExists(item.status)
                          ? item.status
                          : MakeError(ErrorKind::kStorageError, item.status.code(),
                                      std::string(item.status.message())));
  }
  co_return made;
}

}  // namespace millrace

#include "broker/node/metadata_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "common/status_macros.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

constexpr std::string_view kStoreFolder = "millrace-state";
constexpr std::string_view kAsideEnd = ".damaged.";  // And a number.
constexpr std::string_view kMarkFile = ".millrace_started";
constexpr std::string_view kMarkText =
    "There has been a metadata log in millrace-state/. Where that is gone or empty, this "
    "controller\n"
    "is restored from the others under a new directory id, for it may have voted. Where there are "
    "no\n"
    "others and everything is to begin anew, remove this file, too.\n"
    "directory.id=";
constexpr std::string_view kAloneFile = ".millrace_alone";
constexpr std::string_view kAloneText =
    "This controller is the only voter of its quorum: where millrace-state/ is damaged, nobody "
    "else "
    "can\n"
    "restore it. Should there be others after all, remove this file.\n"
    "directory.id=";
constexpr std::string_view kDamageFile = ".millrace_damaged";
constexpr size_t kMarkBytesMax = 4096;

}  // namespace

std::string MetadataFolder::store_path() const { return JoinPath(path_, kStoreFolder); }
std::string MetadataFolder::mark_path() const { return JoinPath(path_, kMarkFile); }

Task<absl::StatusOr<bool>> MetadataFolder::HasMark(std::string_view file, std::string_view text) {
  const absl::StatusOr<Slice> found =
      co_await ReadWholeFile(disk_, JoinPath(path_, file), kMarkBytesMax);
  if (absl::IsNotFound(found.status())) co_return false;
  if (!found.ok()) co_return found.status();
  co_return found->view() == fmt::format("{}{}\n", text, identity_);
}

Task<absl::StatusOr<bool>> MetadataFolder::HadStore() { return HasMark(kMarkFile, kMarkText); }

Task<absl::StatusOr<bool>> MetadataFolder::IsAlone() { return HasMark(kAloneFile, kAloneText); }

Task<absl::Status> MetadataFolder::RememberAlone(bool alone) {
  MR_CO_ASSIGN_OR_RETURN(const bool known, co_await IsAlone());
  if (known == alone) co_return absl::OkStatus();
  const std::string path = JoinPath(path_, kAloneFile);
  if (alone) {
    co_return co_await ReplaceFile(disk_, path, fmt::format("{}{}\n", kAloneText, identity_));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk_.Remove(path));
  co_return co_await disk_.SyncDirectory(path_);
}

Task<absl::StatusOr<bool>> MetadataFolder::HasDamage() {
  MR_CO_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, co_await disk_.List(path_));
  co_return std::ranges::find(entries, kDamageFile, &DirectoryEntry::name) != entries.end();
}

Task<absl::Status> MetadataFolder::RememberDamage() {
  co_return co_await ReplaceFile(disk_, JoinPath(path_, kDamageFile), "");
}

Task<absl::Status> MetadataFolder::RememberStore() {
  MR_CO_ASSIGN_OR_RETURN(const bool known, co_await HadStore());
  if (known) co_return absl::OkStatus();
  co_return co_await ReplaceFile(disk_, mark_path(), fmt::format("{}{}\n", kMarkText, identity_));
}

Task<absl::StatusOr<std::optional<std::string>>> MetadataFolder::SetStoreAside() {
  MR_CO_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, co_await disk_.List(path_));
  std::string name;
  for (int number = 1; name.empty(); ++number) {
    std::string free = fmt::format("{}{}{}", kStoreFolder, kAsideEnd, number);
    if (std::ranges::find(entries, free, &DirectoryEntry::name) == entries.end()) name = free;
  }
  std::optional<std::string> aside = JoinPath(path_, name);
  const absl::Status renamed = co_await disk_.Rename(store_path(), *aside);
  // A crash, here behind the renaming or in a person's work, has left the mark alone.
  if (absl::IsNotFound(renamed)) aside.reset();
  if (!renamed.ok() && !absl::IsNotFound(renamed)) co_return renamed;
  // Or a power loss keeps the removal of the mark, and the next start takes the store for sound.
  MR_CO_RETURN_IF_ERROR(co_await disk_.SyncDirectory(path_));
  const absl::Status removed = co_await disk_.Remove(JoinPath(path_, kDamageFile));
  if (!removed.ok() && !absl::IsNotFound(removed)) co_return removed;
  MR_CO_RETURN_IF_ERROR(co_await disk_.SyncDirectory(path_));
  co_return aside;
}

Task<absl::StatusOr<size_t>> MetadataFolder::CountSetAside() {
  MR_CO_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, co_await disk_.List(path_));
  const std::string begin = fmt::format("{}{}", kStoreFolder, kAsideEnd);
  co_return static_cast<size_t>(std::ranges::count_if(
      entries, [&](const DirectoryEntry& entry) { return entry.name.starts_with(begin); }));
}

}  // namespace millrace

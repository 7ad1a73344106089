#include "common/disk.h"

#include <fmt/format.h>

#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

Task<absl::StatusOr<Slice>> ReadAll(File* file, std::string path, size_t bytes_max) {
  absl::StatusOr<uint64_t> size = co_await file->Size();
  MR_CO_RETURN_IF_ERROR(size.status());
  if (*size > bytes_max) {
    co_return absl::OutOfRangeError(
        fmt::format("{} has {} bytes; at most {} are accepted", path, *size, bytes_max));
  }
  if (*size == 0) co_return Slice();
  co_return co_await file->ReadAt(0, static_cast<size_t>(*size), ReadHint::kNormal);
}

Task<absl::Status> WriteAll(File* file, std::string content) {
  MR_CO_RETURN_IF_ERROR(
      co_await file->WriteAt(0, Chain(Slice::Copy(content)), WriteFlags{.durable = false}));
  co_return co_await file->Sync();
}

// The folder that holds `path`.
std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Task<absl::Status> MakeFolder(Disk* disk, std::string path, NewFolder folder) {
  auto present = co_await disk->List(path);
  if (present.ok()) co_return absl::AlreadyExistsError(fmt::format("{} is there already", path));
  if (!absl::IsNotFound(present.status())) co_return present.status();
  MR_CO_RETURN_IF_ERROR(co_await disk->CreateDirectories(path));
  auto file = co_await disk->Open(fmt::format("{}/{}", path, folder.file),
                                  OpenOptions{.create = true, .exclusive = true});
  if (!file.ok()) co_return file.status();
  absl::Status made =
      co_await (*file)->WriteAt(0, Chain(Slice::Copy(folder.content)), WriteFlags{});
  if (made.ok()) made = co_await (*file)->Sync();
  made.Update(co_await (*file)->Close());
  if (made.ok()) made = co_await disk->SyncDirectory(std::move(path));
  co_return made;
}

}  // namespace

Task<std::vector<absl::Status>> Disk::MakeFolders(std::string path,
                                                  std::vector<NewFolder> folders) {
  std::vector<absl::Status> made;
  for (NewFolder& folder : folders) {
    std::string place = fmt::format("{}/{}", path, folder.name);
    made.push_back(co_await MakeFolder(this, std::move(place), std::move(folder)));
  }
  const absl::Status named = co_await SyncDirectory(path);
  for (absl::Status& one : made) one.Update(named);
  co_return made;
}

Task<std::vector<absl::StatusOr<std::vector<DirectoryEntry>>>> Disk::ListEach(
    std::string path, std::vector<std::string> folders) {
  std::vector<absl::StatusOr<std::vector<DirectoryEntry>>> lists;
  for (const std::string& folder : folders) {
    lists.push_back(co_await List(fmt::format("{}/{}", path, folder)));
  }
  co_return lists;
}

Task<absl::StatusOr<Slice>> ReadWholeFile(Disk& disk, std::string path, size_t bytes_max) {
  absl::StatusOr<std::unique_ptr<File>> file =
      co_await disk.Open(path, OpenOptions{.read_only = true});
  MR_CO_RETURN_IF_ERROR(file.status());
  absl::StatusOr<Slice> content = co_await ReadAll(file->get(), path, bytes_max);
  absl::Status closed = co_await (*file)->Close();
  if (content.ok() && !closed.ok()) co_return closed;
  co_return content;
}

Task<absl::Status> CreateDirectoriesDurably(Disk& disk, std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  MR_CO_RETURN_IF_ERROR(co_await disk.CreateDirectories(path));
  while (path != "/" && path != ".") {
    path = FolderOf(path);
    absl::Status synced = co_await disk.SyncDirectory(path);
    // Folders above ours may be closed to us; they were there before.
    if (absl::IsPermissionDenied(synced)) break;
    MR_CO_RETURN_IF_ERROR(synced);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReplaceFile(Disk& disk, std::string path, std::string content) {
  const std::string temporary = path + ".tmp";
  absl::StatusOr<std::unique_ptr<File>> file =
      co_await disk.Open(temporary, OpenOptions{.create = true, .truncate = true});
  MR_CO_RETURN_IF_ERROR(file.status());
  absl::Status written = co_await WriteAll(file->get(), std::move(content));
  absl::Status closed = co_await (*file)->Close();
  // A temporary file that stays behind is overwritten by the next attempt.
  MR_CO_RETURN_IF_ERROR(written);
  MR_CO_RETURN_IF_ERROR(closed);
  MR_CO_RETURN_IF_ERROR(co_await disk.Rename(temporary, path));
  co_return co_await disk.SyncDirectory(FolderOf(path));
}

}  // namespace millrace

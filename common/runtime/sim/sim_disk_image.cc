#include "common/runtime/sim/sim_disk_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

absl::Status NotFound(const std::string& path) {
  return absl::NotFoundError(fmt::format("{}: no such file or folder", path));
}

absl::Status NotADirectory(const std::string& path) {
  return absl::FailedPreconditionError(fmt::format("{}: not a folder", path));
}

bool TakeOne(uint32_t* count) {
  if (*count == 0) return false;
  --*count;
  return true;
}

// Both normal.
bool IsInside(const std::string& path, const std::string& prefix) {
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

SimDiskImage::SimDiskImage(SimDiskOptions options, uint64_t seed) : options_(options), dice_(seed) {
  Wipe();
}

void SimDiskImage::Wipe() {
  root_ = std::make_shared<SimInode>();
  root_->is_directory = true;
  unsynced_changes_.clear();
  files_.clear();
  locks_.clear();
}

void SimDiskImage::CountOperation() {
  ++operations_;
  if (hook_) hook_(operations_);
}

std::vector<std::string> SimDiskImage::Split(const std::string& path) {
  std::vector<std::string> parts;
  std::string part;
  for (char c : path + "/") {
    if (c != '/') {
      part += c;
      continue;
    }
    MR_CHECK(part != "..");  // Nothing of ours walks upward.
    if (!part.empty() && part != ".") parts.push_back(part);
    part.clear();
  }
  return parts;
}

std::string SimDiskImage::Normal(const std::string& path) {
  return fmt::format("{}", fmt::join(Split(path), "/"));
}

std::shared_ptr<SimInode> SimDiskImage::Walk(const std::string& path) const {
  std::shared_ptr<SimInode> at = root_;
  for (const std::string& part : Split(path)) {
    auto next = at->names.find(part);
    if (next == at->names.end()) return nullptr;
    at = next->second;
  }
  return at;
}

absl::StatusOr<SimDiskImage::Place> SimDiskImage::Locate(const std::string& path) const {
  std::vector<std::string> parts = Split(path);
  if (parts.empty()) return absl::FailedPreconditionError("the root folder has no name");
  std::shared_ptr<SimInode> at = root_;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    auto next = at->names.find(parts[i]);
    if (next == at->names.end()) return NotFound(path);
    at = next->second;
    if (!at->is_directory) return NotADirectory(path);
  }
  return Place{at, parts.back()};
}

void SimDiskImage::Apply(Change change) {
  for (NameChange& one : change) {
    std::shared_ptr<SimInode>& shown = one.directory->names[one.name];
    if (shown != nullptr) --shown->links;
    shown = one.target;
    if (shown == nullptr) {
      one.directory->names.erase(one.name);
    } else {
      ++shown->links;
    }
  }
  unsynced_changes_.push_back(std::move(change));
}

void SimDiskImage::ApplySynced(const Change& change) {
  for (const NameChange& one : change) {
    if (one.target == nullptr) {
      one.directory->synced_names.erase(one.name);
    } else {
      one.directory->synced_names[one.name] = one.target;
    }
  }
}

absl::StatusOr<std::shared_ptr<SimInode>> SimDiskImage::Open(const std::string& path,
                                                             OpenOptions options) {
  MR_ASSIGN_OR_RETURN(Place place, Locate(path));
  auto found = place.directory->names.find(place.name);
  if (found == place.directory->names.end()) {
    if (!options.create) return NotFound(path);
    auto inode = std::make_shared<SimInode>();
    std::erase_if(files_, [](const auto& file) { return file.expired(); });
    files_.push_back(inode);
    Apply({{place.directory, place.name, inode}});
    return inode;
  }
  if (found->second->is_directory) {
    return absl::FailedPreconditionError(fmt::format("{}: is a folder", path));
  }
  if (options.create && options.exclusive) {
    return absl::AlreadyExistsError(fmt::format("{}: exists", path));
  }
  if (options.truncate) found->second->data.Resize(0);
  return found->second;
}

absl::Status SimDiskImage::CreateDirectories(const std::string& path) {
  std::shared_ptr<SimInode> at = root_;
  for (const std::string& part : Split(path)) {
    auto next = at->names.find(part);
    if (next == at->names.end()) {
      auto inode = std::make_shared<SimInode>();
      inode->is_directory = true;
      Apply({{at, part, inode}});
      at = inode;
      continue;
    }
    at = next->second;
    if (!at->is_directory) return NotADirectory(path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DirectoryEntry>> SimDiskImage::List(const std::string& path) {
  std::shared_ptr<SimInode> directory = Walk(path);
  if (directory == nullptr) return NotFound(path);
  if (!directory->is_directory) return NotADirectory(path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, inode] : directory->names) {
    entries.push_back({name, inode->is_directory, inode->data.size()});
  }
  return entries;
}

absl::Status SimDiskImage::Rename(const std::string& from, const std::string& to) {
  MR_ASSIGN_OR_RETURN(Place source, Locate(from));
  MR_ASSIGN_OR_RETURN(Place target, Locate(to));
  auto moved = source.directory->names.find(source.name);
  if (moved == source.directory->names.end()) return NotFound(from);
  auto replaced = target.directory->names.find(target.name);
  if (replaced != target.directory->names.end()) {
    if (replaced->second == moved->second) return absl::OkStatus();
    if (replaced->second->is_directory != moved->second->is_directory) return NotADirectory(to);
    if (!replaced->second->names.empty()) {
      return absl::FailedPreconditionError(fmt::format("{}: not empty", to));
    }
  }
  std::shared_ptr<SimInode> inode = moved->second;
  Apply({{source.directory, source.name, nullptr}, {target.directory, target.name, inode}});
  return absl::OkStatus();
}

absl::Status SimDiskImage::Remove(const std::string& path) {
  MR_ASSIGN_OR_RETURN(Place place, Locate(path));
  auto found = place.directory->names.find(place.name);
  if (found == place.directory->names.end()) return NotFound(path);
  if (!found->second->names.empty()) {
    return absl::FailedPreconditionError(fmt::format("{}: not empty", path));
  }
  Apply({{place.directory, place.name, nullptr}});
  return absl::OkStatus();
}

absl::Status SimDiskImage::SyncDirectory(const std::string& path) {
  std::shared_ptr<SimInode> directory = Walk(path);
  if (directory == nullptr) return NotFound(path);
  if (!directory->is_directory) return NotADirectory(path);
  // The folder's own changes, and the older ones of folders that share a rename with it: a newer
  // change must not reach the medium before an older one of the same name.
  std::vector<const SimInode*> folders{directory.get()};
  std::vector<size_t> synced;
  for (size_t i = unsynced_changes_.size(); i-- > 0;) {
    const Change& change = unsynced_changes_[i];
    const bool concerned = std::any_of(change.begin(), change.end(), [&](const NameChange& one) {
      return std::find(folders.begin(), folders.end(), one.directory.get()) != folders.end();
    });
    if (!concerned) continue;
    for (const NameChange& one : change) folders.push_back(one.directory.get());
    synced.push_back(i);
  }
  for (auto i = synced.rbegin(); i != synced.rend(); ++i) ApplySynced(unsynced_changes_[*i]);
  for (size_t i : synced)
    unsynced_changes_.erase(unsynced_changes_.begin() + static_cast<ptrdiff_t>(i));
  return absl::OkStatus();
}

void SimDiskImage::SyncEverything() {
  for (const Change& change : unsynced_changes_) ApplySynced(change);
  unsynced_changes_.clear();
  for (const std::weak_ptr<SimInode>& file : files_) {
    if (std::shared_ptr<SimInode> inode = file.lock()) inode->data.Sync();
  }
}

absl::Status SimDiskImage::Lock(const std::string& path) {
  absl::StatusOr<std::shared_ptr<SimInode>> inode = Open(path, {.create = true});
  if (!inode.ok()) return inode.status();
  if (!locks_.emplace(Normal(path), true).second) {
    return absl::FailedPreconditionError(fmt::format("{}: locked by another process", path));
  }
  return absl::OkStatus();
}

void SimDiskImage::Unlock(const std::string& path) { locks_.erase(Normal(path)); }

uint64_t SimDiskImage::UsedBytes() const {
  uint64_t used = 0;
  for (const std::weak_ptr<SimInode>& file : files_) {
    std::shared_ptr<SimInode> inode = file.lock();
    if (inode == nullptr || inode->links + inode->opens == 0) continue;
    used += inode->data.charged_bytes();
  }
  return used;
}

uint64_t SimDiskImage::FreeBytes() const {
  const uint64_t used = UsedBytes();
  return used >= options_.capacity_bytes ? 0 : options_.capacity_bytes - used;
}

void SimDiskImage::Break(const std::string& prefix, SimAccess least, absl::Status why) {
  broken_.insert_or_assign(Normal(prefix), Breakage{least, std::move(why)});
}

void SimDiskImage::Slow(const std::string& prefix, Duration more) {
  if (more == Duration(0)) {
    slow_.erase(Normal(prefix));
  } else {
    slow_.insert_or_assign(Normal(prefix), more);
  }
}

Duration SimDiskImage::SlowBy(const std::string& path) const {
  if (slow_.empty()) return Duration(0);
  const std::string normal = Normal(path);
  for (const auto& [prefix, more] : slow_) {
    if (IsInside(normal, prefix)) return more;
  }
  return Duration(0);
}

absl::Status SimDiskImage::CheckAccess(const std::string& path, SimAccess access) const {
  if (broken_.empty()) return absl::OkStatus();
  const std::string normal = Normal(path);
  for (const auto& [prefix, breakage] : broken_) {
    if (!IsInside(normal, prefix) || access < breakage.least) continue;
    return absl::Status(breakage.why.code(),
                        fmt::format("{}: {}", path, std::string(breakage.why.message())));
  }
  return absl::OkStatus();
}

absl::Status SimDiskImage::CheckRoom(const std::string& path, const SimFileData& file,
                                     uint64_t bytes) const {
  const uint64_t has = file.charged_bytes();
  if (bytes <= has) return absl::OkStatus();
  MR_RETURN_IF_ERROR(CheckAccess(path, SimAccess::kRoom));
  if (bytes - has <= FreeBytes()) return absl::OkStatus();
  return absl::ResourceExhaustedError("no space left on the simulated disk");
}

void SimDiskImage::LosePower() {
  // Which name changes reached the medium.
  const bool in_order = dice_.Coin();
  const size_t prefix = dice_.Below(unsynced_changes_.size() + 1);
  // A surviving change of a file's name takes the older ones of the same file with it: a file that
  // was renamed twice has one name, never two.
  std::vector<const SimInode*> settled;
  std::vector<bool> survives(unsynced_changes_.size());
  for (size_t i = unsynced_changes_.size(); i-- > 0;) {
    const Change& change = unsynced_changes_[i];
    const bool needed = std::any_of(change.begin(), change.end(), [&](const NameChange& one) {
      return std::find(settled.begin(), settled.end(), one.target.get()) != settled.end();
    });
    survives[i] = in_order ? i < prefix : needed || dice_.Coin();
    if (!survives[i]) continue;
    for (const NameChange& one : change) {
      if (one.target != nullptr) settled.push_back(one.target.get());
    }
  }
  for (size_t i = 0; i < survives.size(); ++i) {
    if (survives[i]) ApplySynced(unsynced_changes_[i]);
  }
  unsynced_changes_.clear();
  for (const std::weak_ptr<SimInode>& file : files_) {
    if (std::shared_ptr<SimInode> inode = file.lock()) inode->links = 0;
  }
  ShowSynced(*root_, dice_);
  locks_.clear();
}

void SimDiskImage::ShowSynced(SimInode& directory, SimRandom& dice) {
  directory.names = directory.synced_names;
  for (auto& [name, inode] : directory.names) {
    ++inode->links;
    if (inode->is_directory) {
      ShowSynced(*inode, dice);
    } else {
      inode->data.LosePower(dice);
    }
  }
}

void SimDiskImage::ForgetOrderedFaults() {
  reads_to_fail_ = writes_to_fail_ = syncs_to_fail_ = writes_to_misdirect_ = 0;
}

bool SimDiskImage::ReadFails() {
  return TakeOne(&reads_to_fail_) || dice_.Chance(options_.read_errors);
}
bool SimDiskImage::WriteFails() {
  return TakeOne(&writes_to_fail_) || dice_.Chance(options_.write_errors);
}
bool SimDiskImage::SyncFails() {
  return TakeOne(&syncs_to_fail_) || dice_.Chance(options_.sync_errors);
}
bool SimDiskImage::WriteIsMisdirected(const std::string& path) {
  const bool meant = path.find(misdirected_part_) != std::string::npos;
  return (meant && TakeOne(&writes_to_misdirect_)) || dice_.Chance(options_.misdirected_writes);
}

SimFileData* SimDiskImage::Find(const std::string& path) {
  std::shared_ptr<SimInode> inode = Walk(path);
  return inode == nullptr || inode->is_directory ? nullptr : &inode->data;
}

std::vector<std::string> SimDiskImage::Files() {
  std::vector<std::string> files;
  CollectFiles(*root_, "", &files);
  return files;
}

void SimDiskImage::CollectFiles(const SimInode& directory, const std::string& prefix,
                                std::vector<std::string>* files) {
  for (const auto& [name, inode] : directory.names) {
    if (inode->is_directory) {
      CollectFiles(*inode, prefix + name + "/", files);
    } else {
      files->push_back(prefix + name);
    }
  }
}

}  // namespace millrace

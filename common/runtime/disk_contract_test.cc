#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/disk.h"
#include "common/runtime/contract_test_suite.h"

namespace millrace {
namespace {

Task<Story> WritesAndReads(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/a";
  auto file = co_await disk.Open(path, OpenOptions{.create = true});
  story.push_back(Say(file));
  if (!file.ok()) co_return story;
  Chain chain = Text("hello, ");
  chain.Append(Slice::Copy("world"));
  story.push_back(Say(co_await (*file)->WriteAt(0, chain, {})));
  story.push_back(Say(co_await (*file)->WriteAt(7, Text("there"), {.durable = true})));
  story.push_back(Say(co_await (*file)->ReadAt(0, 12, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->ReadAt(7, 100, ReadHint::kSequentialOnce)));
  story.push_back(Say(co_await (*file)->ReadAt(12, 10, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->ReadAt(500, 10, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->Sync()));
  story.push_back(Say(co_await (*file)->Size()));
  story.push_back(Say(co_await (*file)->Links()));
  story.push_back(Say(co_await (*file)->Truncate(5)));
  story.push_back(Say(co_await (*file)->ReadAt(0, 12, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->Allocate(0, 100, /*grow=*/false)));
  story.push_back(Say(co_await (*file)->Size()));
  story.push_back(Say(co_await (*file)->Allocate(0, 8, /*grow=*/true)));
  story.push_back(std::to_string((co_await (*file)->ReadAt(0, 12, ReadHint::kNormal))->size()));
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: what was written is read, short only at the end of the file") {
  InEveryWorld<Story>(&WritesAndReads,
                      {"OK", "OK", "OK", "'hello, there'", "'there'", "''", "''", "OK", "12", "1",
                       "OK", "'hello'", "OK", "5", "OK", "8", "OK"});
}

Task<Story> ManyPieces(ContractWorld* world) {
  Story story;
  auto file = co_await world->env().disk.Open(world->folder() + "/a", OpenOptions{.create = true});
  if (!file.ok()) co_return Story{Say(file)};
  Chain chain;
  std::string all;
  for (int i = 0; i < 5000; ++i) {
    const std::string piece = std::to_string(i) + ",";
    chain.Append(Slice::Copy(piece));
    all += piece;
  }
  story.push_back(Say(co_await (*file)->WriteAt(3, chain, {.write_back_soon = true})));
  absl::StatusOr<Slice> read = co_await (*file)->ReadAt(3, all.size(), ReadHint::kNormal);
  story.push_back(read.ok() && read->view() == all ? "same" : "different");
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: a chain of thousands of pieces is written whole and in order") {
  InEveryWorld<Story>(&ManyPieces, {"OK", "same", "OK"});
}

Task<Story> DirectFiles(ContractWorld* world) {
  Story story;
  auto file = co_await world->env().disk.Open(world->folder() + "/a",
                                              OpenOptions{.create = true, .direct = true});
  if (!file.ok()) co_return Story{Say(file)};
  const size_t alignment = (*file)->alignment();
  const bool power_of_two = alignment > 0 && (alignment & (alignment - 1)) == 0;
  story.push_back(power_of_two && alignment <= kPageSize ? "aligned" : "odd");
  MutableBuffer buffer(4 * kPageSize, kPageSize);
  for (size_t i = 0; i < buffer.size(); ++i) buffer.data()[i] = static_cast<uint8_t>(i % 251);
  Slice slice = std::move(buffer).Freeze(4 * kPageSize);
  Chain chain(slice.Sub(0, kPageSize));
  chain.Append(slice.From(kPageSize));
  story.push_back(Say(co_await (*file)->WriteAt(kPageSize, chain, {.durable = true})));
  absl::StatusOr<Slice> read = co_await (*file)->ReadAt(kPageSize, 8 * kPageSize, {});
  story.push_back(read.ok() && read->view() == slice.view() ? "same" : "different");
  absl::StatusOr<Slice> gap = co_await (*file)->ReadAt(0, kPageSize, {});
  story.push_back(gap.ok() && gap->view() == std::string(kPageSize, '\0') ? "zeroes" : "rubbish");
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: a direct file says its alignment, and gives back what was written durably") {
  InEveryWorld<Story>(&DirectFiles, {"aligned", "OK", "same", "zeroes", "OK"});
}

Task<Story> Names(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string folder = world->folder() + "/x/y";
  story.push_back(Say(co_await disk.List(folder)));
  story.push_back(Say(co_await disk.CreateDirectories(folder)));
  story.push_back(Say(co_await disk.CreateDirectories(folder)));
  for (const char* name : {"b", "a", "c"}) {
    auto file = co_await disk.Open(folder + "/" + name, OpenOptions{.create = true});
    if (!file.ok()) co_return Story{Say(file)};
    (void)co_await (*file)->WriteAt(0, Text(name), {});
    (void)co_await (*file)->Close();
  }
  story.push_back(Say(co_await disk.Open(folder + "/none", OpenOptions{})));
  story.push_back(
      Say(co_await disk.Open(folder + "/a", OpenOptions{.create = true, .exclusive = true})));
  story.push_back(Say(co_await disk.Rename(folder + "/c", folder + "/a")));
  story.push_back(Say(co_await disk.Rename(folder + "/c", folder + "/d")));
  story.push_back(Say(co_await disk.SyncDirectory(folder)));
  story.push_back(Say(co_await ReadWholeFile(disk, folder + "/a", 10)));
  story.push_back(Say(co_await disk.Remove(folder)));
  story.push_back(Say(co_await disk.Remove(folder + "/b")));
  story.push_back(Say(co_await disk.Remove(folder + "/b")));
  auto listed = co_await disk.List(world->folder() + "/x");
  if (!listed.ok()) co_return Story{Say(listed)};
  for (const DirectoryEntry& entry : *listed) {
    story.push_back(entry.name + (entry.is_directory ? "/" : " ") + std::to_string(entry.size));
  }
  listed = co_await disk.List(folder);
  if (!listed.ok()) co_return Story{Say(listed)};
  for (const DirectoryEntry& entry : *listed) {
    story.push_back(entry.name + (entry.is_directory ? "/" : " ") + std::to_string(entry.size));
  }
  co_return story;
}

TEST_CASE("Disk: names are made, listed in order, renamed over others and removed") {
  InEveryWorld<Story>(
      &Names, {"NOT_FOUND", "OK", "OK", "NOT_FOUND", "ALREADY_EXISTS", "OK", "NOT_FOUND", "OK",
               "'c'", "FAILED_PRECONDITION", "OK", "NOT_FOUND", "y/0", "a 1"});
}

Task<Story> ManyFolders(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder();
  story.push_back(Say(co_await disk.CreateDirectories(path + "/a-1")));
  std::vector<NewFolder> wanted;
  for (const char* name : {"a-2", "a-1", "a-0"}) wanted.push_back({name, "about", name});
  for (const absl::Status& made : co_await disk.MakeFolders(path, std::move(wanted))) {
    story.push_back(Say(made));
  }
  story.push_back(Say(co_await ReadWholeFile(disk, path + "/a-0/about", 10)));
  story.push_back(Say(co_await disk.CreateDirectories(path + "/a-0/inside")));
  for (const auto& list : co_await disk.ListEach(path, {"a-0", "a-1", "none", "a-2/about"})) {
    story.push_back(Say(list));
    if (!list.ok()) continue;
    for (const DirectoryEntry& entry : *list) {
      story.push_back(entry.name + (entry.is_directory ? "/" : " ") + std::to_string(entry.size));
    }
  }
  co_return story;
}

TEST_CASE("Disk: many folders are made, and listed, by one call each") {
  InEveryWorld<Story>(
      &ManyFolders, {"OK", "OK", "ALREADY_EXISTS", "OK", "'a-0'", "OK", "OK", "about 3", "inside/0",
                     "OK", "NOT_FOUND", "FAILED_PRECONDITION"});
}

Task<Story> SyncsMany(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  std::vector<std::unique_ptr<File>> files;
  std::vector<File*> open;
  std::vector<std::string> folders;
  for (int i = 0; i < 20; ++i) {
    folders.push_back(world->folder() + "/" + std::to_string(i));
    absl::Status made = co_await disk.CreateDirectories(folders.back());
    auto file = co_await disk.Open(folders.back() + "/file", OpenOptions{.create = true});
    if (!made.ok() || !file.ok()) co_return Story{Say(made), Say(file)};
    story.push_back(Say(co_await (*file)->WriteAt(0, Text("x"), {})));
    open.push_back(file->get());
    files.push_back(*std::move(file));
  }
  absl::Status synced = co_await disk.SyncTogether(open, folders);
  // Not on every file system that a test may run on.
  story.push_back(absl::IsUnimplemented(synced) ? "OK" : Say(synced));
  folders.push_back(world->folder() + "/none");
  synced = co_await disk.SyncTogether(open, folders);
  story.push_back(synced.ok() ? "OK" : "fails");
  for (auto& file : files) story.push_back(Say(co_await file->Close()));
  story.erase(std::unique(story.begin(), story.end()), story.end());
  co_return story;
}

TEST_CASE("Disk: many files and folders are synced together") {
  InEveryWorld<Story>(&SyncsMany, {"OK", "fails", "OK"});
}

Task<Story> Locks(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/.lock";
  {
    auto first = co_await disk.Lock(path);
    story.push_back(Say(first));
    story.push_back(Say(co_await disk.Lock(path)));
  }
  story.push_back(Say(co_await disk.Lock(path)));
  absl::StatusOr<DiskSpace> space = co_await disk.Space(world->folder());
  const bool room = space.ok() && space->usable_bytes > 0;
  story.push_back(room && space->usable_bytes <= space->total_bytes ? "room" : Say(space));
  co_return story;
}

TEST_CASE("Disk: a folder's lock has one holder, and ends with it") {
  InEveryWorld<Story>(&Locks, {"OK", "FAILED_PRECONDITION", "OK", "room"});
}

Task<Story> Replaces(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/meta.properties";
  story.push_back(Say(co_await ReadWholeFile(disk, path, 100)));
  story.push_back(Say(co_await ReplaceFile(disk, path, "first and longer")));
  story.push_back(Say(co_await ReplaceFile(disk, path, "second")));
  story.push_back(Say(co_await ReadWholeFile(disk, path, 6)));
  story.push_back(Say(co_await ReadWholeFile(disk, path, 5)));
  auto listed = co_await disk.List(world->folder());
  story.push_back(listed.ok() ? std::to_string(listed->size()) : Say(listed));
  co_return story;
}

TEST_CASE("Disk: ReplaceFile leaves the new content and nothing else") {
  InEveryWorld<Story>(&Replaces, {"NOT_FOUND", "OK", "OK", "'second'", "OUT_OF_RANGE", "1"});
}

}  // namespace
}  // namespace millrace

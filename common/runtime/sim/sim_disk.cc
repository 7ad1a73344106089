#include "common/runtime/sim/sim_disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_process.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

absl::Status Crashed() { return absl::CancelledError("the simulated process has died"); }
absl::Status IoError(std::string_view what) {
  return absl::DataLossError(fmt::format("simulated I/O error in {}", what));
}

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::string path, std::shared_ptr<SimInode> inode, OpenOptions options)
      : disk_(disk), path_(std::move(path)), inode_(std::move(inode)), options_(options) {
    ++inode_->opens;
    alignment_ = options.direct ? disk.image().options().direct_alignment : 1;
  }
  ~SimFile() override {
    MR_CHECK(closed_);
    MR_CHECK(pending_ == 0);
    --inode_->opens;
  }

  Task<absl::StatusOr<Slice>> ReadAt(uint64_t position, size_t length, ReadHint hint) override;
  // Of every other page, so that readers go both ways. Nothing is drawn for it.
  bool IsCached(uint64_t position, size_t) override { return position / kPageSize % 2 == 0; }
  Task<absl::Status> WriteAt(uint64_t position, Chain data, WriteFlags flags) override;
  Task<absl::Status> Sync() override;
  Task<absl::Status> Truncate(uint64_t size) override;
  Task<absl::Status> Allocate(uint64_t position, uint64_t length, bool grow) override;
  Task<absl::StatusOr<uint64_t>> Size() override;
  Task<absl::StatusOr<uint64_t>> Links() override;
  Task<absl::Status> Close() override;
  size_t alignment() const override { return alignment_; }

 private:
  // Counts the operations in flight: closing under them, or destroying, is a bug.
  class InFlight {
   public:
    explicit InFlight(SimFile& file) : file_(file) {
      MR_CHECK(!file.closed_);
      ++file.pending_;
    }
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;
    ~InFlight() { --file_.pending_; }

   private:
    SimFile& file_;
  };

  SimFileData& data() { return inode_->data; }
  void CheckAligned(uint64_t position, uint64_t length) const {
    MR_CHECK(position % alignment_ == 0);
    MR_CHECK(length % alignment_ == 0);
  }
  // Bytes [begin, end) of `bytes` to `position + begin`.
  void WritePart(uint64_t position, const Slice& bytes, size_t begin, size_t end) {
    if (begin < end) data().Write(position + begin, bytes.span().subspan(begin, end - begin));
  }

  SimDisk& disk_;
  const std::string path_;
  const std::shared_ptr<SimInode> inode_;
  const OpenOptions options_;
  size_t alignment_ = 1;
  int pending_ = 0;
  bool closed_ = false;
};

Task<absl::StatusOr<Slice>> SimFile::ReadAt(uint64_t position, size_t length, ReadHint) {
  InFlight in_flight(*this);
  CheckAligned(position, length);
  if (!co_await disk_.Begin("read", position, length, /*sync=*/false)) co_return Crashed();
  if (disk_.image().ReadFails()) co_return IoError("read");
  MR_CO_RETURN_IF_ERROR(disk_.image().CheckAccess(path_, SimAccess::kRead));
  const uint64_t size = data().size();
  const size_t count =
      position >= size ? 0 : static_cast<size_t>(std::min<uint64_t>(length, size - position));
  MutableBuffer buffer(std::max<size_t>(count, 1), kPageSize);
  if (count > 0) data().Read(position, {buffer.data(), count});
  co_return std::move(buffer).Freeze(count);
}

Task<absl::Status> SimFile::WriteAt(uint64_t position, Chain chain, WriteFlags flags) {
  InFlight in_flight(*this);
  MR_CHECK(!options_.read_only);
  CheckAligned(position, chain.size());
  for (const Slice& slice : chain.slices()) {
    MR_CHECK(slice.size() % alignment_ == 0);
    MR_CHECK(reinterpret_cast<uintptr_t>(slice.data()) % alignment_ == 0);
  }
  if (disk_.process().dead()) {
    co_await disk_.Begin("write", position, chain.size(), flags.durable);
    co_return Crashed();
  }
  if (absl::Status access = disk_.image().CheckAccess(path_, SimAccess::kChange); !access.ok()) {
    if (!co_await disk_.Begin("write", position, chain.size(), flags.durable)) co_return Crashed();
    co_return access;
  }
  // The caller's buffers are the kernel's until the completion: what they hold then is written.
  const Slice bytes = chain.Flatten();
  SimRandom& dice = disk_.image().dice();
  if (disk_.image().WriteIsMisdirected(path_) && data().size() >= bytes.size()) {
    disk_.image().CountMisdirected();
    const uint64_t places = (data().size() - bytes.size()) / kPageSize + 1;
    position = dice.Below(places) * kPageSize;
  }
  const bool fails = disk_.image().WriteFails();
  // What is written when it is submitted; the rest follows at the completion, or never.
  size_t split = static_cast<size_t>(dice.Below(bytes.size() / kSectorBytes + 1)) * kSectorBytes;
  if (dice.Coin()) split = dice.Coin() ? 0 : bytes.size();
  if (split > 0) {
    MR_CO_RETURN_IF_ERROR(disk_.image().CheckRoom(path_, data(), position + split));
    WritePart(position, bytes, 0, split);
  }
  const Duration more = flags.durable ? disk_.image().SlowBy(path_) : Duration(0);
  if (!co_await disk_.Begin("write", position, bytes.size(), flags.durable, more)) {
    co_return Crashed();
  }
  if (fails) co_return IoError("write");
  MR_CO_RETURN_IF_ERROR(disk_.image().CheckRoom(path_, data(), position + bytes.size()));
  WritePart(position, bytes, split, bytes.size());
  if (flags.durable) data().SyncRange(position, position + bytes.size());
  co_return absl::OkStatus();
}

Task<absl::Status> SimFile::Sync() {
  InFlight in_flight(*this);
  const SimFileData::SyncPoint point = data().BeginSync();
  if (!co_await disk_.Begin("sync", 0, data().unsynced_sectors(), /*sync=*/true,
                            disk_.image().SlowBy(path_))) {
    data().AbandonSync();
    co_return Crashed();
  }
  if (disk_.image().SyncFails()) {
    data().AbandonSync();
    data().ForgetUnsynced();
    co_return IoError("fdatasync");
  }
  if (absl::Status access = disk_.image().CheckAccess(path_, SimAccess::kChange); !access.ok()) {
    data().AbandonSync();
    co_return access;
  }
  data().EndSync(point);
  co_return absl::OkStatus();
}

Task<absl::Status> SimFile::Truncate(uint64_t size) {
  InFlight in_flight(*this);
  co_return co_await disk_.Change("truncate", /*sync=*/false, [this, size] {
    MR_RETURN_IF_ERROR(disk_.image().CheckAccess(path_, SimAccess::kChange));
    MR_RETURN_IF_ERROR(disk_.image().CheckRoom(path_, data(), size));
    data().Resize(size);
    return absl::OkStatus();
  });
}

Task<absl::Status> SimFile::Allocate(uint64_t position, uint64_t length, bool grow) {
  InFlight in_flight(*this);
  co_return co_await disk_.Change("allocate", /*sync=*/false, [this, position, length, grow] {
    MR_RETURN_IF_ERROR(disk_.image().CheckAccess(path_, SimAccess::kChange));
    MR_RETURN_IF_ERROR(disk_.image().CheckRoom(path_, data(), position + length));
    data().Reserve(position + length);
    if (grow && position + length > data().size()) data().Resize(position + length);
    return absl::OkStatus();
  });
}

Task<absl::StatusOr<uint64_t>> SimFile::Size() {
  InFlight in_flight(*this);
  if (!co_await disk_.Begin("size", 0, 0, /*sync=*/false)) co_return Crashed();
  co_return data().size();
}

Task<absl::StatusOr<uint64_t>> SimFile::Links() { co_return 1; }

Task<absl::Status> SimFile::Close() {
  MR_CHECK(!closed_);
  MR_CHECK(pending_ == 0);
  closed_ = true;
  if (!co_await disk_.Begin("close", 0, 0, /*sync=*/false)) co_return Crashed();
  co_return absl::OkStatus();
}

class SimFileLock final : public FileLock {
 public:
  SimFileLock(SimDisk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}
  ~SimFileLock() override {
    // A death has already released it, and a later process may hold it.
    if (!disk_.process().dead()) disk_.image().Unlock(path_);
  }

 private:
  SimDisk& disk_;
  const std::string path_;
};

}  // namespace

SimDiskImage& SimDisk::image() { return process_.node().disk(); }

Task<bool> SimDisk::Begin(std::string_view what, uint64_t position, uint64_t length, bool sync,
                          Duration more) {
  if (process_.dead()) co_return co_await SimDelay(process_, reactor_, Duration(0));
  image().CountOperation();
  const SimDiskOptions& options = image().options();
  SimRandom& dice = image().dice();
  Duration time = dice.Between(options.latency_min,
                               sync ? std::max(options.latency_min, options.sync_latency_max)
                                    : std::max(options.latency_min, options.latency_max));
  if (dice.Chance(options.stalls)) time += options.stall;
  time += more;
  process_.Trace(what,
                 {reactor_.shard().value(), position, length, static_cast<uint64_t>(time.count())});
  const bool alive = co_await SimDelay(process_, reactor_, time);
  // A crash in the same instant may come between the completion and this turn: nothing is done then
  // that the power loss would not have seen, and nobody hears that it was.
  co_return alive && !process_.dead();
}

Task<absl::Status> SimDisk::Change(std::string_view what, bool sync,
                                   std::move_only_function<absl::Status()> change, Duration more) {
  std::optional<absl::Status> result;
  if (!process_.dead() && image().dice().Coin()) result = change();
  if (!co_await Begin(what, 0, 0, sync, more)) co_return Crashed();
  if (!result.has_value()) result = change();
  process_.Trace("changed", {static_cast<uint64_t>(result->raw_code())});
  co_return *result;
}

Task<absl::StatusOr<std::unique_ptr<File>>> SimDisk::Open(std::string path, OpenOptions options) {
  std::shared_ptr<SimInode> inode;
  const SimAccess access = options.read_only ? SimAccess::kRead : SimAccess::kChange;
  MR_CO_RETURN_IF_ERROR(co_await Change("open", /*sync=*/false, [&] {
    MR_RETURN_IF_ERROR(image().CheckAccess(path, access));
    if (options.create && image().Find(path) == nullptr) {
      MR_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kRoom));
    }
    absl::StatusOr<std::shared_ptr<SimInode>> opened = image().Open(path, options);
    if (opened.ok()) inode = *std::move(opened);
    return opened.status();
  }));
  co_return std::make_unique<SimFile>(*this, std::move(path), std::move(inode), options);
}

Task<absl::Status> SimDisk::CreateDirectories(std::string path) {
  co_return co_await Change("mkdir", false, [&] {
    MR_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kRoom));
    return image().CreateDirectories(path);
  });
}

Task<absl::StatusOr<std::vector<DirectoryEntry>>> SimDisk::List(std::string path) {
  if (!co_await Begin("list", 0, 0, /*sync=*/false)) co_return Crashed();
  MR_CO_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kRead));
  co_return image().List(path);
}

Task<absl::Status> SimDisk::Rename(std::string from, std::string to) {
  co_return co_await Change("rename", false, [&] {
    MR_RETURN_IF_ERROR(image().CheckAccess(from, SimAccess::kChange));
    return image().Rename(from, to);
  });
}

Task<absl::Status> SimDisk::Remove(std::string path) {
  const auto remove = [&] {
    MR_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kChange));
    return image().Remove(path);
  };
  co_return co_await Change("remove", false, remove, image().SlowBy(path));
}

Task<absl::Status> SimDisk::SyncDirectory(std::string path) {
  if (!co_await Begin("syncdir", 0, 0, /*sync=*/true, image().SlowBy(path))) co_return Crashed();
  MR_CO_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kChange));
  co_return image().SyncDirectory(path);
}

Task<absl::Status> SimDisk::SyncTogether(std::vector<File*> files,
                                         std::vector<std::string> folders) {
  if (!image().options().syncs_together) {
    co_return absl::UnimplementedError("the simulated file system cannot sync all at once");
  }
  for (File* file : files) MR_CO_RETURN_IF_ERROR(co_await file->Sync());
  for (std::string& folder : folders) {
    MR_CO_RETURN_IF_ERROR(co_await SyncDirectory(std::move(folder)));
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::unique_ptr<FileLock>>> SimDisk::Lock(std::string path) {
  if (!co_await Begin("lock", 0, 0, /*sync=*/false)) co_return Crashed();
  MR_CO_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kChange));
  MR_CO_RETURN_IF_ERROR(image().Lock(path));
  co_return std::make_unique<SimFileLock>(*this, std::move(path));
}

Task<absl::StatusOr<DiskSpace>> SimDisk::Space(std::string path) {
  if (!co_await Begin("statfs", 0, 0, /*sync=*/false)) co_return Crashed();
  MR_CO_RETURN_IF_ERROR(image().CheckAccess(path, SimAccess::kRead));
  const bool full = !image().CheckAccess(path, SimAccess::kRoom).ok();
  co_return DiskSpace{.total_bytes = image().options().capacity_bytes,
                      .usable_bytes = full ? 0 : image().FreeBytes()};
}

}  // namespace millrace

#include "storage/kv/kv_store_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "storage/kv/kv_store_keys.h"

namespace millrace {
namespace {

constexpr uint32_t kMagic = 0x4D524B56;  // "MRKV"
constexpr uint8_t kFormat = 1;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kChangeHeaderBytes = 9;
constexpr size_t kSnapshotRecordBytes = size_t{256} << 10;

enum class RecordKind : uint8_t { kSnapshot = 1, kSnapshotEnd = 2, kBatch = 3 };

struct RecordHeader {
  uint32_t crc;
  uint32_t payload_bytes;
  uint8_t kind;
  uint8_t format;
  uint64_t sequence;
  uint64_t synced_bytes;
};

// A record that is being put together.
class RecordWriter {
 public:
  RecordWriter() : bytes_(kHeaderBytes, '\0') {}

  void Add(KvBatch::Op op, std::string_view key, std::string_view value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + kChangeHeaderBytes);
    auto* head = reinterpret_cast<uint8_t*>(bytes_.data() + at);
    head[0] = static_cast<uint8_t>(op);
    StoreBig<uint32_t>(head + 1, static_cast<uint32_t>(key.size()));
    StoreBig<uint32_t>(head + 5, static_cast<uint32_t>(value.size()));
    bytes_.append(key);
    bytes_.append(value);
  }
  size_t size() const { return bytes_.size(); }

  Slice Seal(RecordKind kind, uint64_t sequence, uint64_t synced_bytes) {
    auto* head = reinterpret_cast<uint8_t*>(bytes_.data());
    StoreBig<uint32_t>(head, kMagic);
    StoreBig<uint32_t>(head + 8, static_cast<uint32_t>(bytes_.size() - kHeaderBytes));
    head[12] = static_cast<uint8_t>(kind);
    head[13] = kFormat;
    StoreBig<uint64_t>(head + 16, sequence);
    StoreBig<uint64_t>(head + 24, synced_bytes);
    StoreBig<uint32_t>(head + 4, Crc32c({head + 8, bytes_.size() - 8}));
    return Slice::Copy(std::string_view(bytes_));
  }

 private:
  std::string bytes_;
};

// The header of a whole record at the start of `bytes`; nothing where there is none.
std::optional<RecordHeader> WholeRecord(std::span<const uint8_t> bytes) {
  if (bytes.size() < kHeaderBytes) return std::nullopt;
  const uint8_t* at = bytes.data();
  if (LoadBig<uint32_t>(at) != kMagic) return std::nullopt;
  const RecordHeader header{.crc = LoadBig<uint32_t>(at + 4),
                            .payload_bytes = LoadBig<uint32_t>(at + 8),
                            .kind = at[12],
                            .format = at[13],
                            .sequence = LoadBig<uint64_t>(at + 16),
                            .synced_bytes = LoadBig<uint64_t>(at + 24)};
  if (header.payload_bytes > bytes.size() - kHeaderBytes) return std::nullopt;
  const size_t covered = kHeaderBytes - 8 + header.payload_bytes;
  if (Crc32c(bytes.subspan(8, covered)) != header.crc) return std::nullopt;
  return header;
}

absl::StatusOr<std::vector<KvBatch::Change>> ParseChanges(std::span<const uint8_t> payload) {
  const auto bad = [](std::string_view what) {
    return absl::DataLossError(fmt::format("a record of the key-value store: {}", what));
  };
  std::vector<KvBatch::Change> changes;
  while (!payload.empty()) {
    if (payload.size() < kChangeHeaderBytes) return bad("a change is cut short");
    const uint8_t op = payload[0];
    const size_t key_bytes = LoadBig<uint32_t>(payload.data() + 1);
    const size_t value_bytes = LoadBig<uint32_t>(payload.data() + 5);
    payload = payload.subspan(kChangeHeaderBytes);
    if (op < 1 || op > 3) return bad("a change of unknown kind");
    if (key_bytes > payload.size() || value_bytes > payload.size() - key_bytes) {
      return bad("a change goes beyond its record");
    }
    const auto* text = reinterpret_cast<const char*>(payload.data());
    changes.push_back({static_cast<KvBatch::Op>(op), std::string(text, key_bytes),
                       std::string(text + key_bytes, value_bytes)});
    payload = payload.subspan(key_bytes + value_bytes);
  }
  return changes;
}

// A disk that refuses, or whose sync failed, damages nothing that lies there: kDataLoss is said of
// contents.
absl::Status OfTheDisk(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::UnavailableError(
      fmt::format("the key-value store: {}", std::string(status.message())));
}

// The number in "kv-<n>.log"; nothing for other names.
std::optional<uint64_t> FileNumber(std::string_view name) {
  if (!name.starts_with("kv-") || !name.ends_with(".log")) return std::nullopt;
  name.remove_prefix(3);
  name.remove_suffix(4);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number;
}

}  // namespace

LogKvStore::LogKvStore(Env& env, std::string directory, Options options)
    : directory_(std::move(directory)),
      options_(options),
      env_(env),
      queue_(env.reactor, *this),
      reads_(env.reactor) {}

LogKvStore::~LogKvStore() { MR_CHECK(file_ == nullptr); }

std::string LogKvStore::PathOf(uint64_t number) const {
  return fmt::format("{}/kv-{}.log", directory_, number);
}

Task<absl::StatusOr<std::unique_ptr<LogKvStore>>> LogKvStore::Open(
    Env& env,  // NOLINT(cppcoreguidelines-avoid-reference-coroutine-parameters): outlives us.
    std::string directory, Options options) {
  std::unique_ptr<LogKvStore> store(new LogKvStore(env, std::move(directory), options));
  absl::Status status = co_await store->Load();
  if (!status.ok()) {
    (co_await store->Close()).IgnoreError();
    co_return status;
  }
  co_return store;
}

Task<absl::Status> LogKvStore::Load() {
  MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await env_.disk.CreateDirectories(directory_)));
  absl::StatusOr<std::vector<DirectoryEntry>> entries = co_await env_.disk.List(directory_);
  MR_CO_RETURN_IF_ERROR(OfTheDisk(entries.status()));
  std::vector<std::string> leftovers;
  uint64_t newest = 0;
  for (const DirectoryEntry& entry : *entries) {
    const std::optional<uint64_t> number = FileNumber(entry.name);
    if (number.has_value()) newest = std::max(newest, *number);
  }
  for (const DirectoryEntry& entry : *entries) {
    const std::optional<uint64_t> number = FileNumber(entry.name);
    const bool older = number.has_value() && *number < newest;
    if (older || entry.name.ends_with(".tmp")) leftovers.push_back(directory_ + "/" + entry.name);
  }
  const size_t slash = directory_.rfind('/');
  const std::string parent = slash == std::string::npos ? std::string(".")
                             : slash == 0               ? std::string("/")
                                                        : directory_.substr(0, slash);
  // Always: what is there may be of a process that was killed before it had synced the names.
  MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await env_.disk.SyncDirectory(parent)));
  if (newest == 0) {
    MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await Compact()));  // The first file: an empty snapshot.
  } else {
    MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await env_.disk.SyncDirectory(directory_)));
    MR_CO_RETURN_IF_ERROR(co_await LoadFile(newest));
  }
  // A crash between a rename and this leaves files that the newest one replaces.
  for (const std::string& path : leftovers) {
    const absl::Status removed = co_await env_.disk.Remove(path);
    if (!removed.ok() && !absl::IsNotFound(removed)) co_return OfTheDisk(removed);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogKvStore::LoadFile(uint64_t number) {
  const std::string path = PathOf(number);
  absl::StatusOr<Slice> read = co_await ReadWholeFile(env_.disk, path, options_.bytes_max);
  MR_CO_RETURN_IF_ERROR(OfTheDisk(read.status()));
  const Slice& content = *read;
  MR_CO_ASSIGN_OR_RETURN(const uint64_t end, ReplayRecords(content, path));
  absl::StatusOr<std::unique_ptr<File>> file = co_await env_.disk.Open(path, OpenOptions{});
  MR_CO_RETURN_IF_ERROR(OfTheDisk(file.status()));
  file_ = *std::move(file);
  number_ = number;
  file_bytes_ = end;
  if (end < content.size()) MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await file_->Truncate(end)));
  // What was read may be in the page cache only: a killed process left it unsynced, or its sync
  // failed, and then the kernel takes pages for clean that the medium does not have. What is built
  // upon is therefore written again, so that this sync is about it.
  Chain again(content.Sub(0, end));
  MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await file_->WriteAt(0, std::move(again), WriteFlags{})));
  MR_CO_RETURN_IF_ERROR(OfTheDisk(co_await file_->Sync()));
  synced_bytes_ = end;
  co_return absl::OkStatus();
}

absl::StatusOr<uint64_t> LogKvStore::ReplayRecords(const Slice& content, const std::string& path) {
  size_t at = 0;
  bool complete = false;  // The snapshot.
  for (;;) {
    const std::optional<RecordHeader> header = WholeRecord(content.span().subspan(at));
    if (!header.has_value() || header->sequence != next_sequence_) break;
    if (header->format != kFormat) {
      return absl::UnimplementedError(
          fmt::format("{}: format {}; this version reads {}: written by a newer version", path,
                      header->format, kFormat));
    }
    MR_ASSIGN_OR_RETURN(
        std::vector<KvBatch::Change> changes,
        ParseChanges(content.span().subspan(at + kHeaderBytes, header->payload_bytes)));
    for (const KvBatch::Change& change : changes) Apply(change);
    complete |= header->kind == static_cast<uint8_t>(RecordKind::kSnapshotEnd);
    at += kHeaderBytes + header->payload_bytes;
    ++next_sequence_;
  }
  if (!complete) return absl::DataLossError(fmt::format("{}: its snapshot is damaged", path));
  for (size_t behind = at; behind < content.size(); ++behind) {
    const std::optional<RecordHeader> header = WholeRecord(content.span().subspan(behind));
    if (!header.has_value() || header->sequence < next_sequence_) continue;
    if (header->synced_bytes > at) {
      return absl::DataLossError(fmt::format("{}: damaged at byte {}, though {} bytes were synced",
                                             path, at, header->synced_bytes));
    }
  }
  return at;
}

void LogKvStore::Apply(const KvBatch::Change& change) {
  const auto erase = [this](std::map<std::string, std::string>::iterator entry) {
    held_bytes_ -= entry->first.size() + entry->second.size();
    return map_.erase(entry);
  };
  switch (change.op) {
    case KvBatch::Op::kPut: {
      const auto entry = map_.find(change.key);
      if (entry != map_.end()) erase(entry);
      map_.emplace(change.key, change.value);
      held_bytes_ += change.key.size() + change.value.size();
      return;
    }
    case KvBatch::Op::kDelete: {
      const auto entry = map_.find(change.key);
      if (entry != map_.end()) erase(entry);
      return;
    }
    case KvBatch::Op::kDeleteRange: {
      auto entry = map_.lower_bound(change.key);
      while (entry != map_.end() && entry->first < change.value) entry = erase(entry);
      return;
    }
  }
}

Task<absl::Status> LogKvStore::Commit(std::vector<KvBatch> batches, bool sync) {
  co_return OfTheDisk(co_await Append(std::move(batches), sync));
}

Task<absl::Status> LogKvStore::Append(std::vector<KvBatch> batches, bool sync) {
  Chain chain;
  for (const KvBatch& batch : batches) {
    RecordWriter record;
    for (const KvBatch::Change& change : batch.changes()) {
      record.Add(change.op, change.key, change.value);
    }
    chain.Append(record.Seal(RecordKind::kBatch, next_sequence_++, synced_bytes_));
  }
  if (!chain.empty()) {
    const uint64_t length = chain.size();
    MR_CO_RETURN_IF_ERROR(co_await file_->WriteAt(file_bytes_, std::move(chain), WriteFlags{}));
    file_bytes_ += length;
  }
  if (sync && synced_bytes_ < file_bytes_) {
    MR_CO_RETURN_IF_ERROR(co_await file_->Sync());
    synced_bytes_ = file_bytes_;
  }
  for (const KvBatch& batch : batches) {
    for (const KvBatch::Change& change : batch.changes()) Apply(change);
  }
  if (file_bytes_ > 2 * held_bytes_ + options_.compact_bytes_min) co_return co_await Compact();
  co_return absl::OkStatus();
}

// In steps: everything goes to a file without a name that counts; it is synced; it gets its name;
// the name is synced; only then do writes go there, and the old file is removed. After a crash the
// old file, or the new one, or both are there, and hold the same.
Task<absl::Status> LogKvStore::Compact() {
  const uint64_t number = number_ + 1;
  const std::string path = PathOf(number);
  const std::string unnamed = path + ".tmp";
  MR_CO_ASSIGN_OR_RETURN(
      std::unique_ptr<File> file,
      co_await env_.disk.Open(unnamed, OpenOptions{.create = true, .truncate = true}));
  absl::Status status = co_await WriteSnapshot(*file);
  if (status.ok()) status = co_await env_.disk.Rename(unnamed, path);
  if (status.ok()) status = co_await env_.disk.SyncDirectory(directory_);
  if (!status.ok()) {
    (co_await file->Close()).IgnoreError();
    co_return status;
  }
  std::unique_ptr<File> old = std::exchange(file_, std::move(file));
  const uint64_t old_number = std::exchange(number_, number);
  ++compactions_;
  if (old == nullptr) co_return absl::OkStatus();
  MR_CO_RETURN_IF_ERROR(co_await old->Close());
  co_return co_await env_.disk.Remove(PathOf(old_number));
}

Task<absl::Status> LogKvStore::WriteSnapshot(File& file) {
  next_sequence_ = 1;
  uint64_t bytes = 0;
  auto entry = map_.begin();  // Only Commit() changes the map, and it waits for us.
  for (bool more = true; more;) {
    RecordWriter record;
    while (entry != map_.end() && record.size() < kSnapshotRecordBytes) {
      record.Add(KvBatch::Op::kPut, entry->first, entry->second);
      ++entry;
    }
    more = entry != map_.end();
    const RecordKind kind = more ? RecordKind::kSnapshot : RecordKind::kSnapshotEnd;
    Chain chain(record.Seal(kind, next_sequence_++, 0));
    const uint64_t length = chain.size();
    MR_CO_RETURN_IF_ERROR(co_await file.WriteAt(bytes, std::move(chain), WriteFlags{}));
    bytes += length;
  }
  MR_CO_RETURN_IF_ERROR(co_await file.Sync());
  file_bytes_ = bytes;
  synced_bytes_ = bytes;
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::optional<std::string>>> LogKvStore::Get(KvSpace space, std::string key) {
  Gate::Holder hold = reads_.TryEnter();
  if (!hold) co_return absl::UnavailableError("the key-value store is closed");
  co_await Yield(env_.reactor);  // As RocksDB does: callers must bear it.
  const auto entry = map_.find(KvStoredKey(space, key));
  if (entry == map_.end()) co_return std::nullopt;
  co_return std::optional<std::string>(entry->second);
}

Task<absl::StatusOr<KvPage>> LogKvStore::Scan(KvRange range, size_t entries_max, size_t bytes_max) {
  Gate::Holder hold = reads_.TryEnter();
  if (!hold) co_return absl::UnavailableError("the key-value store is closed");
  co_await Yield(env_.reactor);
  const KvStoredRange stored = StoredRange(range);
  KvPage page;
  size_t bytes = 0;
  for (auto entry = map_.lower_bound(stored.begin);
       entry != map_.end() && entry->first < stored.end; ++entry) {
    bytes += entry->first.size() - 1 + entry->second.size();
    if (!page.entries.empty() && (page.entries.size() >= entries_max || bytes > bytes_max)) {
      page.next_key = entry->first.substr(1);
      break;
    }
    page.entries.push_back({entry->first.substr(1), entry->second});
  }
  co_return page;
}

Task<absl::Status> LogKvStore::Write(KvBatch batch, KvWriteOptions options) {
  return queue_.Submit(std::move(batch), options.sync);
}

Task<absl::Status> LogKvStore::Flush() { return queue_.Submit(KvBatch(), /*sync=*/true); }

Task<absl::Status> LogKvStore::Close() {
  absl::Status status;
  if (file_ != nullptr && queue_.status().ok()) status = co_await Flush();
  co_await queue_.Close();
  co_await reads_.Close();
  std::unique_ptr<File> file = std::move(file_);
  if (file != nullptr) status.Update(co_await file->Close());
  co_return status;
}

}  // namespace millrace

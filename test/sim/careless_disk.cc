#include "test/sim/careless_disk.h"

namespace millrace::simtest {

class CarelessDisk::CarelessFile final : public File {
 public:
  CarelessFile(const CarelessDisk& disk, bool is_segment, std::unique_ptr<File> file)
      : disk_(disk), is_segment_(is_segment), file_(std::move(file)) {}

  Task<absl::StatusOr<Slice>> ReadAt(uint64_t position, size_t length, ReadHint hint) override {
    return file_->ReadAt(position, length, hint);
  }
  bool IsCached(uint64_t position, size_t length) override {
    return file_->IsCached(position, length);
  }
  Task<absl::Status> WriteAt(uint64_t position, Chain data, WriteFlags flags) override {
    return file_->WriteAt(position, std::move(data), flags);
  }
  Task<absl::Status> Sync() override {
    if (disk_.forgets_ && is_segment_) co_return absl::OkStatus();
    co_return co_await file_->Sync();
  }
  Task<absl::Status> Truncate(uint64_t size) override { return file_->Truncate(size); }
  Task<absl::Status> Allocate(uint64_t position, uint64_t length, bool grow) override {
    return file_->Allocate(position, length, grow);
  }
  Task<absl::StatusOr<uint64_t>> Size() override { return file_->Size(); }
  Task<absl::StatusOr<uint64_t>> Links() override { return file_->Links(); }
  Task<absl::Status> Close() override { return file_->Close(); }
  size_t alignment() const override { return file_->alignment(); }

 private:
  const CarelessDisk& disk_;
  const bool is_segment_;
  const std::unique_ptr<File> file_;
};

Task<absl::StatusOr<std::unique_ptr<File>>> CarelessDisk::Open(std::string path,
                                                               OpenOptions options) {
  const bool is_segment = path.ends_with(".log");
  auto file = co_await disk_.Open(std::move(path), options);
  if (!file.ok()) co_return file.status();
  co_return std::make_unique<CarelessFile>(*this, is_segment, *std::move(file));
}

}  // namespace millrace::simtest

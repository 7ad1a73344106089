#include "test/bench/segment_output.h"

#include <cstring>
#include <utility>

#include "common/bytes/block.h"
#include "common/status_macros.h"

namespace millrace::bench {
namespace {

class BufferedOutput final : public SegmentOutput {
 public:
  BufferedOutput(std::unique_ptr<File> file, bool write_back_soon)
      : file_(std::move(file)), write_back_soon_(write_back_soon) {}

  Task<absl::Status> Append(Chain bytes) override {
    const uint64_t position = std::exchange(size_, size_ + bytes.size());
    co_return co_await file_->WriteAt(position, std::move(bytes),
                                      WriteFlags{.write_back_soon = write_back_soon_});
  }
  Task<absl::Status> Sync() override { co_return co_await file_->Sync(); }
  Task<absl::Status> Close() override { co_return co_await file_->Close(); }
  uint64_t size() const override { return size_; }

 private:
  const std::unique_ptr<File> file_;
  const bool write_back_soon_;
  uint64_t size_ = 0;
};

class DirectOutput final : public SegmentOutput {
 public:
  DirectOutput(std::unique_ptr<File> direct, std::unique_ptr<File> buffered, uint64_t reserve_bytes)
      : direct_(std::move(direct)), buffered_(std::move(buffered)), reserve_bytes_(reserve_bytes) {}

  Task<absl::Status> Append(Chain bytes) override {
    const size_t all = rest_ + bytes.size();
    Gather(bytes);
    const size_t whole = all / kPageSize * kPageSize;
    if (whole > 0) {
      while (reserve_bytes_ > 0 && written_ + whole > reserved_) {
        MR_CO_RETURN_IF_ERROR(
            co_await buffered_->Allocate(reserved_, reserve_bytes_, /*grow=*/false));
        reserved_ += reserve_bytes_;
      }
      MR_CO_RETURN_IF_ERROR(
          co_await direct_->WriteAt(written_, Chain(buffer_.Share(0, whole)), WriteFlags{}));
      written_ += whole;
    }
    rest_ = all - whole;
    std::memmove(buffer_.data(), buffer_.data() + whole, rest_);
    co_return absl::OkStatus();
  }

  Task<absl::Status> Sync() override {
    if (rest_ > 0) {
      MR_CO_RETURN_IF_ERROR(
          co_await buffered_->WriteAt(written_, Chain(buffer_.Share(0, rest_)), WriteFlags{}));
    }
    co_return co_await buffered_->Sync();
  }

  Task<absl::Status> Close() override {
    MR_CO_RETURN_IF_ERROR(co_await direct_->Close());
    co_return co_await buffered_->Close();
  }
  uint64_t size() const override { return written_ + rest_; }

 private:
  // Behind the rest of the piece before. The buffer is this file's own, and stays.
  void Gather(const Chain& bytes) {
    if (buffer_.size() < rest_ + bytes.size()) {
      MutableBuffer larger(rest_ + bytes.size() + kPageSize, kPageSize);
      std::memcpy(larger.data(), buffer_.data(), rest_);
      buffer_ = std::move(larger);
    }
    uint8_t* to = buffer_.data() + rest_;
    for (const Slice& slice : bytes.slices()) {
      std::memcpy(to, slice.data(), slice.size());
      to += slice.size();
    }
  }

  const std::unique_ptr<File> direct_;
  const std::unique_ptr<File> buffered_;
  const uint64_t reserve_bytes_;
  MutableBuffer buffer_{2 * kPageSize, kPageSize};
  size_t rest_ = 0;       // At the buffer's beginning, less than a page.
  uint64_t written_ = 0;  // Whole pages.
  uint64_t reserved_ = 0;
};

}  // namespace

Task<OpenedOutput> OpenBufferedOutput(Disk& disk, std::string path, bool write_back_soon) {
  auto file = co_await disk.Open(std::move(path), OpenOptions{.create = true, .exclusive = true});
  if (!file.ok()) co_return file.status();
  co_return std::make_unique<BufferedOutput>(*std::move(file), write_back_soon);
}

Task<OpenedOutput> OpenDirectOutput(Disk& disk, std::string path, uint64_t reserve_bytes) {
  auto buffered = co_await disk.Open(path, OpenOptions{.create = true, .exclusive = true});
  if (!buffered.ok()) co_return buffered.status();
  auto direct = co_await disk.Open(std::move(path), OpenOptions{.direct = true});
  if (!direct.ok()) co_return direct.status();
  co_return std::make_unique<DirectOutput>(*std::move(direct), *std::move(buffered), reserve_bytes);
}

}  // namespace millrace::bench

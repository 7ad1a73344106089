#include "replication/stream_reader.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kAheadBytes = 16 * 1024;
// Bodies from this size on get page-aligned memory, which can be written to disk as it is.
constexpr size_t kAlignedFromBytes = 8 * 1024;
// So often it shows that the peer is there: over a slow line in time.
constexpr size_t kReceivePieceBytes = size_t{256} << 10;

}  // namespace

StreamReader::StreamReader(Reactor& reactor, Connection& connection, StreamSide peer,
                           size_t data_bytes_max)
    : reactor_(reactor), connection_(connection), peer_(peer), data_bytes_max_(data_bytes_max) {}

Task<absl::Status> StreamReader::Fill(size_t wanted) {
  while (ahead_.size() < wanted) {
    waiting_since_ = reactor_.Now();
    absl::StatusOr<Slice> more = co_await connection_.ReceiveSome(kAheadBytes);
    waiting_since_.reset();
    if (!more.ok()) co_return more.status();
    if (more->empty()) co_return absl::UnavailableError("the peer ended the stream");
    if (ahead_.empty()) {
      ahead_ = *std::move(more);
      continue;
    }
    MutableBuffer joined(ahead_.size() + more->size());
    std::memcpy(joined.data(), ahead_.data(), ahead_.size());
    std::memcpy(joined.data() + ahead_.size(), more->data(), more->size());
    const size_t size = joined.size();
    ahead_ = std::move(joined).Freeze(size);
  }
  co_return absl::OkStatus();
}

Slice StreamReader::Take(size_t bytes) {
  Slice taken = ahead_.Sub(0, bytes);
  ahead_ = bytes == ahead_.size() ? Slice() : ahead_.From(bytes);
  return taken;
}

Task<absl::StatusOr<StreamReader::Frame>> StreamReader::Next() {
  MR_CO_RETURN_IF_ERROR(co_await Fill(kStreamHeadBytes));
  absl::StatusOr<StreamHead> head = ParseStreamHead(ahead_.span(), peer_, data_bytes_max_);
  if (!head.ok()) co_return head.status();
  const size_t bytes = kStreamHeadBytes + head->control_bytes();
  MR_CO_RETURN_IF_ERROR(co_await Fill(bytes));
  co_return Frame{*head, Take(bytes)};
}

Task<absl::StatusOr<Slice>> StreamReader::TakeBatches(size_t bytes) {
  if (bytes <= ahead_.size()) co_return Take(bytes);
  MutableBuffer body(bytes, bytes >= kAlignedFromBytes ? kPageSize : 64);
  const size_t have = ahead_.size();
  if (have > 0) std::memcpy(body.data(), ahead_.data(), have);
  ahead_ = Slice();
  for (size_t at = have; at < bytes;) {
    const size_t end = std::min(bytes, at + kReceivePieceBytes);
    waiting_since_ = reactor_.Now();
    absl::StatusOr<MutableBuffer> filled =
        co_await connection_.ReceiveExactly(std::move(body), at, end);
    waiting_since_.reset();
    if (!filled.ok()) co_return filled.status();
    body = *std::move(filled);
    at = end;
  }
  co_return std::move(body).Freeze(bytes);
}

Task<absl::StatusOr<Slice>> StreamReader::NextKafkaFrame(size_t bytes_max) {
  MR_CO_RETURN_IF_ERROR(co_await Fill(sizeof(int32_t)));
  const auto size = LoadBig<int32_t>(ahead_.data());
  if (size <= 0 || static_cast<size_t>(size) > bytes_max) {
    co_return absl::InvalidArgumentError(
        fmt::format("an answer of {} bytes: not a broker of ours", size));
  }
  MR_CO_RETURN_IF_ERROR(co_await Fill(sizeof(int32_t) + static_cast<size_t>(size)));
  Take(sizeof(int32_t));
  co_return Take(static_cast<size_t>(size));
}

std::optional<Duration> StreamReader::Silence() const {
  if (!waiting_since_.has_value()) return std::nullopt;
  return reactor_.Now() - *waiting_since_;
}

}  // namespace millrace

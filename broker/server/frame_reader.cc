#include "broker/server/frame_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {

Task<absl::Status> FrameReader::Fill(size_t wanted) {
  while (ahead_.size() < wanted) {
    absl::StatusOr<Slice> more = co_await connection_.ReceiveSome(kReadAheadBytes);
    if (!more.ok()) co_return more.status();
    if (more->empty()) {
      if (ahead_.empty() && !mid_frame_)
        co_return absl::OutOfRangeError("the client closed the connection");
      co_return absl::UnavailableError("the client closed the connection within a frame");
    }
    progress_ += more->size();
    mid_frame_ = true;
    if (ahead_.empty()) {
      ahead_ = *std::move(more);
    } else {
      MutableBuffer joined(ahead_.size() + more->size());
      std::memcpy(joined.data(), ahead_.data(), ahead_.size());
      std::memcpy(joined.data() + ahead_.size(), more->data(), more->size());
      size_t size = joined.size();
      ahead_ = std::move(joined).Freeze(size);
    }
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<Slice>> FrameReader::Peek(size_t wanted) {
  mid_frame_ = !ahead_.empty();
  MR_CO_RETURN_IF_ERROR(co_await Fill(wanted));
  co_return ahead_;
}

Task<absl::StatusOr<Slice>> FrameReader::Next(CancellationToken cancel) {
  mid_frame_ = !ahead_.empty();
  if (mid_frame_) ++progress_;  // What lies here already may be old: we did not look at it.
  MR_CO_RETURN_IF_ERROR(co_await Fill(sizeof(int32_t)));
  mid_frame_ = true;
  const int32_t announced = LoadBig<int32_t>(ahead_.data());
  if (announced <= 0 || static_cast<size_t>(announced) > frame_bytes_max_) {
    co_return absl::InvalidArgumentError(fmt::format(
        "a frame of {} bytes was announced; 1 to {} are accepted (socket.request.max.bytes)",
        announced, frame_bytes_max_));
  }
  const size_t size = static_cast<size_t>(announced);
  ahead_ = ahead_.From(sizeof(int32_t));

  // A peer that announces much and sends nothing takes no budget from the others.
  MR_CO_RETURN_IF_ERROR(co_await Fill(std::min(size, kLargeFrameBytes)));
  MemoryLine& line = budget_.For(size);
  mid_frame_ = false;
  MR_CO_RETURN_IF_ERROR(co_await line.Acquire(size, cancel));
  mid_frame_ = true;
  ++progress_;  // The peer's time begins now.
  body_progress_ = {reactor_.Now(), reactor_.Now(), 0, 0};
  charged_ = &line;
  absl::StatusOr<Slice> body = co_await ReceiveBody(size, &line);
  charged_ = nullptr;
  if (body.ok()) mid_frame_ = false;
  co_return body;
}

Task<absl::StatusOr<Slice>> FrameReader::ReceiveBody(size_t size, MemoryLine* line) {
  MutableBuffer body(size, size >= kLargeFrameBytes ? kPageSize : 64, &line->budget(), size);
  const size_t have = std::min(size, ahead_.size());
  std::memcpy(body.data(), ahead_.data(), have);
  ahead_ = have == ahead_.size() ? Slice() : ahead_.From(have);
  size_t piece_bytes = kReceivePieceBytes;
  for (size_t at = have; at < size;) {
    const size_t end = std::min(size, at + piece_bytes);
    body_progress_.piece = end - at;
    absl::StatusOr<MutableBuffer> filled =
        co_await connection_.ReceiveExactly(std::move(body), at, end);
    if (!filled.ok()) co_return filled.status();
    body = *std::move(filled);
    progress_ += end - at;
    const bool fast = body_progress_.Add(kReceiveFastPieceBytes, reactor_.Now());
    piece_bytes = fast ? kReceiveFastPieceBytes : kReceivePieceBytes;
    at = end;
  }
  co_return std::move(body).Freeze(size);
}

}  // namespace millrace

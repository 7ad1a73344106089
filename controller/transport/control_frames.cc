#include "controller/transport/control_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

// One receive's worth while little is missing.
constexpr size_t kReceiveBytes = size_t{64} << 10;
// What is received into a buffer of its own: the most memory that is taken ahead of what arrives.
constexpr size_t kPieceBytes = size_t{256} << 10;

}  // namespace

Slice EncodeControlFrame(ControlFrameType type, std::string_view payload) {
  MutableBuffer frame(kControlFrameHeaderBytes + payload.size());
  StoreBig<uint32_t>(frame.data(), static_cast<uint32_t>(payload.size()));
  frame.data()[4] = static_cast<uint8_t>(type);
  if (!payload.empty()) {
    std::memcpy(frame.data() + kControlFrameHeaderBytes, payload.data(), payload.size());
  }
  const size_t size = frame.size();
  return std::move(frame).Freeze(size);
}

Task<absl::StatusOr<std::string>> ControlFrameReader::Take(size_t bytes) {
  std::string taken;
  while (taken.size() < bytes) {
    const size_t missing = bytes - taken.size();
    if (ahead_.empty() && missing >= kReceiveBytes) {
      const size_t piece = std::min(missing, kPieceBytes);
      absl::StatusOr<MutableBuffer> filled =
          co_await connection_.ReceiveExactly(MutableBuffer(piece), 0, piece);
      if (!filled.ok()) co_return filled.status();
      taken.append(reinterpret_cast<const char*>(filled->data()), piece);
      continue;
    }
    if (ahead_.empty()) {
      absl::StatusOr<Slice> more = co_await connection_.ReceiveSome(kReceiveBytes);
      if (!more.ok()) co_return more.status();
      if (more->empty()) {
        co_return absl::UnavailableError(
            fmt::format("{} closed the connection", connection_.peer().ToString()));
      }
      ahead_ = *std::move(more);
    }
    const size_t count = std::min(missing, ahead_.size());
    taken += ahead_.view().substr(0, count);
    ahead_ = count == ahead_.size() ? Slice() : ahead_.From(count);
  }
  co_return taken;
}

Task<absl::Status> ControlFrameReader::TakePreface() {
  MR_CO_ASSIGN_OR_RETURN(const std::string preface, co_await Take(kControlPreface.size()));
  if (preface == kControlPreface) co_return absl::OkStatus();
  co_return absl::InvalidArgumentError("not the preface of a stream between nodes");
}

Task<absl::StatusOr<std::string>> ControlFrameReader::Next(ControlFrameType type,
                                                           size_t bytes_max) {
  absl::StatusOr<std::string> payload = co_await NextOrRefusal(type, bytes_max);
  if (absl::IsFailedPrecondition(payload.status())) {
    co_return absl::InvalidArgumentError("a refusal out of place");
  }
  co_return payload;
}

Task<absl::StatusOr<std::string>> ControlFrameReader::NextOrRefusal(ControlFrameType type,
                                                                    size_t bytes_max) {
  MR_CO_ASSIGN_OR_RETURN(const std::string header, co_await Take(kControlFrameHeaderBytes));
  const uint32_t size = LoadBig<uint32_t>(reinterpret_cast<const uint8_t*>(header.data()));
  const auto got = static_cast<ControlFrameType>(header[4]);
  if (got != type && got != ControlFrameType::kRefusal) {
    co_return absl::InvalidArgumentError(fmt::format(
        "a frame of type {} where {} was expected", static_cast<int>(got), static_cast<int>(type)));
  }
  if (size > bytes_max) {
    co_return absl::InvalidArgumentError(
        fmt::format("a frame of {} bytes; {} are accepted", size, bytes_max));
  }
  MR_CO_ASSIGN_OR_RETURN(std::string payload, co_await Take(size));
  if (got == ControlFrameType::kRefusal) co_return absl::FailedPreconditionError(payload);
  co_return std::move(payload);
}

}  // namespace millrace

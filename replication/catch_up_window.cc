#include "replication/catch_up_window.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

// A way or a disk that has become slower is believed after two of them.
constexpr Duration kPeriod = seconds(10);

}  // namespace

void CatchUpWindow::OnSent(StreamHandle handle, Offset next, size_t bytes, Instant now) {
  pieces_.push_back({handle, next, bytes, now});
  on_its_way_ += bytes;
}

bool CatchUpWindow::OnStored(StreamHandle handle, Offset log_end, Instant now) {
  return std::erase_if(pieces_, [&](const Piece& piece) {
           if (piece.handle != handle || piece.next > log_end) return false;
           Learn(piece, now);
           on_its_way_ -= piece.bytes;
           return true;
         }) > 0;
}

bool CatchUpWindow::Forget(StreamHandle handle) {
  return std::erase_if(pieces_, [&](const Piece& piece) {
           if (piece.handle != handle) return false;
           on_its_way_ -= piece.bytes;
           return true;
         }) > 0;
}

void CatchUpWindow::Learn(const Piece& piece, Instant now) {
  const Duration took = now - piece.sent;
  if (now >= period_ends_) {
    least_before_ = std::exchange(least_, took);
    period_ends_ = now + kPeriod;
  }
  least_ = std::min(least_, took);
  const Duration queued = took - std::min(least_, least_before_);
  const double off = std::clamp(
      1.0 - static_cast<double>(queued.count()) / static_cast<double>(limits_.queueing.count()),
      -1.0, 1.0);
  // At most one piece more, or less, for each window that was stored.
  const auto bytes = static_cast<double>(piece.bytes);
  const double change = off * bytes * std::min(1.0, bytes / static_cast<double>(window_));
  window_ = static_cast<size_t>(std::clamp(static_cast<double>(window_) + change,
                                           static_cast<double>(limits_.window_min),
                                           static_cast<double>(limits_.window_max)));
}

}  // namespace millrace

#include "replication/catch_up_window.h"

#include <algorithm>

namespace millrace {
namespace {

// A way or a disk that has changed is known after one of them.
constexpr Duration kPeriod = seconds(10);

}  // namespace

std::optional<Instant> CatchUpWindow::expires() const {
  if (pieces_.empty()) return std::nullopt;
  return pieces_.front().sent + limits_.patience;
}

void CatchUpWindow::OnSent(StreamHandle handle, Offset next, size_t bytes, Instant now) {
  on_its_way_ += bytes;
  pieces_.push_back({handle, next, bytes, now, on_its_way_ >= window_});
}

bool CatchUpWindow::OnDurable(StreamHandle handle, Offset durable_end, Instant now) {
  return std::erase_if(pieces_, [&](const Piece& piece) {
           if (piece.handle != handle || piece.next > durable_end) return false;
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

void CatchUpWindow::Expire(Instant now) {
  for (; !pieces_.empty() && now - pieces_.front().sent >= limits_.patience; pieces_.pop_front()) {
    on_its_way_ -= pieces_.front().bytes;
    window_ = limits_.window_min;
  }
}

void CatchUpWindow::Learn(const Piece& piece, Instant now) {
  if (piece.bytes * 2 < limits_.piece_bytes) return;
  const Duration took = now - piece.sent;
  if (now >= period_ends_) {
    period_ends_ = now + kPeriod;
    least_ = Duration::max();
    window_ = limits_.window_min;
  }
  least_ = std::min(least_, took);
  const Duration queued = took - least_;
  const double off = std::clamp(
      1.0 - static_cast<double>(queued.count()) / static_cast<double>(limits_.queueing.count()),
      -1.0, 1.0);
  if (off > 0 && !piece.was_full) return;  // Something else held the sender back.
  const auto bytes = static_cast<double>(std::min(piece.bytes, limits_.piece_bytes));
  const double change = off * bytes * std::min(1.0, bytes / static_cast<double>(window_));
  window_ = static_cast<size_t>(std::clamp(static_cast<double>(window_) + change,
                                           static_cast<double>(limits_.window_min),
                                           static_cast<double>(limits_.window_max)));
}

}  // namespace millrace

#include "controller/transport/send_room.h"

#include "common/check.h"

namespace millrace {

Task<bool> SendRoom::Enter(size_t bytes) {
  if (closed_) co_return false;
  if (line_.empty() && Fits(bytes)) {
    used_ += bytes;
    co_return true;
  }
  const uint64_t ticket = next_ticket_++;
  line_.push_back(ticket);
  while (!closed_ && (line_.front() != ticket || !Fits(bytes))) co_await changed_.Wait();
  std::erase(line_, ticket);
  if (!line_.empty()) changed_.Pulse();  // The next in line may fit into what is left.
  if (closed_) co_return false;
  used_ += bytes;
  co_return true;
}

void SendRoom::Leave(size_t bytes) {
  MR_CHECK(bytes <= used_);
  used_ -= bytes;
  if (changed_.has_waiters()) changed_.Pulse();
}

void SendRoom::Close() {
  closed_ = true;
  if (changed_.has_waiters()) changed_.Pulse();
}

}  // namespace millrace

#include "common/sys/real_connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "common/check.h"
#include "common/sys/chain_cursor.h"
#include "common/sys/errno_status.h"
#include "common/sys/socket_address.h"

namespace millrace {
namespace {

// One system call's worth of pieces; what is longer takes several. They live in the sender's frame.
constexpr size_t kPiecesPerSend = 32;

absl::Status ShutDownStatus() { return absl::CancelledError("the connection is being closed"); }

}  // namespace

RealConnection::RealConnection(IoPort& port, FileDescriptor fd)
    : port_(port),
      fd_(std::move(fd)),
      peer_(PeerAddress(fd_.get())),
      local_(LocalAddress(fd_.get())) {
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

RealConnection::~RealConnection() {
  MR_CHECK(!receiving_);
  MR_CHECK(!sending_);
  MR_CHECK(!fd_.valid());
}

absl::Status RealConnection::Failed(int error, const char* call) const {
  if (shut_down_) return ShutDownStatus();
  // Whatever the kernel calls it, the connection is of no more use.
  absl::Status status = ErrnoStatus(error, fmt::format("{} {}", call, peer_.ToString()));
  if (status.code() == absl::StatusCode::kResourceExhausted) return status;
  return absl::UnavailableError(std::string(status.message()));
}

Task<absl::StatusOr<Slice>> RealConnection::ReceiveSome(size_t bytes_max) {
  MR_CHECK(!receiving_);
  MR_CHECK(bytes_max > 0);
  if (shut_down_ || !fd_.valid()) co_return ShutDownStatus();
  receiving_ = true;
  IoOperation receive = IoOperation::ReceiveSome(port_, fd_.get(), bytes_max);
  const int result = co_await receive;
  receiving_ = false;
  if (result < 0) co_return Failed(-result, "receive from");
  if (shut_down_) co_return ShutDownStatus();
  co_return receive.TakeReceived();
}

Task<absl::StatusOr<MutableBuffer>> RealConnection::ReceiveExactly(MutableBuffer into, size_t begin,
                                                                   size_t end) {
  MR_CHECK(!receiving_);
  MR_CHECK(begin <= end);
  MR_CHECK(end <= into.size());
  if (shut_down_ || !fd_.valid()) co_return ShutDownStatus();
  receiving_ = true;
  int result = 1;
  while (begin < end && result > 0) {
    const size_t step = std::min(end - begin, kBytesPerCall);
    result = co_await IoOperation::Receive(port_, fd_.get(), {into.data() + begin, step});
    if (result > 0) begin += static_cast<size_t>(result);
  }
  receiving_ = false;
  if (begin == end) co_return std::move(into);
  if (shut_down_) co_return ShutDownStatus();
  if (result < 0) co_return Failed(-result, "receive from");
  co_return absl::UnavailableError(
      fmt::format("{} ended the stream {} bytes early", peer_.ToString(), end - begin));
}

Task<absl::Status> RealConnection::Send(Chain data) {
  MR_CHECK(!sending_);
  if (shut_down_ || !fd_.valid()) co_return ShutDownStatus();
  sending_ = true;
  ChainCursor left(data);
  std::array<iovec, kPiecesPerSend> pieces;
  int result = 0;
  while (!left.empty()) {
    const size_t count = left.Fill(pieces);
    result = co_await IoOperation::Send(port_, fd_.get(), std::span(pieces).first(count));
    if (result < 0) break;
    left.Skip(static_cast<size_t>(result));
  }
  sending_ = false;
  if (result < 0) co_return Failed(-result, "send to");
  co_return absl::OkStatus();
}

void RealConnection::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  // Wakes what waits on the socket: a receive then ends with 0, a send with EPIPE.
  if (fd_.valid()) ::shutdown(fd_.get(), SHUT_RDWR);
}

Task<void> RealConnection::Close() {
  MR_CHECK(!receiving_);
  MR_CHECK(!sending_);
  shut_down_ = true;
  if (fd_.valid()) {
    port_.Forget(fd_.get());
    fd_.Close();
  }
  co_return;
}

std::unique_ptr<DetachedConnection> RealConnection::Detach() {
  MR_CHECK(!receiving_);
  MR_CHECK(!sending_);
  MR_CHECK(!shut_down_);
  shut_down_ = true;
  port_.Forget(fd_.get());
  return std::make_unique<RealDetached>(std::move(fd_));
}

}  // namespace millrace

#include "common/sys/real_listener.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/check.h"
#include "common/sys/errno_status.h"
#include "common/sys/real_connection.h"
#include "common/sys/socket_address.h"

namespace millrace {
namespace {

// What accept() reports of a connection that ended before we took it: no fault of the listener.
bool IsOfTheConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

RealListener::RealListener(IoPort& port, FileDescriptor fd)
    : port_(port), fd_(std::move(fd)), local_(LocalAddress(fd_.get())) {}

RealListener::~RealListener() {
  MR_CHECK(!accepting_);
  MR_CHECK(!fd_.valid());
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> RealListener::Accept() {
  MR_CHECK(!accepting_);
  for (;;) {
    if (shut_down_ || !fd_.valid()) co_return absl::CancelledError("the listener is being closed");
    accepting_ = true;
    int result = co_await IoOperation::Accept(port_, fd_.get());
    accepting_ = false;
    if (result >= 0) co_return std::make_unique<RealConnection>(port_, FileDescriptor(result));
    if (shut_down_ || IsOfTheConnection(-result)) continue;
    co_return ErrnoStatus(-result, fmt::format("accept on {}", local_.ToString()));
  }
}

void RealListener::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  // Wakes a pending accept, which then ends with EINVAL.
  if (fd_.valid()) ::shutdown(fd_.get(), SHUT_RDWR);
}

Task<void> RealListener::Close() {
  MR_CHECK(!accepting_);
  shut_down_ = true;
  if (fd_.valid()) {
    port_.Forget(fd_.get());
    fd_.Close();
  }
  co_return;
}

}  // namespace millrace

#include "test/bench/load_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "common/bytes/endian.h"

namespace millrace::bench {
namespace {

constexpr size_t kPiecesMax = 64;  // Frames in one system call.
constexpr useconds_t kConnectRetryUs = 500;

int TryConnect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("no socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

void Fail(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

LoadConnection::LoadConnection(uint16_t port, int64_t give_up_ns, size_t answer_bytes_max)
    : in_(answer_bytes_max) {
  while ((fd_ = TryConnect(port)) < 0) {
    if (MonotonicNs() > give_up_ns) Fail("nobody listens on port " + std::to_string(port));
    usleep(kConnectRetryUs);
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  fcntl(fd_, F_SETFL, O_NONBLOCK);
}

LoadConnection::~LoadConnection() { close(fd_); }

void LoadConnection::Send() {
  while (!out_.empty()) {
    std::array<iovec, kPiecesMax> pieces{};
    const size_t count = std::min(out_.size(), kPiecesMax);
    for (size_t i = 0; i < count; ++i) {
      const size_t skip = i == 0 ? sent_ : 0;
      pieces[i].iov_base = const_cast<uint8_t*>(out_[i]->data() + skip);
      pieces[i].iov_len = out_[i]->size() - skip;
    }
    const ssize_t done = writev(fd_, pieces.data(), static_cast<int>(count));
    if (done < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (done < 0) Fail(std::string("send: ") + std::strerror(errno));
    sent_ += static_cast<size_t>(done);
    while (!out_.empty() && sent_ >= out_.front()->size()) {
      sent_ -= out_.front()->size();
      out_.pop_front();
    }
  }
}

void LoadConnection::Receive(const std::function<void(std::span<const uint8_t>)>& on_answer) {
  const ssize_t got = recv(fd_, in_.data() + in_used_, in_.size() - in_used_, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) Fail("the broker closed the connection");
  in_used_ += static_cast<size_t>(got);
  size_t at = 0;
  while (in_used_ - at >= sizeof(int32_t)) {
    const auto size = static_cast<size_t>(LoadBig<int32_t>(in_.data() + at));
    if (size > in_.size() - sizeof(int32_t))
      Fail("an answer of " + std::to_string(size) + " bytes");
    if (in_used_ - at < sizeof(int32_t) + size) break;
    on_answer(std::span(in_).subspan(at + sizeof(int32_t), size));
    at += sizeof(int32_t) + size;
  }
  std::memmove(in_.data(), in_.data() + at, in_used_ - at);
  in_used_ -= at;
}

Frame LoadConnection::Call(const Frame& request) {
  Queue(request);
  Frame answer;
  while (answer.empty()) {
    Send();
    pollfd wait{fd_, static_cast<int16_t>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    poll(&wait, 1, -1);
    if ((wait.revents & ~POLLOUT) != 0) {
      Receive([&](std::span<const uint8_t> got) { answer.assign(got.begin(), got.end()); });
    }
  }
  return answer;
}

}  // namespace millrace::bench

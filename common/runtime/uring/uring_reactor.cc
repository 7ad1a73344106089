#include "common/runtime/uring/uring_reactor.h"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/sys/errno_status.h"

namespace millrace {
namespace {

constexpr int kReceiveGroup = 0;

struct NeededOpcode {
  int opcode;
  const char* name;
};
constexpr std::array kNeededOpcodes = {
    NeededOpcode{IORING_OP_READ, "READ"},        NeededOpcode{IORING_OP_WRITEV, "WRITEV"},
    NeededOpcode{IORING_OP_FSYNC, "FSYNC"},      NeededOpcode{IORING_OP_RECV, "RECV"},
    NeededOpcode{IORING_OP_SENDMSG, "SENDMSG"},  NeededOpcode{IORING_OP_ACCEPT, "ACCEPT"},
    NeededOpcode{IORING_OP_POLL_ADD, "POLL_ADD"}};

std::string KernelRelease() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

// What io_uring_enter may answer once the ring works. Above all not EEXIST: another thread than the
// shard's entered.
void CheckEntered(int result) {
  const bool fine =
      result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
  MR_CHECK(fine);
}

absl::Status RefusedStatus(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(
          "io_uring is not allowed here (EPERM: a seccomp profile, or kernel.io_uring_disabled)");
    case ENOSYS:
      return absl::UnimplementedError(
          "io_uring is not there (ENOSYS: a kernel without it, or a seccomp profile)");
    case EINVAL:
      return absl::UnimplementedError(fmt::format(
          "kernel {} is too old for our use of io_uring (6.1 is needed)", KernelRelease()));
    default:
      return ErrnoStatus(error, "io_uring_setup");
  }
}

}  // namespace

class UringReactor::Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (ready_) io_uring_queue_exit(&ring_);
    if (buffer_ring_ != nullptr) ::munmap(buffer_ring_, buffer_ring_bytes_);
    if (buffers_ != nullptr) ::munmap(buffers_, buffers_bytes_);
  }

  absl::Status Setup(const UringOptions& options) {
    io_uring_params params{};
    // DEFER_TASKRUN: completions are worked on when we ask, not in the middle of anything.
    // TASKRUN_FLAG: so a turn without news costs no system call. R_DISABLED: the thread that runs
    // the shard, not this one, becomes the single issuer.
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                   IORING_SETUP_R_DISABLED;
    params.cq_entries = options.entries * 8;
    int error = io_uring_queue_init_params(options.entries, &ring_, &params);
    if (error < 0) return RefusedStatus(-error);
    ready_ = true;
    if ((params.features & IORING_FEAT_EXT_ARG) == 0 ||
        (params.features & IORING_FEAT_NODROP) == 0) {
      return RefusedStatus(EINVAL);
    }
    if (absl::Status status = Probe(); !status.ok()) return status;
    return SetupReceiveBuffers(options);
  }

  io_uring* get() { return &ring_; }

  // REQUIRES: enabled, on the shard.
  io_uring_sqe* NextEntry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {  // Full: hand over what is there.
      int error = io_uring_submit(&ring_);
      CheckEntered(error);
      entry = io_uring_get_sqe(&ring_);
    }
    return entry;
  }

  std::span<uint8_t> buffer(unsigned id) { return {buffers_ + id * buffer_bytes_, buffer_bytes_}; }
  size_t buffer_bytes() const { return buffer_bytes_; }
  // Gives a buffer back to the kernel.
  void Recycle(unsigned id) {
    io_uring_buf_ring_add(buffer_ring_, buffer(id).data(), static_cast<unsigned>(buffer_bytes_),
                          static_cast<unsigned short>(id), io_uring_buf_ring_mask(buffer_count_),
                          0);
    io_uring_buf_ring_advance(buffer_ring_, 1);
  }

 private:
  absl::Status Probe() {
    std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
        io_uring_get_probe_ring(&ring_), &io_uring_free_probe);
    if (probe == nullptr) return RefusedStatus(EINVAL);
    for (const NeededOpcode& needed : kNeededOpcodes) {
      if (io_uring_opcode_supported(probe.get(), needed.opcode) == 0) {
        return absl::UnimplementedError(
            fmt::format("kernel {}'s io_uring has no {} operation", KernelRelease(), needed.name));
      }
    }
    return absl::OkStatus();
  }

  absl::Status SetupReceiveBuffers(const UringOptions& options) {
    buffer_count_ = options.receive_buffers;
    buffer_bytes_ = options.receive_buffer_bytes;
    buffer_ring_bytes_ = buffer_count_ * sizeof(io_uring_buf);
    buffers_bytes_ = buffer_count_ * buffer_bytes_;
    void* ring = Map(buffer_ring_bytes_);
    void* buffers = Map(buffers_bytes_);
    if (ring != MAP_FAILED) buffer_ring_ = static_cast<io_uring_buf_ring*>(ring);
    if (buffers != MAP_FAILED) buffers_ = static_cast<uint8_t*>(buffers);
    if (buffer_ring_ == nullptr || buffers_ == nullptr) {
      return ErrnoStatus(ENOMEM, "memory for receiving");
    }
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uintptr_t>(buffer_ring_);
    registration.ring_entries = buffer_count_;
    registration.bgid = kReceiveGroup;
    int error = io_uring_register_buf_ring(&ring_, &registration, 0);
    if (error < 0) return RefusedStatus(-error);
    io_uring_buf_ring_init(buffer_ring_);
    for (unsigned id = 0; id < buffer_count_; ++id) Recycle(id);
    return absl::OkStatus();
  }

  static void* Map(size_t bytes) {
    return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  }

  io_uring ring_{};
  bool ready_ = false;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  uint8_t* buffers_ = nullptr;
  size_t buffer_ring_bytes_ = 0;
  size_t buffers_bytes_ = 0;
  unsigned buffer_count_ = 0;
  size_t buffer_bytes_ = 0;
};

absl::StatusOr<std::unique_ptr<UringReactor>> UringReactor::Create(RealReactorOptions options,
                                                                   UringOptions uring,
                                                                   Logger& logger) {
  auto ring = std::make_unique<Ring>();
  if (absl::Status status = ring->Setup(uring); !status.ok()) return status;
  // Blocking: with O_NONBLOCK the kernel answers EAGAIN instead of waiting for us.
  absl::StatusOr<FileDescriptor> wake_event = MakeWakeEvent(/*nonblocking=*/false);
  if (!wake_event.ok()) return wake_event.status();
  return std::unique_ptr<UringReactor>(
      new UringReactor(options, uring, *std::move(wake_event), std::move(ring), logger));
}

UringReactor::UringReactor(RealReactorOptions options, UringOptions uring,
                           FileDescriptor wake_event, std::unique_ptr<Ring> ring, Logger& logger)
    : RealReactor(options, std::move(wake_event), logger), uring_(uring), ring_(std::move(ring)) {}

UringReactor::~UringReactor() { MR_CHECK(in_flight_ == 0); }

void UringReactor::Enable() {
  // By hand: Debian's liburing 2.3 declares io_uring_enable_rings() and does not export it.
  MR_CHECK(::syscall(__NR_io_uring_register, ring_->get()->ring_fd, IORING_REGISTER_ENABLE_RINGS,
                     nullptr, 0) == 0);
  // Saves looking the descriptor up at each enter; without it all works the same.
  (void)io_uring_register_ring_fd(ring_->get());
  ListenForWake();
}

void UringReactor::ListenForWake() {
  io_uring_sqe* entry = ring_->NextEntry();
  io_uring_prep_read(entry, wake_event(), &wake_count_, sizeof(wake_count_), 0);
  io_uring_sqe_set_data(entry, nullptr);
}

void UringReactor::Start(IoOperation& operation) {
  io_uring_sqe* entry = ring_->NextEntry();
  const auto length = static_cast<unsigned>(operation.memory.iov_len);
  switch (operation.kind) {
    case IoOperation::Kind::kRead:
      io_uring_prep_read(entry, operation.fd, operation.memory.iov_base, length,
                         operation.position);
      break;
    case IoOperation::Kind::kWrite:
      io_uring_prep_writev2(entry, operation.fd, operation.message.msg_iov,
                            static_cast<unsigned>(operation.message.msg_iovlen), operation.position,
                            operation.flags);
      break;
    case IoOperation::Kind::kSync:
      io_uring_prep_fsync(entry, operation.fd, IORING_FSYNC_DATASYNC);
      break;
    case IoOperation::Kind::kReceive:
      // The kernel goes on until all has come: one completion for a large body.
      io_uring_prep_recv(entry, operation.fd, operation.memory.iov_base, length, MSG_WAITALL);
      break;
    case IoOperation::Kind::kReceiveSome:
      io_uring_prep_recv(entry, operation.fd, nullptr,
                         std::min<size_t>(length, ring_->buffer_bytes()), 0);
      entry->flags |= IOSQE_BUFFER_SELECT;
      entry->buf_group = kReceiveGroup;
      break;
    case IoOperation::Kind::kSend:
      io_uring_prep_sendmsg(entry, operation.fd, &operation.message, MSG_NOSIGNAL | MSG_WAITALL);
      break;
    case IoOperation::Kind::kAccept:
      io_uring_prep_accept(entry, operation.fd, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case IoOperation::Kind::kPoll:
      io_uring_prep_poll_add(entry, operation.fd, static_cast<unsigned>(operation.flags));
      break;
  }
  io_uring_sqe_set_data(entry, &operation);
  ++in_flight_;
}

void UringReactor::Poll(std::optional<Duration> timeout) {
  io_uring* ring = ring_->get();
  int error = 0;
  if (timeout.has_value() && *timeout <= Duration(0)) {
    const unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
    if (io_uring_sq_ready(ring) > 0 || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
      error = io_uring_submit_and_get_events(ring);
    }
  } else {
    io_uring_cqe* first = nullptr;
    __kernel_timespec wait{};
    if (timeout.has_value()) {
      wait.tv_sec = timeout->count() / 1'000'000'000;
      wait.tv_nsec = timeout->count() % 1'000'000'000;
    }
    error = io_uring_submit_and_wait_timeout(ring, &first, 1, timeout.has_value() ? &wait : nullptr,
                                             nullptr);
  }
  // What was not submitted is still in the ring and goes with the next turn.
  MR_CHECK(error >= 0 || error == -ETIME || error == -EINTR || error == -EAGAIN || error == -EBUSY);
  CompleteAll();
}

void UringReactor::CompleteAll() {
  io_uring* ring = ring_->get();
  io_uring_cqe* completion = nullptr;
  unsigned head = 0;
  unsigned seen = 0;
  bool woken = false;
  std::array<IoOperation*, 16> again{};
  size_t again_count = 0;
  io_uring_for_each_cqe(ring, head, completion) {
    ++seen;
    auto* operation = static_cast<IoOperation*>(io_uring_cqe_get_data(completion));
    const int result = completion->res;
    if (operation == nullptr) {
      woken = true;
      continue;
    }
    --in_flight_;
    if (result == -EINTR || result == -EAGAIN) {
      again[again_count++] = operation;
      if (again_count == again.size()) break;
      continue;
    }
    if (operation->kind == IoOperation::Kind::kReceiveSome) {
      CompleteReceiveSome(*operation, result, completion->flags);
    } else {
      operation->Complete(result);
    }
  }
  io_uring_cq_advance(ring, seen);
  for (size_t i = 0; i < again_count; ++i) Start(*again[i]);
  if (woken) ListenForWake();
}

void UringReactor::CompleteReceiveSome(IoOperation& operation, int result, unsigned flags) {
  if (result == -ENOBUFS) {
    // More connections had news at once than there are buffers. What woke the receive is still in
    // the socket; the buffers come back as soon as this batch of completions is through.
    Start(operation);
    return;
  }
  if ((flags & IORING_CQE_F_BUFFER) == 0) {
    operation.Complete(result);
    return;
  }
  const unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
  if (result > 0) {
    // Copied out at once into memory of the right size: a frame of 100 bytes pins no 16 KiB, and
    // the buffer goes straight back.
    operation.CompleteReceived(ring_->buffer(id).first(static_cast<size_t>(result)));
  } else {
    operation.Complete(result);
  }
  ring_->Recycle(id);
}

}  // namespace millrace

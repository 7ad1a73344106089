#include "controller/transport/framed_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "controller/transport/control_frames.h"
#include "controller/transport/framed_stream.h"

namespace millrace {
namespace {

// Shuts a connection down at a deadline.
class ShutdownAt final : private Timer {
 public:
  ShutdownAt(Reactor& reactor, Connection& connection, Instant deadline)
      : reactor_(reactor), connection_(connection) {
    if (deadline != Instant::Max()) reactor_.Arm(*this, deadline);
  }
  ~ShutdownAt() { reactor_.Disarm(*this); }
  bool fired() const { return fired_; }

 private:
  void Fire() override {
    fired_ = true;
    connection_.Shutdown();
  }
  Reactor& reactor_;
  Connection& connection_;
  bool fired_ = false;
};

// The dialer's part. Borrowed: awaited in place.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<StreamWelcome>> Introduce(Connection& connection, ControlFrameReader& frames,
                                              const StreamHello& hello) {
  Chain first(Slice::OfStatic(kControlPreface));
  first.Append(EncodeControlFrame(ControlFrameType::kHello, EncodeHello(hello)));
  MR_CO_RETURN_IF_ERROR(co_await connection.Send(std::move(first)));
  MR_CO_ASSIGN_OR_RETURN(
      const std::string bytes,
      co_await frames.NextOrRefusal(ControlFrameType::kWelcome, kStreamHelloBytesMax));
  MR_CO_ASSIGN_OR_RETURN(StreamWelcome welcome, DecodeWelcome(bytes));
  MR_CO_RETURN_IF_ERROR(CheckWelcome(hello, welcome));
  co_return std::move(welcome);
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<MessageStream>>> FramedDialer::Dial(SocketAddress address,
                                                                        StreamHello hello,
                                                                        Instant deadline) {
  MR_CO_RETURN_IF_ERROR(CheckDialable(hello));
  MR_CO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                         co_await env_.network.Connect(address, deadline));
  ControlFrameReader frames(*connection, Slice());
  absl::StatusOr<StreamWelcome> welcome;
  {
    ShutdownAt guard(env_.reactor, *connection, deadline);
    welcome = co_await Introduce(*connection, frames, hello);
    if (!welcome.ok() && guard.fired()) {
      welcome = absl::DeadlineExceededError(
          fmt::format("{} did not answer the hello", address.ToString()));
    }
  }
  if (!welcome.ok()) {
    connection->Shutdown();
    co_await connection->Close();
    // Whatever else it answered, it is nobody to talk to.
    if (!absl::IsInvalidArgument(welcome.status())) co_return welcome.status();
    co_return absl::UnavailableError(
        fmt::format("{}: {}", address.ToString(), std::string(welcome.status().message())));
  }
  co_return std::make_unique<FramedStream>(env_.reactor, std::move(connection), std::move(frames),
                                           std::move(hello), *std::move(welcome), nullptr);
}

struct FramedAcceptor::Served {
  Served(Reactor& reactor, std::unique_ptr<Connection> accepted, Slice received)
      : connection(std::move(accepted)),
        frames(*connection, std::move(received)),
        closed(reactor) {}
  std::unique_ptr<Connection> connection;  // Until the stream has it.
  ControlFrameReader frames;
  StreamWelcome welcome{.from = BrokerId(0), .from_directory = std::nullopt};
  FramedStream* stream = nullptr;  // Until it is closed.
  Event closed;
};

FramedAcceptor::FramedAcceptor(Env& env, FramedAcceptorOptions options)
    : options_(options), env_(env), serving_(env.reactor) {}

FramedAcceptor::~FramedAcceptor() { MR_CHECK(served_.empty()); }

void FramedAcceptor::OnStream(StreamKind kind, HelloCheck check, StreamHandler handler) {
  doors_.Open(kind, std::move(check), std::move(handler));
}

std::optional<bool> FramedAcceptor::IsOurs(std::string_view first_bytes) const {
  if (!kControlPreface.starts_with(first_bytes.substr(0, kControlPreface.size()))) return false;
  if (first_bytes.size() < kControlPreface.size()) return std::nullopt;
  return true;
}

Task<absl::StatusOr<StreamHello>> FramedAcceptor::Welcome(Served* served) {
  MR_CO_RETURN_IF_ERROR(co_await served->frames.TakePreface());
  MR_CO_ASSIGN_OR_RETURN(
      const std::string bytes,
      co_await served->frames.Next(ControlFrameType::kHello, kStreamHelloBytesMax));
  MR_CO_ASSIGN_OR_RETURN(StreamHello hello, DecodeHello(bytes));
  MR_CO_ASSIGN_OR_RETURN(served->welcome, doors_.Check(hello));
  Chain answer(EncodeControlFrame(ControlFrameType::kWelcome, EncodeWelcome(served->welcome)));
  MR_CO_RETURN_IF_ERROR(co_await served->connection->Send(std::move(answer)));
  co_return std::move(hello);
}

Task<void> FramedAcceptor::Refuse(Served* served, std::string why) {
  why.resize(std::min(why.size(), kStreamHelloBytesMax));
  absl::Status sent =
      co_await served->connection->Send(Chain(EncodeControlFrame(ControlFrameType::kRefusal, why)));
  if (!sent.ok()) co_return;
  // Until the peer has left: a close with bytes unread would reset the connection, and the refusal
  // might be lost with it.
  absl::StatusOr<Slice> more = Slice();
  do {
    more = co_await served->connection->ReceiveSome(kStreamHelloBytesMax);
  } while (more.ok() && !more->empty());
}

Task<void> FramedAcceptor::Serve(std::unique_ptr<Connection> connection, Slice received) {
  Gate::Holder hold = serving_.TryEnter();
  Served served(env_.reactor, std::move(connection), std::move(received));
  if (!hold) {
    served.connection->Shutdown();
    co_await served.connection->Close();
    co_return;
  }
  const auto place = served_.insert(served_.end(), &served);
  const std::string peer = served.connection->peer().ToString();
  absl::StatusOr<StreamHello> hello;
  {
    ShutdownAt guard(env_.reactor, *served.connection, env_.reactor.Now() + options_.hello_max);
    hello = co_await Welcome(&served);
    if (!hello.ok()) {
      const std::string why(hello.status().message());
      env_.logger.Info("stream from {} refused: {}", peer, why);
      const bool worth_an_answer =
          absl::IsFailedPrecondition(hello.status()) || absl::IsInvalidArgument(hello.status());
      if (worth_an_answer) co_await Refuse(&served, why);
    }
  }
  if (hello.ok() && !serving_.closed()) {
    auto stream = std::make_unique<FramedStream>(env_.reactor, std::move(served.connection),
                                                 std::move(served.frames), *std::move(hello),
                                                 served.welcome, [served = &served] {
                                                   served->stream = nullptr;
                                                   served->closed.Set();
                                                 });
    served.stream = stream.get();
    doors_.Enter(std::move(stream));
    co_await served.closed.Wait();
  } else {
    served.connection->Shutdown();
    co_await served.connection->Close();
  }
  served_.erase(place);
}

Task<void> FramedAcceptor::Stop() {
  for (Served* served : served_) {
    if (served->stream != nullptr) {
      served->stream->Shutdown();
    } else if (served->connection != nullptr) {
      served->connection->Shutdown();
    }
  }
  co_await serving_.Close();
}

}  // namespace millrace

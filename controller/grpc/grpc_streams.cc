#include "controller/grpc/grpc_streams.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/sys/foreign_socket.h"
#include "controller/grpc/grpc_stream.h"
#include "controller/grpc/grpc_tunnel.h"

namespace millrace {
namespace {

// What every HTTP/2 client says first.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// What the server answered, or why it did not. Borrowed: awaited in place.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<StreamWelcome>> Welcomed(GrpcCall& call, Event& progress,
                                             const StreamHello& hello, Instant deadline) {
  for (;;) {
    if (std::optional<std::string> bytes = call.introduction(); bytes.has_value()) {
      MR_CO_ASSIGN_OR_RETURN(StreamWelcome welcome, DecodeWelcome(*bytes));
      MR_CO_RETURN_IF_ERROR(CheckWelcome(hello, welcome));
      co_return std::move(welcome);
    }
    if (std::optional<GrpcEnd> end = call.end(); end.has_value()) {
      if (end->code == GrpcEnd::kFailedPrecondition) {
        co_return absl::FailedPreconditionError(end->message);
      }
      co_return absl::UnavailableError(end->message);
    }
    if (co_await progress.Wait(deadline) == WaitResult::kTimedOut) {
      co_return absl::DeadlineExceededError("the hello was not answered");
    }
  }
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<MessageStream>>> GrpcDialer::Dial(SocketAddress address,
                                                                      StreamHello hello,
                                                                      Instant deadline) {
  MR_CO_RETURN_IF_ERROR(CheckDialable(hello));
  MR_CO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                         co_await env_.network.Connect(address, deadline));
  absl::StatusOr<ForeignSocket> socket = MakeForeignSocket(port_);
  if (!socket.ok()) {
    co_await connection->Close();
    co_return socket.status();
  }
  auto tunnel = std::make_unique<GrpcTunnel>(env_, std::move(connection), std::move(socket->ours));
  tunnel->Start(Slice());
  Event progress(env_.reactor);
  std::move_only_function<std::unique_ptr<GrpcCall>()> start =
      [home = &port_.loop(), fd = socket->theirs.Release(), bytes = EncodeHello(hello),
       &progress]() mutable {
        return StartGrpcCall(*home, fd, std::move(bytes), kControlMessageBytesMax,
                             [&progress] { progress.Pulse(); });
      };
  std::unique_ptr<GrpcCall> call =
      co_await env_.helpers.Call<std::unique_ptr<GrpcCall>>(std::move(start));
  absl::StatusOr<StreamWelcome> welcome = co_await Welcomed(*call, progress, hello, deadline);
  if (welcome.ok()) {
    co_return std::make_unique<GrpcStream>(env_, std::move(call), std::move(tunnel),
                                           std::move(hello), *std::move(welcome), nullptr);
  }
  tunnel->Shutdown();
  co_await EndGrpcCall(&env_, std::move(call));
  co_await tunnel->Close();
  absl::StatusCode code = welcome.status().code();
  // A welcome that is none: nobody to talk to.
  if (code == absl::StatusCode::kInvalidArgument) code = absl::StatusCode::kUnavailable;
  if (code == absl::StatusCode::kFailedPrecondition) co_return welcome.status();
  co_return absl::Status(
      code, fmt::format("{}: {}", address.ToString(), std::string(welcome.status().message())));
}

struct GrpcAcceptor::Served {
  explicit Served(Reactor& reactor) : changed(reactor) {}
  std::unique_ptr<GrpcTunnel> tunnel;
  int fd = -1;  // gRPC's end.
  std::string peer;
  bool welcomed = false;           // There was a stream.
  std::list<GrpcStream*> streams;  // Until they are closed.
  Event changed;                   // One of them was closed.
};

GrpcAcceptor::GrpcAcceptor(Env& env, IoPort& port, GrpcAcceptorOptions options)
    : options_(options),
      env_(env),
      port_(port),
      started_(env.reactor),
      call_seen_(env.reactor),
      serving_(env.reactor),
      refusing_(env.reactor) {}

GrpcAcceptor::~GrpcAcceptor() {
  MR_CHECK(served_.empty());
  MR_CHECK(server_ == nullptr);
}

void GrpcAcceptor::OnStream(StreamKind kind, HelloCheck check, StreamHandler handler) {
  doors_.Open(kind, std::move(check), std::move(handler));
}

std::optional<bool> GrpcAcceptor::IsOurs(std::string_view first_bytes) const {
  if (!kHttp2Preface.starts_with(first_bytes.substr(0, kHttp2Preface.size()))) return false;
  if (first_bytes.size() < kHttp2Preface.size()) return std::nullopt;
  return true;
}

Task<bool> GrpcAcceptor::Started() {
  if (starting_ == Starting::kNotYet) {
    starting_ = Starting::kUnderWay;
    std::move_only_function<std::unique_ptr<GrpcServer>()> start = [this] {
      return GrpcServer::Start(
          port_.loop(),
          {.message_bytes_max = kControlMessageBytesMax,
           .on_call = [this](std::unique_ptr<GrpcServerCall> call) { OnCall(std::move(call)); }});
    };
    server_ = co_await env_.helpers.Call<std::unique_ptr<GrpcServer>>(std::move(start));
    if (server_ == nullptr) env_.logger.Error("gRPC's server does not start");
    starting_ = Starting::kDone;
    started_.Set();
  }
  co_await started_.Wait();
  co_return server_ != nullptr;
}

Task<bool> GrpcAcceptor::Begin(Served* served, std::unique_ptr<Connection> connection,
                               Slice received) {
  absl::StatusOr<ForeignSocket> socket = MakeForeignSocket(port_);
  const bool may_begin = socket.ok() && co_await Started() && !serving_.closed();
  if (!may_begin) {
    connection->Shutdown();
    co_await connection->Close();
    if (socket.ok()) co_await socket->ours->Close();
    co_return false;
  }
  served->peer = connection->peer().ToString();
  served->tunnel =
      std::make_unique<GrpcTunnel>(env_, std::move(connection), std::move(socket->ours));
  served->fd = socket->theirs.Release();
  served_.push_back(served);
  served->tunnel->Start(std::move(received));
  co_await env_.helpers.Run([server = server_.get(), fd = served->fd] { server->Serve(fd); });
  co_return true;
}

Task<void> GrpcAcceptor::Serve(std::unique_ptr<Connection> connection, Slice received) {
  Gate::Holder hold = serving_.TryEnter();
  Served served(env_.reactor);
  const Instant deadline = env_.reactor.Now() + options_.hello_max;
  if (!co_await Begin(&served, std::move(connection), std::move(received))) co_return;
  // A connection without a stream is nobody's: the peer has so long to open one.
  if (co_await served.tunnel->ended().Wait(deadline) == WaitResult::kTimedOut && !served.welcomed) {
    env_.logger.Info("stream from {} refused: it says no hello", served.peer);
    served.tunnel->Shutdown();
  }
  co_await served.tunnel->ended().Wait();
  while (!served.streams.empty()) co_await served.changed.Wait();
  served_.remove(&served);
  co_await served.tunnel->Close();
}

void GrpcAcceptor::OnCall(std::unique_ptr<GrpcServerCall> call) {
  ++calls_seen_;
  call_seen_.Pulse();
  absl::StatusOr<StreamHello> hello = DecodeHello(call->hello());
  absl::StatusOr<StreamWelcome> welcome = hello.ok() ? doors_.Check(*hello) : hello.status();
  Served* served = nullptr;
  for (Served* one : served_) {
    if (one->fd == call->fd() && !one->tunnel->ended().is_set()) served = one;
  }
  if (serving_.closed() || served == nullptr) {
    welcome = absl::UnavailableError("its connection is gone");
  }
  if (!welcome.ok()) {
    const std::string why(welcome.status().message());
    env_.logger.Info("stream from {} refused: {}", served == nullptr ? "?" : served->peer, why);
    call->Refuse(why.substr(0, kStreamHelloBytesMax));
    refusing_.Spawn(EndRefused(std::move(call)));
    return;
  }
  call->Welcome(EncodeWelcome(*welcome));
  const auto place = served->streams.insert(served->streams.end(), nullptr);
  auto stream = std::make_unique<GrpcStream>(env_, std::move(call), nullptr, *std::move(hello),
                                             *std::move(welcome), [served, place] {
                                               served->streams.erase(place);
                                               // The connection was for this stream.
                                               served->tunnel->Shutdown();
                                               served->changed.Pulse();
                                             });
  *place = stream.get();
  served->welcomed = true;
  doors_.Enter(std::move(stream));
}

Task<void> GrpcAcceptor::EndRefused(std::unique_ptr<GrpcServerCall> call) {
  co_await EndGrpcCall(&env_, std::move(call));
}

Task<void> GrpcAcceptor::Stop() {
  for (Served* served : served_) {
    for (GrpcStream* stream : served->streams) stream->Shutdown();
    served->tunnel->Shutdown();
  }
  co_await serving_.Close();
  if (std::unique_ptr<GrpcServer> server = std::move(server_); server != nullptr) {
    std::move_only_function<size_t()> stop = [stopped = server.get()] { return stopped->Stop(); };
    const size_t calls = co_await env_.helpers.Call<size_t>(std::move(stop));
    // Some may still be in the inbox.
    while (calls_seen_ < calls) co_await call_seen_.Wait();
    co_await refusing_.Join();
    co_await env_.helpers.Run([server = std::move(server)]() mutable { server.reset(); });
  }
  co_await refusing_.Stop();
}

}  // namespace millrace

#include "controller/grpc/grpc_library.h"

#include <grpc/support/log.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr const char* kMethod = "/millrace.control.Streams/Open";
constexpr const char* kHelloKey = "millrace-hello-bin";
constexpr const char* kWelcomeKey = "millrace-welcome-bin";
// gRPC's own lines on standard error: what a peer does wrong is told by the stream.
constexpr int kLogNothing = GPR_LOG_SEVERITY_ERROR + 1;

// For both sides: `set` takes a name and a number.
template <typename Set>
void SetWindows(Set set) {
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kGrpcWindowBytes);
}

// Without a copy.
grpc::ByteBuffer ToBuffer(std::string message) {
  auto* owned = new std::string(std::move(message));
  grpc::Slice slice(
      owned->data(), owned->size(), [](void* gone) { delete static_cast<std::string*>(gone); },
      owned);
  return grpc::ByteBuffer(&slice, 1);
}

std::string FromBuffer(const grpc::ByteBuffer& buffer) {
  std::string message;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return message;
  message.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    message.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return message;
}

std::string Metadata(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                     const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return std::string(found->second.data(), found->second.size());
}

// What both sides do the same way.
template <typename Base, typename Reactor>
class CallOn : public Base, public Reactor {
 public:
  using Base::Base;

  void OnReadDone(bool ok) override {
    if (ok) {
      std::string message = FromBuffer(in_);
      in_.Clear();
      this->ReadDone(std::move(message));
    } else {
      this->ReadDone(std::nullopt);
    }
  }
  void OnWriteDone(bool ok) override { this->WriteDone(ok); }

 protected:
  void StartReading() override { Reactor::StartRead(&in_); }
  void StartWriting(std::string message) override {
    out_ = ToBuffer(std::move(message));
    Reactor::StartWrite(&out_);
  }

 private:
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
};

using ClientReactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class ClientCall final : public CallOn<GrpcCall, ClientReactor> {
 public:
  ClientCall(LoopReactor& home, int fd, std::string hello, size_t message_bytes_max)
      : CallOn(home) {
    grpc::ChannelArguments arguments;
    SetWindows([&arguments](const char* name, int value) { arguments.SetInt(name, value); });
    arguments.SetMaxReceiveMessageSize(static_cast<int>(message_bytes_max));
    arguments.SetMaxSendMessageSize(static_cast<int>(message_bytes_max));
    channel_ = grpc::CreateCustomInsecureChannelFromFd("node", fd, arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
    context_.AddMetadata(kHelloKey, hello);
    stub_->PrepareBidiStreamingCall(&context_, kMethod, {}, this);
  }
  void Start() {
    {
      std::lock_guard lock(mutex_);
      reading_ = true;
      StartReading();
    }
    // OnDone() does not come before finished_: what the shard starts has something to stand on.
    AddHold();
    StartCall();
  }

  void Cancel() override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    context_.TryCancel();
    WhenBroken();
  }

 private:
  void WhenBroken() override {
    if (!std::exchange(finished_, true)) RemoveHold();
  }
  void OnReadInitialMetadataDone(bool ok) override {
    if (!ok) return;
    std::string welcome = Metadata(context_.GetServerInitialMetadata(), kWelcomeKey);
    // None comes before a refusal: its status tells.
    if (!welcome.empty()) Introduced(std::move(welcome));
  }
  void OnDone(const grpc::Status& status) override {
    Ended({static_cast<int>(status.error_code()), status.error_message()});
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ClientContext context_;
};

class ServerCall final : public CallOn<GrpcServerCall, grpc::ServerGenericBidiReactor> {
 public:
  ServerCall(LoopReactor& home, grpc::GenericCallbackServerContext& context)
      : CallOn(home),
        context_(context),
        hello_(Metadata(context.client_metadata(), kHelloKey)),
        fd_(FdOf(context.peer())) {}
  // The first news: that there is a call.
  void Begin() { Announce(); }

  const std::string& hello() const override { return hello_; }
  int fd() const override { return fd_; }

  void Welcome(std::string welcome) override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    context_.AddInitialMetadata(kWelcomeKey, welcome);
    StartSendInitialMetadata();
    reading_ = true;
    StartReading();
  }
  void Refuse(std::string why) override {
    std::lock_guard lock(mutex_);
    FinishLocked(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, why));
  }
  void Cancel() override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    context_.TryCancel();
    FinishLocked(grpc::Status::CANCELLED);
  }

 private:
  // "fd:12" is how gRPC names the peer at the other end of a descriptor.
  static int FdOf(const std::string& peer) {
    int fd = -1;
    if (peer.starts_with("fd:")) std::from_chars(peer.data() + 3, peer.data() + peer.size(), fd);
    return fd;
  }
  // A server's call ends only after this.
  void FinishLocked(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) Finish(status);
  }
  void WhenBroken() override { FinishLocked(grpc::Status::CANCELLED); }
  void OnCancel() override { Broken(); }
  void OnDone() override { Ended({static_cast<int>(grpc::StatusCode::CANCELLED), "closed"}); }

  grpc::GenericCallbackServerContext& context_;  // Until OnDone().
  const std::string hello_;
  const int fd_;
};

class Server final : public GrpcServer, private grpc::CallbackGenericService {
 public:
  Server(LoopReactor& home, Options options) : home_(home), options_(std::move(options)) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(this);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options_.message_bytes_max));
    builder.SetMaxSendMessageSize(static_cast<int>(options_.message_bytes_max));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1);
    SetWindows(
        [&builder](const char* name, int value) { builder.AddChannelArgument(name, value); });
    server_ = builder.BuildAndStart();
  }
  bool started() const { return server_ != nullptr; }

  void Serve(int fd) override { grpc::AddInsecureChannelFromFd(server_.get(), fd); }
  size_t Stop() override {
    server_->Shutdown(std::chrono::system_clock::time_point::min());
    server_->Wait();
    return calls_.load();
  }

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    if (context->method() != kMethod) return CallbackGenericService::CreateReactor(context);
    ++calls_;
    auto* call = new ServerCall(home_, *context);
    // Until the shard has it, nobody else does.
    call->OnProgress([this, call] {
      call->OnProgress(nullptr);
      options_.on_call(std::unique_ptr<GrpcServerCall>(call));
    });
    call->Begin();
    return call;
  }

  LoopReactor& home_;
  const Options options_;
  std::atomic<size_t> calls_{0};
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<GrpcCall> StartGrpcCall(LoopReactor& home, int fd, std::string hello,
                                        size_t message_bytes_max, std::function<void()> progress) {
  gpr_set_log_verbosity(static_cast<gpr_log_severity>(kLogNothing));
  auto call = std::make_unique<ClientCall>(home, fd, std::move(hello), message_bytes_max);
  call->OnProgress(std::move(progress));
  call->Start();
  return call;
}

std::unique_ptr<GrpcServer> GrpcServer::Start(LoopReactor& home, Options options) {
  gpr_set_log_verbosity(static_cast<gpr_log_severity>(kLogNothing));
  auto server = std::make_unique<Server>(home, std::move(options));
  if (!server->started()) return nullptr;
  return server;
}

}  // namespace millrace

#include "controller/grpc/grpc_tunnel.h"

#include <string>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "controller/grpc/grpc_library.h"
#include "controller/grpc/window_updates.h"

namespace millrace {
namespace {

constexpr size_t kPumpBytes = size_t{64} << 10;

// The peer is never short of a window for what is kept of its updates.
static_assert(WindowUpdates::kKeptWindowMax <= kGrpcWindowBytes / 8);

}  // namespace

GrpcTunnel::GrpcTunnel(Env& env, std::unique_ptr<Connection> outside,
                       std::unique_ptr<Connection> inside)
    : outside_(std::move(outside)),
      inside_(std::move(inside)),
      pumps_(env.reactor),
      ended_(env.reactor) {}

GrpcTunnel::~GrpcTunnel() { MR_CHECK(outside_ == nullptr); }

void GrpcTunnel::Start(Slice received) {
  pumps_.Spawn(PumpIn(std::move(received)), SchedClass::kReplication);
  pumps_.Spawn(PumpOut(), SchedClass::kReplication);
}

Task<void> GrpcTunnel::PumpIn(Slice received) {
  absl::Status sent;
  if (!received.empty()) sent = co_await inside_->Send(Chain(std::move(received)));
  while (sent.ok()) {
    absl::StatusOr<Slice> some = co_await outside_->ReceiveSome(kPumpBytes);
    if (!some.ok() || some->empty()) break;
    sent = co_await inside_->Send(Chain(*std::move(some)));
  }
  Shutdown();
}

Task<void> GrpcTunnel::PumpOut() {
  WindowUpdates updates;
  absl::Status sent;
  while (sent.ok()) {
    absl::StatusOr<Slice> some = co_await inside_->ReceiveSome(kPumpBytes);
    if (!some.ok() || some->empty()) break;
    if (updates.Keep(some->span())) continue;
    Chain chain;
    if (const std::string kept = updates.Take(); !kept.empty()) {
      chain.Append(Slice::Copy(std::string_view(kept)));
    }
    chain.Append(*std::move(some));
    sent = co_await outside_->Send(std::move(chain));
  }
  Shutdown();
}

void GrpcTunnel::Shutdown() {
  if (ended_.is_set()) return;
  outside_->Shutdown();
  inside_->Shutdown();
  ended_.Set();
}

Task<void> GrpcTunnel::Close() {
  MR_CHECK(outside_ != nullptr);
  Shutdown();
  co_await pumps_.Stop();
  co_await outside_->Close();
  co_await inside_->Close();
  outside_ = nullptr;
  inside_ = nullptr;
}

}  // namespace millrace

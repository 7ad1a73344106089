#include "controller/grpc/grpc_tunnel.h"

#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

constexpr size_t kPumpBytes = size_t{64} << 10;

}  // namespace

GrpcTunnel::GrpcTunnel(Env& env, std::unique_ptr<Connection> outside,
                       std::unique_ptr<Connection> inside)
    : outside_(std::move(outside)),
      inside_(std::move(inside)),
      pumps_(env.reactor),
      ended_(env.reactor) {}

GrpcTunnel::~GrpcTunnel() { MR_CHECK(outside_ == nullptr); }

void GrpcTunnel::Start(Slice received) {
  pumps_.Spawn(Pump(outside_.get(), inside_.get(), std::move(received)), SchedClass::kReplication);
  pumps_.Spawn(Pump(inside_.get(), outside_.get(), Slice()), SchedClass::kReplication);
}

Task<void> GrpcTunnel::Pump(Connection* from, Connection* to, Slice first) {
  absl::Status sent;
  if (!first.empty()) sent = co_await to->Send(Chain(std::move(first)));
  while (sent.ok()) {
    absl::StatusOr<Slice> some = co_await from->ReceiveSome(kPumpBytes);
    if (!some.ok() || some->empty()) break;
    sent = co_await to->Send(Chain(*std::move(some)));
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

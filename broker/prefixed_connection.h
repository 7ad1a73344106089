// PrefixedConnection: a connection of which some bytes were read already, to see what it speaks:
// they are received again, first.
//
// Shard, lifetime, errors: as Connection (common/network.h).
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "common/network.h"

namespace millrace {

class PrefixedConnection final : public Connection {
 public:
  PrefixedConnection(Slice prefix, std::unique_ptr<Connection> connection)
      : prefix_(std::move(prefix)), connection_(std::move(connection)) {}

  Task<absl::StatusOr<Slice>> ReceiveSome(size_t bytes_max) override {
    if (prefix_.empty()) co_return co_await connection_->ReceiveSome(bytes_max);
    co_return Take(std::min(bytes_max, prefix_.size()));
  }

  Task<absl::StatusOr<MutableBuffer>> ReceiveExactly(MutableBuffer into, size_t begin,
                                                     size_t end) override {
    const Slice first = Take(std::min(end - begin, prefix_.size()));
    if (!first.empty()) std::memcpy(into.data() + begin, first.data(), first.size());
    begin += first.size();
    if (begin == end) co_return std::move(into);
    co_return co_await connection_->ReceiveExactly(std::move(into), begin, end);
  }

  Task<absl::Status> Send(Chain data) override { return connection_->Send(std::move(data)); }
  void Shutdown() override { connection_->Shutdown(); }
  Task<void> Close() override { return connection_->Close(); }
  const SocketAddress& peer() const override { return connection_->peer(); }
  const SocketAddress& local() const override { return connection_->local(); }

 private:
  Slice Take(size_t bytes) {
    Slice taken = prefix_.Sub(0, bytes);
    prefix_ = prefix_.From(bytes);
    return taken;
  }

  Slice prefix_;
  const std::unique_ptr<Connection> connection_;
};

}  // namespace millrace

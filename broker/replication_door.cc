#include "broker/replication_door.h"

#include <fmt/format.h>

#include <utility>

#include "broker/broker.h"

namespace millrace {

ReplicationDoor::ReplicationDoor(Env& env, const BrokerShards& shards, ReplicationShard& here,
                                 std::string inter_broker_listener)
    : env_(env), shards_(shards), here_(here), listener_(std::move(inter_broker_listener)) {}

ApiReply ReplicationDoor::Answer(const Slice& request, const ConnectionContext& connection) {
  if (connection.listener != listener_) {
    return ApiReply::Close(
        fmt::format("a replication stream on listener {}: not for clients", connection.listener));
  }
  absl::StatusOr<ParsedReplicationHello> hello = ParseReplicationHello(request.span());
  if (!hello.ok()) return ApiReply::Close(std::string(hello.status().message()));
  ApiReply reply;
  reply.action = ApiReply::Action::kTake;
  reply.take = [this, hello = *std::move(hello)](std::unique_ptr<Connection> taken) mutable {
    return Take(this, std::move(hello), std::move(taken));
  };
  return reply;
}

Task<void> ReplicationDoor::Take(ReplicationDoor* door, ParsedReplicationHello hello,
                                 std::unique_ptr<Connection> connection) {
  const ShardId here = door->env_.reactor.shard();
  // One that is not there is refused here, with the number of those that are.
  const bool exists = hello.hello.leader_shard.value() < door->shards_.count();
  const ShardId there = exists ? hello.hello.leader_shard : here;
  if (there == here) {
    door->Serve(std::move(connection), std::move(hello));
    co_return;
  }
  Broker* broker = door->shards_.at(there);
  std::unique_ptr<DetachedConnection> moved = connection->Detach();
  connection.reset();
  co_await door->shards_.calls().Tell(
      here, there, [broker, moved = std::move(moved), hello = std::move(hello)]() mutable {
        broker->replication->Serve(broker->env.network.Adopt(std::move(moved)), std::move(hello));
      });
}

void ReplicationDoor::Serve(std::unique_ptr<Connection> connection, ParsedReplicationHello hello) {
  here_.Serve(std::move(connection), std::move(hello));
}

}  // namespace millrace

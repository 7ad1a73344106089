// ReplicationDoor: where replication streams come in: a hello on the inter-broker listener, on
// whatever shard the kernel chose, and the connection goes to the shard that the hello names.
//
// Anywhere else than on the inter-broker listener the hello is an API key that does not exist.
//
// Shard:    one on each, the accepting one's.
// Lifetime: everything lent outlives it.
#pragma once

#include <memory>
#include <string>

#include "broker/broker_shards.h"
#include "broker/server/api_request.h"
#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/runtime/task.h"
#include "replication/replication_hello.h"
#include "replication/replication_shard.h"

namespace millrace {

class ReplicationDoor {
 public:
  ReplicationDoor(Env& env, const BrokerShards& shards, ReplicationShard& here,
                  std::string inter_broker_listener);

  // To a request for which IsReplicationHello() holds.
  ApiReply Answer(const Slice& request, const ConnectionContext& connection);

  // On the shard of this door: goes on with a connection that came in elsewhere.
  void Serve(std::unique_ptr<Connection> connection, ParsedReplicationHello hello);
  Env& env() { return env_; }

 private:
  static Task<void> Take(ReplicationDoor* door, ParsedReplicationHello hello,
                         std::unique_ptr<Connection> connection);

  Env& env_;
  const BrokerShards& shards_;
  ReplicationShard& here_;
  const std::string listener_;
};

}  // namespace millrace

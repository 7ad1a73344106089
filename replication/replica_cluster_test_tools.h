// What the tests of the replication stream share: brokers on simulated machines, each with a store,
// a table of partitions and its streams, and a controller that lives outside the world and is never
// wrong: the test says who leads, and who hears of it when.
#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_fabric.h"
#include "replication/partition_table.h"
#include "replication/replication_shard.h"
#include "storage/log_test_tools.h"

namespace millrace {

struct ReplicaClusterOptions {
  int brokers = 3;
  SimOptions world{};
  LogStoreOptions store{};
  ReplicationOptions streams{};
  Duration lag_max = seconds(2);
  size_t isr_min = 2;
  Durability durability = Durability::kDisk;
};

class ReplicaCluster final : public ReplicationPeers, public IsrChannel {
 public:
  static constexpr uint16_t kPort = 9092;

  struct Loss {
    int at;
    int peer;
    StreamLoss how;
    Instant when;
  };

  explicit ReplicaCluster(uint64_t seed, ReplicaClusterOptions options = {})
      : options_(std::move(options)), world(seed, options_.world) {
    for (int id = 1; id <= options_.brokers; ++id) {
      brokers_.emplace(id, std::make_unique<Broker>(world.AddNode(fmt::format("n{}", id))));
    }
    for (int id = 1; id <= options_.brokers; ++id) Start(id);
  }
  ~ReplicaCluster() override {
    world.network().HealAll();
    for (int id = 1; id <= options_.brokers; ++id) Stop(id);
  }

  // --- Brokers.
  void Start(int id) {
    Broker& broker = *brokers_.at(id);
    MR_CHECK(broker.env == nullptr);
    broker.env = &broker.node.Boot();
    broker.store = std::make_unique<TestStore>(world, *broker.env, options_.store);
    REQUIRE(broker.store->Start().ok());
    PartitionTableOptions table;
    table.leader.lag_max = options_.lag_max;
    broker.table =
        std::make_unique<PartitionTable>(*broker.env, **broker.store, BrokerId(id), nullptr, table);
    broker.table->set_isr_channel(this);
    ReplicationOptions streams = options_.streams;
    streams.cluster_id = "cluster";
    streams.self = BrokerId(id);
    streams.on_loss = [this, id](BrokerId peer, std::optional<BrokerEpoch>, StreamLoss how) {
      losses.push_back({id, peer.value(), how, world.Now()});
      lost.insert({id, peer.value()});
    };
    streams.on_stream = [this, id](BrokerId peer, BrokerEpoch epoch) {
      if (epoch == EpochOf(peer)) lost.erase({id, peer.value()});
    };
    broker.streams = std::make_unique<ReplicationShard>(*broker.env, **broker.store, *broker.table,
                                                        *this, streams);
    broker.epoch = BrokerEpoch(++next_epoch_);
    auto listener = world.Run(*broker.env, broker.env->network.Listen({"", kPort}, {}));
    REQUIRE(listener.ok());
    broker.listener = *std::move(listener);
    broker.accepting = std::make_unique<TaskScope>(broker.env->reactor);
    broker.accepting->Spawn(AcceptLoop(&broker));
    for (auto& [other, at] : brokers_) {
      if (at->streams != nullptr) at->streams->OnBrokerChange(BrokerId(id));
    }
    for (auto& [number, decided] : partitions_) {
      // What it led in a former life it leads no more; if nobody else may, then in a new epoch.
      if (decided.leader == id) {
        ++decided.epoch;
        ++decided.partition_epoch;
        for (int other : decided.isr) {
          if (other != id && up(other)) decided.leader = other;
        }
      }
      Tell(number, {id});
    }
  }
  void Stop(int id) {
    Broker& broker = *brokers_.at(id);
    if (broker.env == nullptr) return;
    world.Run(*broker.env, StopParts(&broker));
    REQUIRE(broker.store->Stop().ok());
    Forget(broker);
    broker.node.Kill();
  }
  void Kill(int id) { Crash(id, false); }
  void PowerLoss(int id) { Crash(id, true); }
  bool up(int id) const { return brokers_.at(id)->env != nullptr; }
  SimNode& node(int id) { return brokers_.at(id)->node; }
  ReplicationShard& streams(int id) { return *brokers_.at(id)->streams; }
  PartitionTable& table(int id) { return *brokers_.at(id)->table; }
  TestStore& store(int id) { return *brokers_.at(id)->store; }
  Env& env(int id) { return *brokers_.at(id)->env; }

  // --- The controller.
  // A partition with a replica on every broker, led by `leader`; all hear of it.
  void Create(int number, int leader) {
    Decided decided;
    decided.leader = leader;
    for (auto& [id, broker] : brokers_) decided.isr.insert(id);
    partitions_[number] = decided;
    for (auto& [id, broker] : brokers_) Tell(number, {id});
  }
  // Another leader and epoch; `isr` stays as it is but for brokers that are down. Nobody hears of it.
  void Elect(int number, int leader) {
    Decided& decided = partitions_.at(number);
    decided.leader = leader;
    ++decided.epoch;
    ++decided.partition_epoch;
    std::erase_if(decided.isr, [this](int id) { return !up(id); });
    decided.isr.insert(leader);
  }
  void Shrink(int number, int out) {
    partitions_.at(number).isr.erase(out);
    ++partitions_.at(number).partition_epoch;
  }
  void Tell(int number, std::vector<int> ids) {
    for (int id : ids) {
      Broker& broker = *brokers_.at(id);
      if (broker.env == nullptr) continue;
      auto opened = world.Run(*broker.env, broker.table->Open(Assignment(number), Rules(number)));
      REQUIRE(opened.ok());
    }
  }
  std::set<int> isr(int number) const { return partitions_.at(number).isr; }
  int leader(int number) const { return partitions_.at(number).leader; }

  std::optional<BrokerEpoch> EpochOf(BrokerId broker) const override {
    auto found = brokers_.find(broker.value());
    return found == brokers_.end() ? std::nullopt : found->second->epoch;
  }
  std::optional<SocketAddress> AddressOf(BrokerId broker) const override {
    return SocketAddress{fmt::format("n{}", broker.value()), kPort};
  }
  Task<IsrOutcome> Propose(TopicPartitionId id, IsrProposal proposal, CancellationToken) override {
    for (auto& [number, decided] : partitions_) {
      if (TestPartition(number) != id) continue;
      if (decided.epoch != proposal.leader_epoch.value() ||
          decided.partition_epoch != proposal.partition_epoch.value()) {
        co_return std::unexpected(IsrRefusal::kSuperseded);
      }
      decided.isr.clear();
      CommittedIsr committed{proposal.leader_epoch, PartitionEpoch(++decided.partition_epoch), {}};
      for (const IsrMember& member : proposal.isr) {
        decided.isr.insert(member.broker.value());
        committed.isr.push_back(member.broker);
      }
      co_return committed;
    }
    co_return std::unexpected(IsrRefusal::kSuperseded);
  }

  // --- Partitions.
  Partition& partition(int number, int id) {
    Partition* found = brokers_.at(id)->table->Find(TestPartition(number));
    REQUIRE(found != nullptr);
    return *found;
  }
  // On its leader, or on broker `at` if that is given. Waits for memory, not for commits.
  absl::Status Append(int number, const std::vector<std::string>& values, bool acks_all = true,
                      int at = 0) {
    const int id = at == 0 ? leader(number) : at;
    Broker& broker = *brokers_.at(id);
    BatchView batch = TestBatch(values);
    const size_t size = batch.bytes().size();
    auto admission = world.Run(*broker.env, (*broker.store)->Admit(size, CancellationToken()));
    if (!admission.ok()) return admission.status();
    ShardValidator validator{*broker.env, {}};
    auto valid = partition(number, id).Prepare(batch, acks_all, Timestamp(1000), validator);
    REQUIRE(valid.has_value());
    if (!valid->has_value()) return valid->error().status;
    return partition(number, id).Append(**std::move(valid), acks_all, *admission).status();
  }
  // All that are up have the leader's log, know that it is committed, and are in the ISR.
  bool Converged(int number) {
    const int led = leader(number);
    if (!up(led)) return false;
    Partition& lead = partition(number, led);
    if (lead.high_watermark() != lead.log().end_offset()) return false;
    for (auto& [id, broker] : brokers_) {
      if (broker->env == nullptr) continue;
      Partition& replica = partition(number, id);
      if (replica.log().end_offset() != lead.log().end_offset() ||
          replica.high_watermark() != lead.high_watermark() || !isr(number).contains(id)) {
        return false;
      }
    }
    return true;
  }
  bool AllConverged() {
    for (auto& [number, decided] : partitions_) {
      if (!Converged(number)) return false;
    }
    return true;
  }
  bool WaitConverged(Duration limit = seconds(60)) {
    return world.RunUntil([this] { return AllConverged(); }, limit);
  }
  std::vector<ReadRecord> Contents(int number, int id) {
    return store(id).ReadAll(partition(number, id).log(), 100'000);
  }
  // P8.
  void CheckIdentical() {
    for (auto& [number, decided] : partitions_) {
      const std::vector<ReadRecord> lead = Contents(number, decided.leader);
      for (auto& [id, broker] : brokers_) {
        if (broker->env != nullptr) CHECK(Contents(number, id) == lead);
      }
    }
  }
  std::string Describe() {
    std::string all;
    for (auto& [number, decided] : partitions_) {
      all +=
          fmt::format("partition {} leader {} epoch {} isr", number, decided.leader, decided.epoch);
      for (int id : decided.isr) all += fmt::format(" {}", id);
      for (auto& [id, broker] : brokers_) {
        if (broker->env == nullptr) continue;
        Partition& replica = partition(number, id);
        all += fmt::format("; n{} end {} durable {} hw {}", id, replica.log().end_offset(),
                           replica.log().durable_end(), replica.high_watermark());
      }
      all += "\n";
    }
    return all;
  }

 private:
  struct Broker {
    explicit Broker(SimNode& machine) : node(machine) {}
    SimNode& node;
    Env* env = nullptr;  // Null: it is down.
    std::optional<BrokerEpoch> epoch;
    std::unique_ptr<TestStore> store;
    std::unique_ptr<PartitionTable> table;
    std::unique_ptr<ReplicationShard> streams;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<TaskScope> accepting;
  };
  struct Decided {
    int leader = 0;
    int epoch = 0;
    int partition_epoch = 0;
    std::set<int> isr;
  };

  static Task<void> AcceptLoop(Broker* broker) {
    for (;;) {
      auto connection = co_await broker->listener->Accept();
      if (!connection.ok()) co_return;
      broker->accepting->Spawn(TakeHello(broker, *std::move(connection)));
    }
  }
  static Task<void> TakeHello(Broker* broker, std::unique_ptr<Connection> connection) {
    StreamReader reader(broker->env->reactor, *connection, StreamSide::kFollower, 0);
    auto frame = co_await reader.NextKafkaFrame(kHelloBytesMax);
    if (frame.ok() && IsReplicationHello(frame->span())) {
      auto hello = ParseReplicationHello(frame->span());
      if (hello.ok()) {
        broker->streams->Serve(std::move(connection), *std::move(hello));
        co_return;
      }
    }
    connection->Shutdown();
    co_await connection->Close();
  }
  static Task<void> StopParts(Broker* broker) {
    broker->listener->Shutdown();
    co_await broker->accepting->Stop();
    co_await broker->listener->Close();
    co_await broker->streams->Stop();
    co_await broker->table->Stop();
  }
  static void Forget(Broker& broker) {
    broker.accepting.reset();
    broker.listener.reset();
    broker.streams.reset();
    broker.table.reset();
    broker.store.reset();
    broker.env = nullptr;
  }
  void Crash(int id, bool power_lost) {
    Broker& broker = *brokers_.at(id);
    if (power_lost) {
      broker.node.PowerLoss();
    } else {
      broker.node.Kill();
    }
    world.Run(*broker.env, StopParts(&broker));
    (void)broker.store->Stop();
    Forget(broker);
  }

  PartitionAssignment Assignment(int number) const {
    const Decided& decided = partitions_.at(number);
    PartitionAssignment assignment;
    assignment.id = TestPartition(number);
    assignment.topic = TestTopic(number);
    assignment.leader = BrokerId(decided.leader);
    assignment.leader_epoch = LeaderEpoch(decided.epoch);
    assignment.partition_epoch = PartitionEpoch(decided.partition_epoch);
    for (const auto& [id, broker] : brokers_) {
      assignment.replicas.push_back({.broker = BrokerId(id),
                                     .epoch = broker->epoch,
                                     .in_isr = decided.isr.contains(id),
                                     .active = broker->env != nullptr});
    }
    return assignment;
  }
  std::shared_ptr<const PartitionRules> Rules(int number) const {
    auto rules = std::make_shared<PartitionRules>();
    rules->log.durability = options_.durability;
    rules->isr_min = options_.isr_min;
    rules->throttled.leader.all = throttled_leading.contains(number);
    rules->throttled.follower.all = throttled_following.contains(number);
    return rules;
  }

  const ReplicaClusterOptions options_;

 public:
  SimWorld world;
  std::vector<Loss> losses;
  std::set<std::pair<int, int>> lost;  // By whom, and which peer, that is not there again.
  // Partitions with a throttle; brokers know of it when they are told.
  std::set<int> throttled_leading;
  std::set<int> throttled_following;

 private:
  std::map<int, std::unique_ptr<Broker>> brokers_;
  std::map<int, Decided> partitions_;
  int64_t next_epoch_ = 100;
};

}  // namespace millrace

// A group with random members of both protocols, in which either comes and goes, that crash, and whose
// coordinator is loaded anew. Whatever happens:
//
//   no two members own one partition, as far as they were told;
//   left alone, members come to own all there is, and the group is of the kind of its members.
//
// A member of the classic protocol does here as Kafka's clients do: an eager one gives everything up
// before it joins; a cooperative one says what it has, gives up what it does not get with SyncGroup, and
// joins again. The leader of a classic group shares out as their assignors do.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "broker/groups/embedded_protocol.h"
#include "broker/groups/group_coordinator.h"
#include "broker/groups/testing/consumer_world.h"
#include "common/runtime/sim/sim_random.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int kPartitions = 7;

struct Client {
  std::string id = {};  // Empty: none was given to it.
  bool classic = true;
  std::optional<std::string> instance = {};
  int32_t epoch = 0;
  PartitionList owned = {};
  // Of the classic protocol.
  enum class Next { kJoin, kSync, kBeat } next = Next::kJoin;
  std::optional<Ticket> waits = {};
  std::vector<JoinedGroup::Member> led = {};
};

class Crowd {
 public:
  explicit Crowd(uint64_t seed) : random_(seed), cooperative_(random_.Coin()) {
    world_.Topic("t", kPartitions);
    options_.classic.initial_rebalance_delay = Duration(0);
    options_.consumer.session_timeout = seconds(10);
    options_.consumer.assignment_interval = seconds(random_.Below(2));
    groups_.emplace(options_, memory_, world_.time);
  }

  void Step() {
    switch (random_.Below(24)) {
      case 0:
      case 1:
        if (clients_.size() < 5) Add();
        break;
      case 2:
        if (random_.Coin() && !clients_.empty()) Leave(random_.Below(clients_.size()));
        break;
      case 3:
        // A crash: nobody hears of it.
        if (random_.Coin() && !clients_.empty()) clients_.erase(Any());
        break;
      case 4:
        Pass(seconds(random_.Below(8)));
        break;
      case 5:
        if (random_.Below(4) == 0) Reload();
        break;
      default:
        if (!clients_.empty()) Act(*Any());
    }
  }

  // "" or what is wrong.
  std::string TwoOwners() const {
    const std::set<std::string> members = Members();
    std::map<TopicPartitionId, std::string> owners;
    for (const Client& client : clients_) {
      // One that was removed will hear so; until then it is beyond the group's power.
      if (!members.contains(client.id)) continue;
      for (const TopicPartitionId& partition : client.owned) {
        const auto [it, fresh] = owners.emplace(partition, client.id);
        if (!fresh) return world_.Text({partition}) + " of " + it->second + " and " + client.id;
      }
    }
    return "";
  }

  void SettleDown() {
    Pass(seconds(60));  // Crashed members are gone, and all others have to join again.
    for (int round = 0; round < 60; ++round) {
      Pass(seconds(1));
      for (Client& client : clients_) {
        for (int act = 0; act < 3; ++act) Act(client);
      }
    }
  }

  std::string Unsettled() const {
    if (clients_.empty()) return "";
    if (const std::string two = TwoOwners(); !two.empty()) return two;
    PartitionList all;
    for (const Client& client : clients_) all = Union(all, client.owned);
    if (all.size() != kPartitions) return "not all is owned, only " + world_.Text(all);
    const bool classic = std::ranges::all_of(clients_, &Client::classic);
    if ((groups_->List().at(0).type == "classic") != classic) return "a group of the wrong kind";
    return Members().size() == clients_.size() ? "" : "somebody else is a member";
  }

  bool was_mixed() const { return mixed_; }

 private:
  std::set<std::string> Members() const {
    std::set<std::string> members;
    if (const auto classic = groups_->Describe("g")) {
      for (const auto& member : classic->members) members.insert(member.member_id);
    } else if (const auto consumer = groups_->DescribeConsumer("g")) {
      for (const auto& member : consumer->members) members.insert(member.member_id);
    }
    return members;
  }
  std::vector<Client>::iterator Any() {
    return clients_.begin() + static_cast<ptrdiff_t>(random_.Below(clients_.size()));
  }
  void Add() {
    Client client{.classic = random_.Coin()};
    if (!client.classic) client.id = "new" + std::to_string(++drawn_);
    if (random_.Below(3) == 0) client.instance = "i" + std::to_string(++drawn_);
    clients_.push_back(std::move(client));
  }
  // It goes, or a static one restarts with either protocol.
  void Leave(size_t index) {
    Client client = clients_[index];
    clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(index));
    GroupOutput out;
    const bool restarts = client.instance.has_value() && random_.Coin();
    if (client.waits.has_value()) groups_->Forget("g", *client.waits);
    if (client.classic && !client.id.empty() && !restarts) {
      groups_->Leave("g", {{client.id, client.instance}}, *world_.image, world_.time, out);
    } else if (!client.classic && client.epoch > 0) {
      Beat(client, restarts ? kStaticLeaveEpoch : kLeaveEpoch, out);
    }
    Take(out);
    if (!restarts) return;
    Client again{.classic = random_.Coin(), .instance = client.instance};
    if (!again.classic) again.id = "new" + std::to_string(++drawn_);
    clients_.push_back(std::move(again));
  }
  void Pass(Duration duration) {
    const Instant until = world_.time.now + duration;
    for (Instant next = groups_->deadline(); next <= until; next = groups_->deadline()) {
      world_.time.now = std::max(world_.time.now, next);
      GroupOutput out;
      groups_->OnTime(*world_.image, world_.time, out);
      Take(out);
    }
    world_.time.now = until;
  }
  // By the whole log, or what compaction leaves of it.
  void Reload() {
    if (random_.Coin()) {
      std::map<std::string, size_t> last;
      for (size_t i = 0; i < log_.size(); ++i) last[log_[i].key] = i;
      const bool tombstones = random_.Coin();
      std::vector<EncodedRecord> left;
      for (size_t i = 0; i < log_.size(); ++i) {
        if (last[log_[i].key] != i || (!tombstones && !log_[i].value.has_value())) continue;
        left.push_back(log_[i]);
      }
      log_ = std::move(left);
    }
    groups_.emplace(options_, memory_, world_.time);
    for (const EncodedRecord& record : log_) {
      groups_->Load(ConsumerWorld::Decode(record), world_.time);
    }
    groups_->OnLoaded(*world_.image, world_.time);
    // Whoever waits is told to look for the coordinator, and asks again.
    for (Client& client : clients_) client.waits.reset();
  }

  void Act(Client& client) {
    if (client.waits.has_value()) return;
    GroupOutput out;
    if (!client.classic) {
      ActNew(client, out);
    } else if (client.next == Client::Next::kJoin) {
      Join(client, out);
    } else if (client.next == Client::Next::kSync) {
      Sync(client, out);
    } else {
      const KafkaError error = groups_->Heartbeat("g", {client.id, client.instance},
                                                  GenerationId(client.epoch), world_.time);
      if (error != KafkaError::kNone) Refused(client, error);
    }
    Take(out);
    const auto group = groups_->DescribeConsumer("g");
    mixed_ |= group.has_value() && std::ranges::any_of(group->members, [](const auto& member) {
                return member.classic;
              });
  }

  // --- Of the consumer protocol ------------------------------------------------------------------

  ConsumerHeartbeatReply Beat(const Client& client, MemberEpoch epoch, GroupOutput& out) {
    ConsumerHeartbeat request = world_.Request(client.id, epoch.value());
    request.instance_id = client.instance;
    if (epoch.value() >= 0) {
      request.rebalance_timeout = seconds(20);
      request.topic_names = {{"t"}};
      request.owned = client.owned;
    }
    return groups_->ConsumerBeat(request, *world_.image, Uuid(3, ++drawn_), world_.time, out);
  }
  void ActNew(Client& client, GroupOutput& out) {
    const ConsumerHeartbeatReply reply = Beat(client, MemberEpoch(client.epoch), out);
    if (reply.error != KafkaError::kNone) {
      // Unreleased: the one it is to replace is there still.
      client.owned.clear();
      client.epoch = 0;
      return;
    }
    client.epoch = reply.epoch.value();
    if (reply.assignment.has_value()) client.owned = *reply.assignment;
  }

  // --- Of the classic protocol -------------------------------------------------------------------

  template <typename Message>
  std::string Encode(Message message, const PartitionList& partitions,
                     auto Message::* topics) const {
    for (const TopicPartitionId& partition : partitions) {
      if ((message.*topics).empty()) (message.*topics).emplace_back().topic = "t";
      (message.*topics).back().partitions.push_back(partition.partition.value());
    }
    kafka::Writer writer;
    writer.WriteInt16(1);
    message.Encode(writer, 1);
    return std::string(std::move(writer).Finish()->Flatten().view());
  }
  Ticket NewTicket(Client& client) {
    client.waits = Ticket(++tickets_);
    return *client.waits;
  }
  void Join(Client& client, GroupOutput& out) {
    if (!cooperative_) client.owned.clear();
    kafka::ConsumerProtocolSubscription subscription;
    subscription.topics = {"t"};
    JoinGroup request{
        .member = {client.id, client.instance},
        .client_id = "old",
        .client_host = "/127.0.0.1",
        .session_timeout = seconds(10),
        .rebalance_timeout = seconds(300),
        .protocol_type = "consumer",
        .protocols = {{"any", Encode(subscription, client.owned,
                                     &kafka::ConsumerProtocolSubscription::owned_partitions)}},
        .must_know_its_id = true};
    const Ticket ticket = NewTicket(client);
    groups_->Join("g", std::move(request), ticket, *world_.image, Uuid(4, ++drawn_), world_.time,
                  out);
  }
  void Sync(Client& client, GroupOutput& out) {
    SyncGroup request{.member = {client.id, client.instance},
                      .generation = GenerationId(client.epoch),
                      .protocol_type = "consumer",
                      .protocol_name = "any",
                      .assignments = ShareOut(client.led)};
    const Ticket ticket = NewTicket(client);
    groups_->Sync("g", std::move(request), ticket, *world_.image, world_.time, out);
  }
  std::vector<SyncGroup::Assignment> ShareOut(const std::vector<JoinedGroup::Member>& members) {
    std::map<TopicPartitionId, size_t> owners;
    for (size_t member = 0; member < members.size(); ++member) {
      const auto subscription = ParseSubscription(members[member].metadata);
      for (const auto& partition : PartitionsIn(subscription->owned_partitions, *world_.image)) {
        owners[partition] = member;
      }
    }
    std::vector<PartitionList> shares(members.size());
    for (int32_t number = 0; number < kPartitions && !members.empty(); ++number) {
      const TopicPartitionId partition = world_.Partition("t", number);
      const size_t whose = static_cast<size_t>(number) % members.size();
      // What another member has to give up first is given in the next generation.
      const auto owner = owners.find(partition);
      if (owner == owners.end() || owner->second == whose) shares[whose].push_back(partition);
    }
    std::vector<SyncGroup::Assignment> assignments;
    for (size_t member = 0; member < members.size(); ++member) {
      assignments.push_back({members[member].member_id,
                             Encode(kafka::ConsumerProtocolAssignment(), shares[member],
                                    &kafka::ConsumerProtocolAssignment::assigned_partitions)});
    }
    return assignments;
  }
  void Refused(Client& client, KafkaError error) {
    client.next = Client::Next::kJoin;
    client.led.clear();
    if (error == KafkaError::kRebalanceInProgress) return;
    client.owned.clear();
    if (error != KafkaError::kIllegalGeneration) client.id.clear();
  }

  // What came out of a call.
  void Take(GroupOutput& out) {
    for (const GroupRecord& record : out.records) log_.push_back(EncodeGroupRecord(record));
    const auto find = [&](Ticket ticket) {
      return std::ranges::find(clients_, std::optional(ticket), &Client::waits);
    };
    for (auto& [ticket, answer] : out.joined) {
      const auto client = find(ticket);
      if (client == clients_.end()) continue;
      client->waits.reset();
      if (answer.error == KafkaError::kMemberIdRequired) {
        client->id = answer.member_id;
      } else if (answer.error != KafkaError::kNone) {
        Refused(*client, answer.error);
      } else {
        client->id = answer.member_id;
        client->epoch = answer.generation->value();
        client->led = std::move(answer.members);
        client->next = Client::Next::kSync;
      }
    }
    for (auto& [ticket, answer] : out.synced) {
      const auto client = find(ticket);
      if (client == clients_.end()) continue;
      client->waits.reset();
      if (answer.error != KafkaError::kNone) {
        Refused(*client, answer.error);
        continue;
      }
      const auto assignment = ParseAssignment(answer.assignment);
      const PartitionList owned = PartitionsIn(assignment->assigned_partitions, *world_.image);
      const bool gave_up = !Includes(owned, client->owned);
      client->owned = owned;
      client->next = gave_up ? Client::Next::kJoin : Client::Next::kBeat;
    }
  }

  SimRandom random_;
  const bool cooperative_;
  GroupOptions options_;
  GroupMemory memory_;
  ConsumerWorld world_;  // Its topics and its clock.
  std::optional<GroupCoordinator> groups_;
  std::vector<EncodedRecord> log_;
  std::vector<Client> clients_;
  uint64_t tickets_ = 0;
  uint64_t drawn_ = 0;
  bool mixed_ = false;
};

TEST_CASE("Migration: no partition has two owners, and whoever is left alone comes to rest") {
  int mixed = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed=" << seed);
    Crowd crowd(seed);
    for (int step = 0; step < 200; ++step) {
      INFO("step=" << step);
      crowd.Step();
      REQUIRE(crowd.TwoOwners() == "");
    }
    crowd.SettleDown();
    REQUIRE(crowd.Unsettled() == "");
    mixed += crowd.was_mixed() ? 1 : 0;
  }
  // Else it tested nothing.
  CHECK(mixed > 100);
}

}  // namespace
}  // namespace millrace

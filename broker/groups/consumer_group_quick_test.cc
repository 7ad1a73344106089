// A consumer group under random members, lost answers, crashes, time and metadata. Whatever happens:
//
//   no two members ever own one partition, as far as they were told (property P25);
//   the records of the group make the same group again, whole or compacted;
//   left alone, members come to own all there is, each what the group says it does.
//
// A member here does as clients do: it owns what it was told from the moment it hears it; what it is
// to give up it gives up some time later, and says so then; after an answer that was lost it says all
// again; fenced, it gives all up and joins anew.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "broker/groups/consumer_group.h"
#include "broker/groups/testing/consumer_world.h"
#include "common/runtime/sim/sim_random.h"

using namespace millrace;
using kafka::KafkaError;

namespace {

struct Client {
  std::string id;
  std::optional<std::string> instance;
  int32_t epoch = 0;
  PartitionList owned;
  PartitionList told;       // Owns that once it has given up the rest.
  bool to_say = false;      // What it owns changed, and it has not said so.
  bool to_say_all = false;  // An answer was lost.
  std::vector<std::string> topics;
  std::string regex;
};

class Crowd {
 public:
  explicit Crowd(uint64_t seed) : random_(seed) {
    world.options.session_timeout = seconds(45);
    world.options.assignment_interval = seconds(random_.Below(2));
    world.options.assignors = random_.Coin() ? ConsumerWorld::Names{"uniform", "range"}
                                             : ConsumerWorld::Names{"range", "uniform"};
    world.Topic("t0", 4);
    world.Topic("t1", 3);
  }

  void Step() {
    switch (random_.Below(20)) {
      case 0:
        if (clients_.size() < 6) clients_.push_back(NewClient());
        break;
      case 1:
        if (random_.Coin()) Leave();
        break;
      case 2:
        // A crash: nobody hears of it.
        if (!clients_.empty() && random_.Coin()) clients_.erase(Any());
        break;
      case 3:
        ChangeTopics();
        break;
      case 4:
        if (!clients_.empty()) ChangeSubscription(*Any());
        break;
      case 5:
        world.Pass(seconds(random_.Below(30)));
        world.Tick();
        break;
      case 6:
        Reload();
        break;
      default:
        if (clients_.empty()) break;
        if (Client& client = *Any(); random_.Below(3) == 0) {
          GiveUp(client);
        } else {
          Heartbeat(client, random_.Below(5) == 0);
        }
    }
  }

  // "" or what is wrong.
  std::string TwoOwners() const {
    std::map<TopicPartitionId, std::string> owners;
    std::set<std::string> members;
    for (const auto& member : world.group->Members()) members.insert(member.member_id);
    for (const Client& client : clients_) {
      // One that was removed will hear so; until then it is beyond the group's power.
      if (!members.contains(client.id)) continue;
      for (const TopicPartitionId& partition : client.owned) {
        const auto [it, fresh] = owners.emplace(partition, client.id);
        if (!fresh) return world.Text({partition}) + " of " + it->second + " and " + client.id;
      }
    }
    return "";
  }

  std::string Unfaithful() const {
    const std::vector<GroupRecord> snapshot = world.group->Snapshot();
    for (const auto& log : {world.log, world.Compacted(true), world.Compacted(false)}) {
      if (world.Loaded(log)->Snapshot() != snapshot) return "its records make another group";
    }
    return "";
  }

  void SettleDown() {
    world.Pass(seconds(60));
    world.Tick();  // Crashed members are gone, and all others have to join again.
    for (int round = 0; round < 12; ++round) {
      world.Pass(seconds(2));
      for (Client& client : clients_) {
        GiveUp(client);
        Heartbeat(client, false);
        GiveUp(client);
      }
    }
    // Expressions are matched every ten seconds at most.
  }

  std::string Unsettled() const {
    if (clients_.empty()) return "";
    if (world.Phase() != "Stable") return "it is " + world.Phase();
    std::set<TopicPartitionId> owned;
    for (const auto& member : world.group->Members()) {
      const auto client = std::ranges::find(clients_, member.member_id, &Client::id);
      if (client == clients_.end()) return "nobody is " + member.member_id;
      if (client->owned != member.assigned) return member.member_id + " owns something else";
      if (member.assigned != member.target) return member.member_id + " is not at its target";
      owned.insert(member.assigned.begin(), member.assigned.end());
    }
    size_t wanted = 0;
    for (const std::string& name : world.group->SubscribedTopics()) {
      if (const auto topic = world.image->FindTopic(name)) wanted += topic->partitions.size();
    }
    return owned.size() == wanted ? "" : "partitions without an owner";
  }

  ConsumerWorld world;

 private:
  std::vector<Client>::iterator Any() {
    return clients_.begin() + static_cast<ptrdiff_t>(random_.Below(clients_.size()));
  }

  Client NewClient() {
    Client client;
    client.id = "m" + std::to_string(next_id_++);
    if (random_.Below(3) == 0) {
      const std::string instance = "i" + std::to_string(random_.Below(2));
      // One process per instance, as it should be.
      if (std::ranges::none_of(clients_, [&](const Client& c) { return c.instance == instance; })) {
        client.instance = instance;
      }
    }
    ChangeSubscription(client);
    return client;
  }

  void ChangeSubscription(Client& client) {
    client.topics.clear();
    for (const char* name : {"t0", "t1", "t2"}) {
      if (random_.Below(3) > 0) client.topics.push_back(name);
    }
    client.regex = random_.Below(4) == 0 ? "t[12]" : "";
    client.to_say_all = true;
  }

  void ChangeTopics() {
    const std::string name = "t" + std::to_string(random_.Below(3));
    const auto topic = world.image->FindTopic(name);
    if (topic != nullptr && random_.Below(4) == 0) {
      world.DeleteTopic(name);
    } else {
      const size_t now = topic == nullptr ? 0 : topic->partitions.size();
      if (now < 8) world.Topic(name, static_cast<int32_t>(now + 1));
    }
  }

  void Leave() {
    if (clients_.empty()) return;
    const auto client = Any();
    const int32_t how = client->instance.has_value() && random_.Coin() ? -2 : -1;
    ConsumerHeartbeat request = world.Request(client->id, how);
    request.instance_id = client->instance;
    clients_.erase(client);  // It has given all up before it says so.
    world.Send(request);
  }

  void Reload() {
    // As after a move to another broker, or a failed write.
    world.group = world.Loaded(world.Compacted(random_.Coin()));
  }

  static void GiveUp(Client& client) {
    if (client.owned == client.told) return;
    client.owned = client.told;
    client.to_say = true;
  }

  void Heartbeat(Client& client, bool lose_answer) {
    const bool joins = client.epoch == 0;
    const bool all = joins || client.to_say_all;
    ConsumerHeartbeat request = world.Request(client.id, client.epoch);
    request.instance_id = client.instance;
    if (all) {
      request.rebalance_timeout = seconds(20);
      request.topic_names = client.topics;
      request.topic_regex = client.regex;
    }
    if (all || client.to_say) request.owned = client.owned;
    const ConsumerHeartbeatReply reply = world.Send(request);
    if (lose_answer) {
      client.to_say_all = true;
      return;
    }
    if (reply.error != KafkaError::kNone) {
      client.owned.clear();
      client.told.clear();
      client.epoch = 0;
      return;
    }
    client.epoch = reply.epoch.value();
    client.to_say = client.to_say_all = false;
    if (!reply.assignment.has_value()) return;
    client.told = *reply.assignment;
    client.to_say = true;
    client.owned = Union(client.owned, client.told);
  }

  SimRandom random_;
  std::vector<Client> clients_;
  uint64_t next_id_ = 0;
};

}  // namespace

TEST_CASE("ConsumerGroup: no partition has two owners, and records make the group again (P25)") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    Crowd crowd(seed);
    for (int step = 0; step < 150; ++step) {
      INFO("step " << step);
      crowd.Step();
      REQUIRE(crowd.TwoOwners() == "");
      if (step % 10 == 0) REQUIRE(crowd.Unfaithful() == "");
    }
    crowd.SettleDown();
    REQUIRE(crowd.TwoOwners() == "");
    REQUIRE(crowd.Unsettled() == "");
    REQUIRE(crowd.Unfaithful() == "");
  }
}

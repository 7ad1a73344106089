#include "test/sim/control_story.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/check.h"
#include "common/config/bootstrap_file.h"
#include "common/config/meta_properties.h"
#include "common/runtime/sim/sim_fabric.h"
#include "controller/image/feature_levels.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/delete_topics_response.h"
#include "storage/log_files.h"
#include "test/sim/kafka_client.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

constexpr Duration kPatience = seconds(120);
constexpr Duration kLookEvery = milliseconds(5);
constexpr int16_t kTopicExists = 36;
constexpr int16_t kUnknownTopic = 3;

// Everything in an image that every node must say alike.
std::string StateOf(const MetadataImage& image) {
  std::string state;
  image.topics().ForEach([&](const std::string& name, const MetadataImage::Topic& topic) {
    state += fmt::format("{} {}:", name, topic->topic_id.ToString());
    for (const PartitionImage& partition : topic->partitions) {
      state += fmt::format(" {}/{}/{}", partition.leader.value_or(BrokerId(-1)),
                           partition.leader_epoch, partition.partition_epoch);
      for (BrokerId id : partition.isr) state += fmt::format(",{}", id);
    }
    state += "\n";
    return true;
  });
  for (const auto& [id, broker] : image.brokers()) {
    state +=
        fmt::format("broker {} epoch {}{}\n", id, broker.epoch, broker.fenced ? " fenced" : "");
  }
  return state;
}

}  // namespace

// Ask for topics, anywhere; remember what was promised.
class ControlStory::Clients final : public SimProgram {
 public:
  Clients(SimProcess& process, std::vector<SocketAddress> brokers, int16_t replication, int count,
          SimRandom dice)
      : env_(process.env()),
        brokers_(std::move(brokers)),
        replication_(replication),
        count_(count),
        dice_(dice),
        scope_(env_.reactor) {}
  Task<absl::Status> Start() override {
    for (int i = 0; i < count_; ++i) scope_.Spawn(Run(i));
    co_return absl::OkStatus();
  }
  Task<void> Stop() override { co_await scope_.Stop(); }
  void Rest() { resting_ = true; }
  bool AtRest() const { return resting_ && working_ == 0; }

  // By name. Nothing: it is not known, its last request had no answer.
  std::map<std::string, std::optional<bool>> topics;
  std::map<std::string, TopicId> ids;  // As the answers said.
  uint64_t answered = 0;

 private:
  Task<void> Run(int number) {
    KafkaClient client(env_, fmt::format("control-{}", number));
    int next = 0;
    while (!scope_.stopping()) {
      co_await Sleep(env_.reactor, dice_.Between(milliseconds(1), milliseconds(300)),
                     scope_.token());
      if (resting_ || scope_.stopping()) continue;
      ++working_;
      if (!client.connected()) {
        co_await client.Disconnect();
        (void)co_await client.Connect(brokers_[dice_.Below(brokers_.size())], seconds(2));
      }
      if (client.connected()) {
        // Each client works on names of its own, one request at a time.
        const bool create = next == 0 || dice_.Below(3) != 0;
        std::string name = fmt::format("t-{}-{}", number, create ? next : next - 1);
        if (create) {
          ++next;
          co_await Create(&client, std::move(name));
        } else {
          co_await Delete(&client, std::move(name));
        }
        if (dice_.Below(4) == 0) co_await client.Disconnect();
      }
      --working_;
    }
    co_await client.Stop();
  }

  Task<void> Create(KafkaClient* client, std::string name) {
    kafka::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = static_cast<int32_t>(dice_.Between(1, 3));
    topic.replication_factor = replication_;
    request.timeout_ms = 5000;
    topics[name] = std::nullopt;
    auto response =
        co_await client->Call<kafka::CreateTopicsResponse>(std::move(request), 7, seconds(8));
    if (!response.ok() || response->topics.size() != 1) co_return;
    const auto& answer = response->topics.front();
    if (answer.error_code == 0) {
      ++answered;
      topics[name] = true;
      ids.emplace(name, answer.topic_id);
    } else if (answer.error_code == kTopicExists) {
      topics[name] = true;
    }
  }

  Task<void> Delete(KafkaClient* client, std::string name) {
    kafka::DeleteTopicsRequest request;
    request.topics.emplace_back().name = name;
    request.timeout_ms = 5000;
    const std::optional<bool> before = topics[name];
    topics[name] = std::nullopt;
    auto response =
        co_await client->Call<kafka::DeleteTopicsResponse>(std::move(request), 6, seconds(8));
    if (!response.ok() || response->responses.size() != 1) co_return;
    const int16_t error = response->responses.front().error_code;
    if (error == 0) {
      ++answered;
      topics[name] = false;
    } else if (error == kUnknownTopic) {
      // Of one whose creation is not known to have failed it says nothing for ever.
      if (before.has_value()) topics[name] = before;
    }
  }

  Env& env_;
  const std::vector<SocketAddress> brokers_;
  const int16_t replication_;
  const int count_;
  SimRandom dice_;
  TaskScope scope_;
  bool resting_ = false;
  int working_ = 0;
};

ControlStory::ControlStory(uint64_t seed, const ControlStoryOptions& options)
    : options_(options), swarm_(SimRandom::Derived(seed, "swarm")) {
  SimOptions world;
  world.network.latency_max =
      swarm_.Coin() ? microseconds(500) : swarm_.Between(milliseconds(1), milliseconds(20));
  world.network.segment_bytes_max = swarm_.Between(200, 16 * 1024);
  world.disk.latency_max = swarm_.Between(Duration(microseconds(20)), milliseconds(2));
  world.disk.sync_latency_max = swarm_.Between(Duration(microseconds(100)), milliseconds(10));
  fault_gap_max_ = swarm_.Between(milliseconds(500), milliseconds(5000));
  world_ = std::make_unique<SimWorld>(seed, world);
  if (options.trace) world_->trace().set_sink(options.trace);
  if (options.logger != nullptr) world_->set_logger(*options.logger);
  AddMembers();
  client_node_ = &world_->AddNode("clients");
}

ControlStory::~ControlStory() = default;

void ControlStory::AddMembers() {
  const int controllers = options_.combined + options_.controllers;
  std::string voters;
  std::string bootstrap;
  for (int id = 1; id <= controllers + options_.brokers; ++id) {
    Member member;
    member.plan.id = BrokerId(id);
    member.plan.is_controller = id <= controllers;
    member.plan.is_broker = id <= options_.combined || id > controllers;
    member.plan.cluster_id = "cluster-of-the-story";
    member.node = &world_->AddNode(fmt::format("node-{}", id));
    MR_CHECK(member.node->disk().CreateDirectories(kDataFolder).ok());
    member.node->disk().SyncEverything();
    if (member.plan.is_controller) {
      const char* separator = voters.empty() ? "" : ",";
      voters += fmt::format("{}{}@node-{}:{}", separator, id, id, kControllerPort);
      bootstrap += fmt::format("{}node-{}:{}", separator, id, kControllerPort);
    }
    members_.push_back(std::move(member));
  }
  if (options_.joins) {
    FormatFounder(members_.front());
    voters.clear();
  } else {
    bootstrap.clear();
  }
  for (Member& member : members_) {
    member.plan.voters = voters;
    member.plan.bootstrap = bootstrap;
  }
}

// `storage format --standalone`.
void ControlStory::FormatFounder(Member& member) {
  MetaProperties meta;
  meta.cluster_id = member.plan.cluster_id;
  meta.node_id = member.plan.id;
  meta.directory_id = swarm_.NextUuid();
  BootstrapFile first;
  first.quorum = InitialQuorum::kVoters;
  first.voters = {{member.plan.id, *meta.directory_id, {member.node->name(), kControllerPort}}};
  for (const FeatureRange& feature : ServedFeatures()) {
    const int32_t level = DefaultFeatureLevel(feature.name, kMetadataVersionLatest);
    if (level > 0) first.features[std::string(feature.name)] = static_cast<int16_t>(level);
  }
  SimDiskImage& disk = member.node->disk();
  for (const auto& [name, text] : {std::pair(kMetaPropertiesFile, PrintMetaProperties(meta)),
                                   std::pair(kBootstrapFile, PrintBootstrapFile(first))}) {
    const auto file = disk.Open(fmt::format("{}/{}", kDataFolder, name), {.create = true});
    MR_CHECK(file.ok());
    (*file)->data.Write(0, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  disk.SyncEverything();
}

void ControlStory::Start(Member& member) {
  member.node->Start([&member](SimProcess& process) {
    return std::make_unique<NodeProgram>(process, member.plan);
  });
}

Node* ControlStory::NodeOf(const Member& member) const {
  if (!member.node->up() || member.node->state() == SimNode::State::kStopping) return nullptr;
  return &static_cast<NodeProgram&>(member.node->program()).node();
}

void ControlStory::Wrong(std::string what) {
  if (violations_.size() < 10) violations_.push_back(std::move(what));
}

// --- Faults.

void ControlStory::BreakNode(Member& member) {
  SimRandom& dice = world_->dice();
  const Duration down = dice.Between(milliseconds(1), milliseconds(6000));
  switch (dice.Below(3)) {
    case 0:
      member.node->Kill();
      break;
    case 1:
      member.node->PowerLoss();
      break;
    default:
      member.node->Pause();
      world_->After(down, [&member] { member.node->Resume(); });
      return;
  }
  world_->After(down, [this, &member] {
    if (breaking_ && !member.node->up()) Start(member);
  });
}

void ControlStory::BreakSomething() {
  if (!breaking_) return;
  SimRandom& dice = world_->dice();
  world_->After(dice.Between(milliseconds(50), fault_gap_max_), [this] { BreakSomething(); });
  Member& member = members_[dice.Below(members_.size())];
  if (member.node->up() && member.node->state() == SimNode::State::kFailed) member.node->Kill();
  if (!member.node->up()) {
    Start(member);
    return;
  }
  ++faults_;
  if (dice.Coin()) {
    BreakNode(member);
    return;
  }
  SimNode& a = *member.node;
  SimNode& b = *members_[dice.Below(members_.size())].node;
  if (&a == &b) return;
  switch (dice.Below(3)) {
    case 0:
      world_->network().CutOneWay(a, b);
      break;
    case 1:
      world_->network().Cut(a, b);
      break;
    default:
      world_->network().Break(a, b);
      return;
  }
  world_->After(dice.Between(milliseconds(10), milliseconds(15'000)), [this, &a, &b] {
    if (breaking_) world_->network().Heal(a, b);
  });
}

void ControlStory::Heal() {
  breaking_ = false;
  world_->network().HealAll();
  for (Member& member : members_) {
    member.node->Resume();
    if (member.node->up() && member.node->state() == SimNode::State::kFailed) member.node->Kill();
    if (!member.node->up()) Start(member);
  }
}

// --- What must hold at all times.

void ControlStory::Look() {
  if (!looking_) return;
  for (const Member& member : members_) {
    if (Node* node = NodeOf(member); node != nullptr && !member.node->paused()) {
      LookAt(member, *node);
    }
  }
  world_->After(kLookEvery, [this] { Look(); });
}

void ControlStory::LookAt(const Member& member, Node& node) {
  if (std::optional<RaftTerm> term = node.active_term(); term.has_value()) {
    auto [found, first] = active_.emplace(*term, member.plan.id);
    if (!first && found->second != member.plan.id) {
      Wrong(fmt::format("nodes {} and {} were both active in term {}", found->second,
                        member.plan.id, *term));
    }
  }
  std::shared_ptr<const MetadataImage> image = node.image();
  if (image == nullptr || !image->index().has_value()) return;
  std::string state = StateOf(*image);
  auto [found, first] = states_.emplace(*image->index(), state);
  if (!first && found->second != state) {
    Wrong(fmt::format("node {} at index {} says\n{}and another said\n{}", member.plan.id,
                      *image->index(), state, found->second));
  }
  image->topics().ForEach([&](const std::string& name, const MetadataImage::Topic& topic) {
    auto [id, fresh] = ids_.emplace(topic->topic_id, name);
    if (!fresh && id->second != name) {
      Wrong(fmt::format("one topic id for {} and {}", id->second, name));
    }
    return true;
  });
  if (options_.faults) return;
  size_t unfenced = 0;
  for (const auto& [id, broker] : image->brokers()) unfenced += broker.fenced ? 0 : 1;
  const auto brokers = static_cast<size_t>(
      std::ranges::count_if(members_, [](const Member& m) { return m.plan.is_broker; }));
  if (all_unfenced_ && image->index() == states_.rbegin()->first && unfenced < brokers) {
    Wrong(fmt::format("a broker was fenced although nothing was wrong:\n{}", state));
  }
  all_unfenced_ = all_unfenced_ || unfenced == brokers;
}

// --- What must come about.

bool ControlStory::Converged() {
  std::optional<RaftIndex> index;
  for (Member& member : members_) {
    if (member.node->up() && member.node->state() == SimNode::State::kFailed) member.node->Kill();
    if (!member.node->up()) Start(member);
    if (member.node->state() != SimNode::State::kRunning) return false;
    // Those that had to join have.
    const auto controllers = static_cast<size_t>(options_.combined + options_.controllers);
    if (member.plan.is_controller && NodeOf(member)->voters() != controllers) return false;
    std::shared_ptr<const MetadataImage> image = NodeOf(member)->image();
    if (image == nullptr || (index.has_value() && image->index() != index)) return false;
    index = image->index();
    for (const Member& other : members_) {
      if (!other.plan.is_broker) continue;
      const BrokerImage* broker = image->FindBroker(other.plan.id);
      if (broker == nullptr || broker->fenced) return false;
    }
  }
  return index.has_value();
}

void ControlStory::CheckTopics() {
  std::shared_ptr<const MetadataImage> image = NodeOf(members_.front())->image();
  for (const auto& [name, exists] : clients_->topics) {
    const MetadataImage::Topic topic = image->FindTopic(name);
    if (exists.has_value() && *exists != (topic != nullptr)) {
      Wrong(fmt::format("topic {} was acknowledged to be {}, and is {}", name,
                        *exists ? "there" : "gone", topic == nullptr ? "gone" : "there"));
    }
    auto id = clients_->ids.find(name);
    if (topic != nullptr && id != clients_->ids.end() && topic->topic_id != id->second) {
      Wrong(fmt::format("topic {} has another id than its creation was answered with", name));
    }
  }
}

Outcome ControlStory::Run() {
  std::vector<SocketAddress> brokers;
  for (Member& member : members_) {
    Start(member);
    if (member.plan.is_broker) brokers.push_back({member.node->name(), kBrokerPort});
  }
  const auto replication = static_cast<int16_t>(std::min<size_t>(brokers.size(), 3));
  const int count = static_cast<int>(swarm_.Between(1, 3));
  client_node_->Start([&](SimProcess& process) {
    auto clients = std::make_unique<Clients>(process, brokers, replication, count,
                                             SimRandom::Derived(world_->seed(), "clients"));
    clients_ = clients.get();
    return clients;
  });
  world_->After(kLookEvery, [this] { Look(); });
  // A static quorum begins when all its voters have been up once.
  if (!world_->RunUntil([this] { return Converged(); }, kPatience)) {
    Wrong("the cluster did not come up");
    return Finish();
  }
  if (options_.faults) {
    breaking_ = true;
    BreakSomething();
  }
  world_->RunFor(swarm_.Between(seconds(20), seconds(40)));
  Heal();
  clients_->Rest();
  if (!world_->RunUntil([this] { return clients_->AtRest() && Converged(); }, kPatience)) {
    std::string where;
    for (const Member& member : members_) {
      Node* node = NodeOf(member);
      if (node == nullptr || node->image() == nullptr) continue;
      where += fmt::format("\nnode {} at {}:\n{}", member.plan.id,
                           node->image()->index().value_or(RaftIndex(0)), StateOf(*node->image()));
    }
    Wrong("healed, and the nodes do not agree that all are there:" + where);
    return Finish();
  }
  CheckTopics();
  return Finish();
}

Outcome ControlStory::Finish() {
  const uint64_t answered = clients_ == nullptr ? 0 : clients_->answered;
  looking_ = false;  // Who stops in order is fenced.
  client_node_->StopGracefully();
  for (Member& member : members_) {
    if (member.node->up() && member.node->state() == SimNode::State::kRunning) {
      member.node->StopGracefully();
    }
  }
  Outcome outcome;
  outcome.violations = violations_;
  outcome.trace_hash = world_->trace().hash();
  outcome.events = world_->trace().records();
  outcome.summary =
      fmt::format("{} answers, {} indexes seen, {} terms, {} faults, {} events, {:.1f} virtual s",
                  answered, states_.size(), active_.size(), faults_, outcome.events,
                  static_cast<double>(world_->Now().nanoseconds()) / 1e9);
  return outcome;
}

}  // namespace millrace::simtest

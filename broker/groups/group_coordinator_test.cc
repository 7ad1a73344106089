#include "broker/groups/group_coordinator.h"

#include <catch2/catch.hpp>

#include "controller/image/metadata_delta.h"
#include "proto/kafka/consumer_protocol_subscription.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr Timestamp kBegin{1'700'000'000'000};

// A coordinator and its clock; keeps what it wrote.
struct World {
  GroupOptions options;
  GroupMemory memory;
  Instant now{0};
  std::vector<GroupRecord> log;
  std::optional<GroupCoordinator> groups;
  uint64_t tickets = 0;
  MetadataImage image;

  World() {
    options.classic.initial_rebalance_delay = Duration(0);
    groups.emplace(options, memory, Time());
  }
  GroupTime Time() const {
    return {now, Timestamp(kBegin.ms() + (now - Instant(0)) / milliseconds(1))};
  }
  void Keep(GroupOutput& out) { log.insert(log.end(), out.records.begin(), out.records.end()); }

  PartitionErrors Commit(const std::string& group, const std::string& topic, int64_t offset,
                         OffsetOwner owner = {}, std::string metadata = "") {
    OffsetsToCommit commit;
    commit.group_id = group;
    commit.owner = std::move(owner);
    commit.topics.push_back(
        {topic,
         TopicId(0, 0),
         {{PartitionId(0), Offset(offset), std::nullopt, std::move(metadata)}}});
    GroupOutput out;
    PartitionErrors errors = groups->Commit(commit, Time(), out);
    Keep(out);
    return errors;
  }
  // A member alone in its group; its owner to commit by.
  OffsetOwner JoinAlone(const std::string& group, std::string subscription = "") {
    GroupOutput out;
    JoinGroup join{.member = {},
                   .client_id = "c",
                   .client_host = "/127.0.0.1",
                   .session_timeout = seconds(10),
                   .rebalance_timeout = seconds(30),
                   .protocol_type = "consumer",
                   .protocols = {{"range", std::move(subscription)}}};
    ++tickets;
    groups->Join(group, join, Ticket(tickets), image, Uuid(1, tickets), Time(), out);
    Keep(out);
    Advance(Duration(1));
    if (out.joined.empty()) {
      GroupOutput later;
      groups->OnTime(image, Time(), later);
      Keep(later);
      out.joined = std::move(later.joined);
    }
    REQUIRE(out.joined.size() == 1);
    const JoinedGroup& joined = out.joined.front().second;
    REQUIRE(joined.error == KafkaError::kNone);
    SyncGroup sync{.member = {joined.member_id, {}},
                   .generation = *joined.generation,
                   .protocol_type = {},
                   .protocol_name = {},
                   .assignments = {{joined.member_id, "mine"}}};
    GroupOutput synced;
    groups->Sync(group, sync, Ticket(++tickets), image, Time(), synced);
    Keep(synced);
    REQUIRE(synced.synced.size() == 1);
    return {{joined.member_id, {}}, joined.generation};
  }
  void Advance(Duration by) { now = now + by; }
  // What is due, as the shell's clock would have it.
  void Run() {
    while (groups->deadline() <= now) {
      GroupOutput out;
      groups->OnTime(image, Time(), out);
      Keep(out);
    }
  }
  // Another broker reads the log.
  void Reload() {
    groups.emplace(options, memory, Time());
    for (const GroupRecord& record : log) {
      const EncodedRecord encoded = EncodeGroupRecord(record);
      auto bytes = [](const std::string& text) {
        return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
      };
      auto decoded = DecodeGroupRecord(
          bytes(encoded.key),
          encoded.value.has_value() ? std::optional(bytes(*encoded.value)) : std::nullopt);
      REQUIRE(decoded.ok());
      REQUIRE(*decoded == record);
      groups->Load(**decoded, Time());
    }
    groups->OnLoaded(image, Time());
  }
};

MetadataImage ImageWith(const std::vector<std::string>& topics) {
  auto image = std::make_shared<const MetadataImage>();
  MetadataDelta delta(image);
  uint64_t number = 0;
  for (const std::string& topic : topics) {
    REQUIRE(delta.Apply(TopicRecord{topic, TopicId(7, ++number)}).ok());
  }
  return *delta.Build(RaftIndex(1));
}

std::optional<int64_t> Told(const World& world, const std::string& group, const std::string& topic,
                            const MetadataImage& image) {
  OffsetsToFetch fetch;
  fetch.group_id = group;
  fetch.topics.emplace().push_back({topic, {PartitionId(0)}});
  FetchedOffsets fetched = world.groups->Fetch(fetch, image);
  REQUIRE(fetched.error == KafkaError::kNone);
  const auto& committed = fetched.topics.at(0).partitions.at(0).committed;
  return committed.has_value() ? std::optional(committed->offset.value()) : std::nullopt;
}

TEST_CASE("GroupCoordinator: whoever is no member commits for a group without members (rule 9.1)") {
  World world;
  const MetadataImage image = ImageWith({"orders"});
  CHECK(world.Commit("simple", "orders", 5)[0][0] == KafkaError::kNone);
  CHECK(Told(world, "simple", "orders", image) == 5);
  // It may go back (rule 9.3).
  CHECK(world.Commit("simple", "orders", 3)[0][0] == KafkaError::kNone);
  CHECK(Told(world, "simple", "orders", image) == 3);
  // A generation of a group that nobody knows.
  CHECK(world.Commit("other", "orders", 5, {{"m", {}}, GenerationId(1)})[0][0] ==
        KafkaError::kIllegalGeneration);
  // Members have the say.
  world.JoinAlone("busy");
  CHECK(world.Commit("busy", "orders", 5)[0][0] == KafkaError::kUnknownMemberId);
}

TEST_CASE("GroupCoordinator: metadata that is too long refuses its partition alone (rule 9.2)") {
  World world;
  world.options.offset_metadata_bytes_max = 4;
  CHECK(world.Commit("g", "orders", 1, {}, "12345")[0][0] == KafkaError::kOffsetMetadataTooLarge);
  CHECK(world.Commit("g", "orders", 1, {}, "1234")[0][0] == KafkaError::kNone);
}

TEST_CASE("GroupCoordinator: who loads the log knows members and offsets") {
  World world;
  const MetadataImage image = ImageWith({"orders"});
  const OffsetOwner owner = world.JoinAlone("g");
  CHECK(world.Commit("g", "orders", 42, owner)[0][0] == KafkaError::kNone);
  world.Reload();
  CHECK(Told(world, "g", "orders", image) == 42);
  CHECK(world.groups->Heartbeat("g", owner.member, *owner.epoch, world.Time()) ==
        KafkaError::kNone);
  CHECK(world.Commit("g", "orders", 43, owner)[0][0] == KafkaError::kNone);
  auto described = world.groups->Describe("g");
  REQUIRE(described.has_value());
  CHECK(described->state == "Stable");
  REQUIRE(described->members.size() == 1);
  CHECK(described->members[0].assignment == "mine");
}

TEST_CASE("GroupCoordinator: a deleted group leaves nothing, for those who load the log too") {
  World world;
  const MetadataImage image = ImageWith({"orders"});
  const OffsetOwner owner = world.JoinAlone("g");
  world.Commit("g", "orders", 42, owner);
  GroupOutput out;
  CHECK(world.groups->Delete("g", world.Time(), out) == KafkaError::kNonEmptyGroup);
  world.groups->Leave("g", {owner.member}, world.image, world.Time(), out);
  CHECK(world.groups->Delete("g", world.Time(), out) == KafkaError::kNone);
  CHECK(world.groups->Delete("g", world.Time(), out) == KafkaError::kGroupIdNotFound);
  world.Keep(out);
  CHECK(world.groups->group_count() == 0);
  CHECK(world.groups->offset_count() == 0);
  world.Reload();
  CHECK(world.groups->group_count() == 0);
  CHECK(Told(world, "g", "orders", image) == std::nullopt);
}

TEST_CASE(
    "GroupCoordinator: unused offsets expire, and empty groups with the last of them (rules 9.7, "
    "9.8)") {
  World world;
  const MetadataImage image = ImageWith({"orders"});
  const Duration day = std::chrono::hours(24);
  world.Commit("simple", "orders", 1);
  const OffsetOwner owner = world.JoinAlone("group");
  world.Commit("group", "orders", 1, owner);
  // Its member lives for three days more, then the group is empty.
  for (int beat = 0; beat < 3 * 24 * 3600 / 5; ++beat) {
    world.Advance(seconds(5));
    REQUIRE(world.groups->Heartbeat("group", owner.member, *owner.epoch, world.Time()) ==
            KafkaError::kNone);
  }
  world.Advance(seconds(11));
  world.Run();
  world.Advance(4 * day + std::chrono::minutes(11));
  world.Run();
  CHECK(Told(world, "simple", "orders", image) == std::nullopt);
  CHECK(Told(world, "group", "orders", image) == 1);
  world.Advance(3 * day + std::chrono::hours(1));
  world.Run();
  CHECK(Told(world, "group", "orders", image) == std::nullopt);
  CHECK(world.groups->group_count() == 0);
  world.Reload();
  CHECK(world.groups->group_count() == 0);
}

TEST_CASE("GroupCoordinator: offsets of a deleted topic go, not those of a later one (rule 9.9)") {
  World world;
  world.Commit("g", "orders", 5);
  world.Commit("g", "bills", 6);
  const MetadataImage image = ImageWith({"orders", "bills"});
  GroupOutput out;
  world.groups->OnTopicsDeleted({{"orders", TopicId(7, 1)}}, world.Time(), out);
  world.Keep(out);
  CHECK(out.records.size() == 1);
  CHECK(Told(world, "g", "orders", image) == std::nullopt);
  CHECK(Told(world, "g", "bills", image) == 6);
  // Committed for a topic that has been made anew since.
  OffsetsToCommit commit;
  commit.group_id = "g";
  commit.topics.push_back({"bills", TopicId(9, 9), {{PartitionId(0), Offset(8), {}, ""}}});
  world.groups->Commit(commit, world.Time(), out);
  CHECK(Told(world, "g", "bills", image) == std::nullopt);
  // The deletion of the one before comes late: the new one's offset stays.
  GroupOutput late;
  world.groups->OnTopicsDeleted({{"bills", TopicId(7, 2)}}, world.Time(), late);
  CHECK(late.records.empty());
}

TEST_CASE("GroupCoordinator: what a group with members reads is not deleted (rule 7.25)") {
  World world;
  // Version 1 of ConsumerProtocolSubscription: topics, user data, owned partitions.
  const std::string subscription("\0\1\0\0\0\1\0\6orders\xff\xff\xff\xff\0\0\0\0", 22);
  const OffsetOwner owner = world.JoinAlone("g", subscription);
  world.Commit("g", "orders", 5, owner);
  world.Commit("g", "bills", 5, owner);
  OffsetsToDelete deletion{"g", {{"orders", {PartitionId(0)}}, {"bills", {PartitionId(0)}}}};
  GroupOutput out;
  const DeletedOffsets deleted = world.groups->DeleteOffsets(deletion, world.Time(), out);
  CHECK(deleted.error == KafkaError::kNone);
  CHECK(deleted.partitions[0][0] == KafkaError::kGroupSubscribedToTopic);
  CHECK(deleted.partitions[1][0] == KafkaError::kNone);
  CHECK(out.records.size() == 1);
}

TEST_CASE("GroupCoordinator: a group without members becomes one of the other protocol") {
  World world;
  const MetadataImage image = ImageWith({"orders"});
  const ConsumerHeartbeat join{.group_id = "g",
                               .member_id = "new",
                               .epoch = kJoinEpoch,
                               .rebalance_timeout = seconds(30),
                               .topic_names = {{"orders"}},
                               .owned = PartitionList()};
  const auto beat = [&](ConsumerHeartbeat request) {
    GroupOutput out;
    ConsumerHeartbeatReply reply =
        world.groups->ConsumerBeat(request, image, Uuid(1, 1), world.Time(), out);
    world.Keep(out);
    return reply;
  };
  const OffsetOwner owner = world.JoinAlone("g");
  world.Commit("g", "orders", 5, owner);
  // Nobody understands what its member subscribes to: it stays of the classic protocol.
  CHECK(beat(join).error == KafkaError::kGroupIdNotFound);
  GroupOutput out;
  world.groups->Leave("g", {owner.member}, world.image, world.Time(), out);
  world.Keep(out);
  ConsumerHeartbeatReply joined = beat(join);
  CHECK(joined.error == KafkaError::kNone);
  CHECK(world.groups->List().at(0).type == "consumer");
  CHECK(!world.groups->Describe("g").has_value());
  CHECK(Told(world, "g", "orders", image) == 5);
  world.Reload();
  CHECK(world.groups->List().at(0).type == "consumer");
  CHECK(world.groups->DescribeConsumer("g")->members.size() == 1);
  CHECK(Told(world, "g", "orders", image) == 5);
  // And back again.
  ConsumerHeartbeat leave{.group_id = "g", .member_id = "new", .epoch = kLeaveEpoch};
  CHECK(beat(leave).error == KafkaError::kNone);
  world.JoinAlone("g");
  CHECK(world.groups->List().at(0).type == "classic");
  world.Reload();
  CHECK(world.groups->List().at(0).type == "classic");
  CHECK(Told(world, "g", "orders", image) == 5);
}

TEST_CASE(
    "GroupCoordinator: where memory is used up nobody new joins, and those who are there go on") {
  World world;
  const OffsetOwner owner = world.JoinAlone("g");
  CHECK(world.Commit("g", "orders", 1, owner)[0][0] == KafkaError::kNone);
  const size_t used = world.memory.used;
  CHECK(used > 0);
  world.memory.max = used;
  CHECK(world.Commit("g", "orders", 2, owner)[0][0] == KafkaError::kNone);
  CHECK(world.Commit("g", "bills", 2, owner)[0][0] == KafkaError::kCoordinatorNotAvailable);
  CHECK(world.Commit("new", "orders", 2)[0][0] == KafkaError::kCoordinatorNotAvailable);
  CHECK(world.groups->Heartbeat("g", owner.member, *owner.epoch, world.Time()) ==
        KafkaError::kNone);
  GroupOutput out;
  JoinGroup join{.member = {},
                 .client_id = "c",
                 .client_host = "h",
                 .session_timeout = seconds(10),
                 .rebalance_timeout = seconds(30),
                 .protocol_type = "consumer",
                 .protocols = {{"range", ""}}};
  world.groups->Join("other", join, Ticket(99), world.image, Uuid(1, 1), world.Time(), out);
  REQUIRE(out.joined.size() == 1);
  CHECK(out.joined[0].second.error == KafkaError::kGroupMaxSizeReached);
  ConsumerHeartbeat beat{.group_id = "new",
                         .member_id = "m",
                         .epoch = kJoinEpoch,
                         .rebalance_timeout = seconds(30),
                         .topic_names = {{"orders"}},
                         .owned = PartitionList()};
  const MetadataImage image = ImageWith({"orders"});
  CHECK(world.groups->ConsumerBeat(beat, image, Uuid(1, 2), world.Time(), out).error ==
        KafkaError::kGroupMaxSizeReached);
  CHECK(world.memory.used == used);
  // What goes is given back.
  world.groups->Leave("g", {owner.member}, world.image, world.Time(), out);
  CHECK(world.groups->Delete("g", world.Time(), out) == KafkaError::kNone);
  CHECK(world.memory.used == 0);
}

std::string Subscription(const std::vector<std::string>& topics) {
  kafka::ConsumerProtocolSubscription subscription;
  subscription.topics = topics;
  kafka::Writer writer;
  writer.WriteInt16(0);
  subscription.Encode(writer, 0);
  return std::string(std::move(writer).Finish()->Flatten().view());
}

TEST_CASE("GroupCoordinator: an invented id gets nobody past the end of memory") {
  World world;
  world.image = ImageWith({"orders"});
  ConsumerHeartbeat beat{.group_id = "g",
                         .member_id = "m",
                         .epoch = kJoinEpoch,
                         .rebalance_timeout = seconds(30),
                         .topic_names = {{"orders"}},
                         .owned = PartitionList()};
  GroupOutput out;
  REQUIRE(world.groups->ConsumerBeat(beat, world.image, Uuid(1, 1), world.Time(), out).error ==
          KafkaError::kNone);
  const auto join = [&](const std::string& member_id, const std::vector<std::string>& topics) {
    JoinGroup request{.member = {member_id, {}},
                      .client_id = "c",
                      .client_host = "h",
                      .session_timeout = seconds(10),
                      .rebalance_timeout = seconds(30),
                      .protocol_type = "consumer",
                      .protocols = {{"range", Subscription(topics)}}};
    GroupOutput joined;
    world.groups->Join("g", request, Ticket(1), world.image, Uuid(1, 2), world.Time(), joined);
    REQUIRE(joined.joined.size() == 1);
    return joined.joined[0].second.error;
  };
  CHECK(join("known", {"orders"}) == KafkaError::kNone);

  // A name is a key of several maps, and a topic's takes more than it says.
  const size_t used = world.memory.used;
  world.memory.max = used + (64 << 10);
  CHECK(join(std::string(30'000, 'm'), {"orders"}) == KafkaError::kGroupMaxSizeReached);
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) names.push_back(std::to_string(i));
  CHECK(join("known", names) == KafkaError::kGroupMaxSizeReached);
  beat.epoch = MemberEpoch(1);
  beat.topic_names = names;
  CHECK(world.groups->ConsumerBeat(beat, world.image, Uuid(1, 1), world.Time(), out).error ==
        KafkaError::kCoordinatorNotAvailable);
  CHECK(world.memory.used == used);
  world.memory.max = used;
  CHECK(join("invented", {"orders"}) == KafkaError::kGroupMaxSizeReached);
  CHECK(join("known", {"orders"}) == KafkaError::kNone);

  world.memory.max = size_t{128} << 20;
  CHECK(join(std::string(10'000, 'm'), {"orders"}) == KafkaError::kNone);
  CHECK(world.memory.used >= used + 50'000);
  const size_t with_long_id = world.memory.used;
  CHECK(join("known", names) == KafkaError::kNone);
  CHECK(world.memory.used >= with_long_id + names.size() * 128);
}

TEST_CASE("GroupCoordinator: requests for groups that are not there leave nothing behind") {
  World world;
  GroupOutput out;
  JoinGroup named{.member = {"known", {}},
                  .client_id = "c",
                  .client_host = "h",
                  .session_timeout = seconds(10),
                  .rebalance_timeout = seconds(30),
                  .protocol_type = "consumer",
                  .protocols = {{"range", ""}}};
  world.groups->Join("g", named, Ticket(1), world.image, Uuid(1, 1), world.Time(), out);
  REQUIRE(out.joined.size() == 1);
  CHECK(out.joined[0].second.error == KafkaError::kUnknownMemberId);
  JoinGroup hasty = named;
  hasty.member.member_id.clear();
  hasty.session_timeout = milliseconds(1);
  world.groups->Join("g", hasty, Ticket(2), world.image, Uuid(1, 2), world.Time(), out);
  REQUIRE(out.joined.size() == 2);
  CHECK(out.joined[1].second.error == KafkaError::kInvalidSessionTimeout);
  CHECK(world.groups->Heartbeat("g", {"m", {}}, GenerationId(1), world.Time()) ==
        KafkaError::kUnknownMemberId);
  CHECK(world.groups->Leave("g", {{"m", {}}}, world.image, world.Time(), out) ==
        std::vector{KafkaError::kUnknownMemberId});
  CHECK(out.records.empty());
  CHECK(world.groups->group_count() == 0);
}

}  // namespace
}  // namespace millrace

// The rules of classic groups are told in test/scripts/groups/; here is what a story cannot say.
#include "broker/groups/classic_group.h"

#include <catch2/catch.hpp>
#include <random>

#include "broker/groups/group_record.h"
#include "proto/kafka/consumer_protocol_subscription.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr GroupTime At(int64_t ms) { return {Instant(ms * 1'000'000), Timestamp(ms)}; }

JoinGroup JoinOf(std::string client_id, std::vector<MemberProtocol> protocols) {
  return {.member = {},
          .client_id = std::move(client_id),
          .client_host = "/127.0.0.1",
          .session_timeout = seconds(10),
          .rebalance_timeout = seconds(60),
          .protocol_type = "consumer",
          .protocols = std::move(protocols)};
}

std::string Subscription(std::vector<std::string> topics, int16_t version) {
  kafka::ConsumerProtocolSubscription subscription;
  subscription.topics = std::move(topics);
  kafka::Writer writer;
  writer.WriteInt16(version);
  subscription.Encode(writer, std::min(version, kafka::ConsumerProtocolSubscription::kMaxVersion));
  return std::string(std::move(writer).Finish()->Flatten().view());
}

// A group of one member, in the second half of its first rebalance.
struct SmallGroup {
  explicit SmallGroup(JoinGroup request, const ClassicGroupOptions& group_options = {})
      : options(group_options), group("g", options, At(0)) {
    group.Join(std::move(request), Ticket(1), Uuid(1, 1), At(0), out);
    group.OnTime(At(3000), out);
    REQUIRE(out.joined.size() == 1);
  }
  const ClassicGroupOptions options;
  ClassicGroup group;
  ClassicGroupOutput out;
};

TEST_CASE("ClassicGroup: the id of a member is its client's name, cut, and a uuid (rule 7.5)") {
  const Uuid drawn(0x0123'4567'89AB'CDEF, 0xFEDC'BA98'7654'3210);
  const std::string uuid = "-01234567-89ab-cdef-fedc-ba9876543210";
  CHECK(NewMemberId("app", drawn) == "app" + uuid);
  CHECK(NewMemberId("", drawn) == uuid);
  CHECK(NewMemberId(std::string(255, 'x'), drawn) == std::string(255, 'x') + uuid);
  CHECK(NewMemberId(std::string(256, 'x'), drawn) == std::string(255, 'x') + uuid);
  // No half of a character of two, three or four bytes.
  for (const std::string character : {"\u00e4", "\u20ac", "\U0001F600"}) {
    for (size_t before = 250; before <= 255; ++before) {
      const std::string start(before, 'x');
      const std::string whole = before + character.size() <= 255 ? start + character : start;
      CHECK(NewMemberId(start + character + std::string(10, 'y'), drawn)
                .starts_with(whole + (whole.size() == 255 || whole == start ? "-" : "y")));
    }
  }
  // What is no UTF-8 is cut all the same.
  CHECK(NewMemberId(std::string(32'000, '\x80'), drawn).size() == 255 + uuid.size());
}

TEST_CASE("ClassicGroup: the longest names a client may send are written and read again") {
  const std::string longest(32'767, 'n');
  JoinGroup request = JoinOf(longest, {{longest, std::string(100'000, 'm')}});
  request.member.instance_id = longest;
  request.protocol_type = longest;
  request.session_timeout = seconds(1800);
  request.rebalance_timeout = milliseconds(INT32_MAX);
  SmallGroup small(std::move(request));
  const std::string id = small.out.joined[0].second.member_id;
  small.group.Sync({.member = {id, std::nullopt},
                    .generation = GenerationId(1),
                    .protocol_type = longest,
                    .protocol_name = longest,
                    .assignments = {{id, "all"}}},
                   Ticket(2), At(3000), small.out);
  REQUIRE(small.out.write);
  const EncodedRecord encoded =
      EncodeGroupRecord(ClassicGroupRecord{{.group = "g"}, small.group.ToRecord()});
  const auto bytes = [](const std::string& text) {
    return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  const auto decoded = DecodeGroupRecord(bytes(encoded.key), bytes(*encoded.value));
  REQUIRE(decoded.ok());
  const auto& record = std::get<ClassicGroupRecord>(**decoded);
  const ClassicGroup loaded("g", small.options, *record.value, At(5000));
  CHECK(loaded.ToRecord() == small.group.ToRecord());
  CHECK(loaded.memory_bytes() == small.group.memory_bytes());
  CHECK(loaded.state_since() == Timestamp(3000));
}

TEST_CASE("ClassicGroup: a record that contradicts itself makes a group nonetheless") {
  kafka::GroupMetadataValue record;
  record.protocol_type = "consumer";
  record.generation = INT32_MAX;
  record.protocol = std::nullopt;
  record.leader = "nobody";
  for (const char* id : {"b", "a", "b", "c"}) {
    kafka::GroupMetadataValue::MemberMetadata member;
    member.member_id = id;
    member.group_instance_id = "i" + std::string(id == std::string("c") ? "a" : id);
    member.session_timeout = -1;
    member.rebalance_timeout = INT32_MIN;
    record.members.push_back(member);
  }
  const ClassicGroupOptions options;
  ClassicGroup group("g", options, record, At(7000));
  CHECK(group.member_count() == 2);
  CHECK(group.state() == ClassicGroupState::kStable);
  CHECK(group.state_since() == Timestamp(7000));
  CHECK(group.ToRecord().leader == "a");
  CHECK(group.SubscribedTopics() == std::nullopt);
  // The generations begin anew rather than become negative.
  ClassicGroupOutput out;
  group.OnTime(At(7000), out);
  CHECK(out.write);
  CHECK(group.state() == ClassicGroupState::kEmpty);
  CHECK(group.generation() == GenerationId(1));
}

TEST_CASE("ClassicGroup: an id that is drawn twice is not given twice") {
  JoinGroup request = JoinOf("a", {{"range", "x"}});
  SmallGroup small(request);
  small.group.Join(request, Ticket(2), Uuid(1, 1), At(3000), small.out);
  CHECK(small.out.joined.back().second.error == KafkaError::kRebalanceInProgress);
  CHECK(small.group.member_count() == 1);
}

TEST_CASE("ClassicGroup: what consumers subscribe to is read from their metadata") {
  const ClassicGroupOptions options;
  CHECK(ClassicGroup("g", options, At(0)).SubscribedTopics() == std::set<std::string>());
  const auto topics = [](JoinGroup request) {
    return SmallGroup(std::move(request)).group.SubscribedTopics();
  };
  for (const int16_t version : std::initializer_list<int16_t>{0, 1, 2, 3, 9}) {
    CHECK(topics(JoinOf("a", {{"range", Subscription({"t", "u"}, version)}})) ==
          std::set<std::string>{"t", "u"});
  }
  const std::string whole = Subscription({"t", "u"}, 0);
  CHECK(topics(JoinOf("a", {{"range", whole.substr(0, 8)}})) == std::nullopt);
  CHECK(topics(JoinOf("a", {{"range", ""}})) == std::nullopt);
  CHECK(topics(JoinOf("a", {{"range", "\xff" + whole.substr(1)}})) == std::nullopt);
  JoinGroup connect = JoinOf("a", {{"default", whole}});
  connect.protocol_type = "connect";
  CHECK(topics(connect) == std::nullopt);

  // A member that came since the protocol was chosen counts as well.
  SmallGroup small(JoinOf("a", {{"range", Subscription({"t"}, 1)}, {"sticky", "?"}}));
  small.group.Join(JoinOf("b", {{"sticky", Subscription({"u"}, 1)}}), Ticket(2), Uuid(1, 2),
                   At(3000), small.out);
  CHECK(small.group.SubscribedTopics() == std::set<std::string>{"t", "u"});
}

TEST_CASE("ClassicGroup: a timeout that makes no sense does no harm") {
  for (const Duration timeout : {Duration::min(), Duration::max(), Duration::zero()}) {
    JoinGroup request = JoinOf("a", {{"range", "x"}});
    request.rebalance_timeout = timeout;
    SmallGroup small(std::move(request));
    REQUIRE(small.group.deadline().has_value());
    CHECK(*small.group.deadline() <= At(13'000).now);
    small.group.OnTime({Instant::Max(), Timestamp(0)}, small.out);
    CHECK(small.group.state() == ClassicGroupState::kEmpty);
  }
}

// A group that is asked anything in any order, by clients that keep to nothing.
class AnyOrder {
 public:
  explicit AnyOrder(uint64_t seed) : random_(seed) {
    options_.initial_rebalance_delay = seconds(Below(3));
    options_.members_max = 3 + Below(8);
    options_.pending_members_max = 1 + Below(4);
    options_.session_min = seconds(1);
    options_.new_member_join_timeout = seconds(20);
    group_.emplace("g", options_, time_);
    empty_bytes_ = group_->memory_bytes();
  }

  void Step() {
    ClassicGroupOutput out;
    switch (Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        Join(out);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        Sync(out);
        break;
      case 9:
      case 10:
        group_->Heartbeat(Somebody(), Generation(), time_);
        break;
      case 11:
        Leave(out);
        break;
      case 12:
        Commit();
        break;
      case 13:
        Forget();
        break;
      default:
        Pass(Below(8) * 1000 * Below(2) + Below(1500), out);
        break;
    }
    Settle(std::move(out));
    if (Below(200) == 0) Reload();
  }
  void End() {
    ClassicGroupOutput out;
    std::vector<MemberIdentity> all;
    for (const auto& member : group_->Members()) all.push_back({member.member_id, std::nullopt});
    for (const KafkaError error : group_->Leave(all, time_, out)) {
      CHECK(error == KafkaError::kNone);
    }
    Settle(std::move(out));
    CHECK(waiting_.empty());
    ClassicGroupOutput later;
    Pass(100'000, later);
    Settle(std::move(later));
    CHECK(group_->state() == ClassicGroupState::kEmpty);
    CHECK(group_->deadline() == std::nullopt);
    CHECK(group_->memory_bytes() <= empty_bytes_ + std::string("consumer").size());
  }
  size_t stable_count() const { return stable_count_; }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  template <typename T>
  const T& Any(const std::vector<T>& values) {
    return values[Below(values.size())];
  }
  GenerationId Generation() {
    return Below(8) == 0 ? GenerationId(static_cast<int32_t>(Below(3))) : group_->generation();
  }
  // One of the group, one that was, or one that never was.
  MemberIdentity Somebody() {
    MemberIdentity who;
    const auto members = group_->Members();
    if (!members.empty() && Below(4) != 0) {
      const auto& member = Any(members);
      who.member_id = member.member_id;
      if (Below(2) == 0) who.instance_id = member.instance_id;
    } else if (!ids_.empty() && Below(8) != 0) {
      who.member_id = Any(ids_);
    }
    if (Below(12) == 0) who.instance_id = "i" + std::to_string(Below(4));
    return who;
  }
  Ticket NewTicket() {
    const Ticket ticket(next_ticket_++);
    waiting_.insert(ticket);
    return ticket;
  }

  void Join(ClassicGroupOutput& out) {
    JoinGroup request = JoinOf("c", {});
    if (Below(3) != 0) request.member = Somebody();
    if (Below(3) == 0) request.member = {"", "i" + std::to_string(Below(4))};
    const std::vector<std::string> names = {"p", "q", "r", "q"};
    for (const std::string& name : names) {
      if (Below(4) != 0) request.protocols.push_back({name, "m" + std::to_string(Below(3))});
    }
    if (Below(20) == 0) request.protocol_type = "connect";
    request.session_timeout = seconds(1 + Below(10));
    request.rebalance_timeout = seconds(Below(12));
    request.must_know_its_id = Below(2) == 0;
    request.may_skip_assignment = Below(2) == 0;
    group_->Join(std::move(request), NewTicket(), Uuid(7, next_ticket_), time_, out);
  }
  void Sync(ClassicGroupOutput& out) {
    SyncGroup request{.member = Somebody(),
                      .generation = Generation(),
                      .protocol_type = {},
                      .protocol_name = {},
                      .assignments = {}};
    for (const auto& member : group_->Members()) {
      if (Below(4) != 0) request.assignments.push_back({member.member_id, "part"});
    }
    group_->Sync(std::move(request), NewTicket(), time_, out);
  }
  void Leave(ClassicGroupOutput& out) {
    std::vector<MemberIdentity> who;
    for (size_t i = Below(3); i > 0; --i) who.push_back(Somebody());
    CHECK(group_->Leave(who, time_, out).size() == who.size());
  }
  void Commit() {
    std::optional<GenerationId> generation = Generation();
    if (Below(4) == 0) generation.reset();
    group_->CheckCommit(Somebody(), generation, Below(2) == 0, time_);
  }
  void Forget() {
    if (waiting_.empty()) return;
    auto ticket = waiting_.begin();
    std::advance(ticket, Below(waiting_.size()));
    group_->Forget(*ticket);
    waiting_.erase(ticket);
  }
  // What is due is over when it was done, except where a timeout is zero: then a few turns later.
  void Pass(uint64_t ms, ClassicGroupOutput& out) {
    const int64_t until = time_.wall.ms() + static_cast<int64_t>(ms);
    int turns_at_once = 0;
    for (auto next = group_->deadline(); next.has_value() && *next <= At(until).now;
         next = group_->deadline()) {
      turns_at_once = *next <= time_.now ? turns_at_once + 1 : 0;
      REQUIRE(turns_at_once < 8);
      time_.now = std::max(time_.now, *next);
      time_.wall = Timestamp(time_.now.nanoseconds() / 1'000'000);
      group_->OnTime(time_, out);
      CheckGroup();
    }
    time_ = At(until);
    group_->OnTime(time_, out);
  }
  // Its coordinator is another one: it has what was written.
  void Reload() {
    ClassicGroupOutput out;
    group_->Dismiss(KafkaError::kNotCoordinator, out);
    CHECK(group_->deadline() == std::nullopt);
    for (const auto& [ticket, answer] : out.joined) Answered(ticket);
    for (const auto& [ticket, answer] : out.synced) Answered(ticket);
    CHECK(waiting_.empty());
    waiting_.clear();
    if (record_.has_value()) {
      group_.emplace("g", options_, *record_, time_);
      CHECK(group_->ToRecord() == *record_);
    } else {
      group_.emplace("g", options_, time_);
    }
    generation_ = group_->generation();
  }

  void Answered(Ticket ticket) { CHECK(waiting_.erase(ticket) == 1); }
  void Settle(ClassicGroupOutput out) {
    CheckGroup();
    if (group_->state() == ClassicGroupState::kStable) ++stable_count_;
    for (const auto& [ticket, answer] : out.joined) {
      Answered(ticket);
      if (answer.error == KafkaError::kMemberIdRequired) ids_.push_back(answer.member_id);
      if (answer.error != KafkaError::kNone) continue;
      ids_.push_back(answer.member_id);
      CHECK(answer.generation.has_value());
      CHECK(answer.protocol_name.has_value());
      // The leader alone hears of all.
      CHECK(answer.members.empty() == (answer.member_id != answer.leader));
    }
    for (const auto& [ticket, answer] : out.synced) Answered(ticket);
    if (out.write) record_ = group_->ToRecord();
  }
  void CheckGroup() {
    const auto members = group_->Members();
    const kafka::GroupMetadataValue record = group_->ToRecord();
    const ClassicGroupState state = group_->state();
    CHECK(group_->generation() >= generation_);
    generation_ = group_->generation();
    CHECK((state == ClassicGroupState::kEmpty) == members.empty());
    CHECK(group_->pending_count() <= options_.pending_members_max);
    // Whoever is there is waited for: by a session, or by the end of a phase.
    const bool idle = members.empty() && group_->pending_count() == 0;
    CHECK(group_->deadline().has_value() == !idle);
    if (idle) CHECK(group_->memory_bytes() <= empty_bytes_ + std::string("consumer").size());
    if (!idle) CHECK(group_->memory_bytes() > empty_bytes_);
    if (state != ClassicGroupState::kStable && state != ClassicGroupState::kCompletingRebalance) {
      return;
    }
    REQUIRE(group_->protocol().has_value());
    REQUIRE(record.leader.has_value());
    CHECK(std::ranges::count(members, *record.leader, &ClassicGroup::MemberView::member_id) == 1);
    std::set<std::string> instances;
    for (const auto& member : members) {
      // Told when it is agreed on, as Kafka does.
      CHECK(member.metadata.empty() == (state != ClassicGroupState::kStable));
      if (member.instance_id.has_value()) CHECK(instances.insert(*member.instance_id).second);
    }
    // Static ones that have not come again yet have their places beside those.
    CHECK(members.size() - instances.size() <= options_.members_max);
  }

  std::mt19937_64 random_;
  ClassicGroupOptions options_;
  std::optional<ClassicGroup> group_;
  GroupTime time_ = At(0);
  GenerationId generation_ = GenerationId(0);
  size_t empty_bytes_ = 0;
  std::optional<kafka::GroupMetadataValue> record_;
  std::set<Ticket> waiting_;
  std::vector<std::string> ids_;
  uint64_t next_ticket_ = 1;
  size_t stable_count_ = 0;
};

TEST_CASE("ClassicGroup: whatever it is asked in whatever order, it keeps its promises") {
  size_t stable = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    AnyOrder group(seed);
    for (int step = 0; step < 300; ++step) group.Step();
    group.End();
    stable += group.stable_count();
  }
  // The orders were not all without sense.
  CHECK(stable > 2000);
}

}  // namespace
}  // namespace millrace

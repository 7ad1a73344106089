#include "replication/stream_frames.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "replication/replication_hello.h"

namespace millrace {
namespace {

constexpr size_t kDataMax = 1 << 20;

template <typename Frame>
Slice Written(const Frame& frame) {
  StreamFrameWriter writer;
  writer.Add(frame);
  return writer.Take().Flatten();
}

absl::StatusOr<FollowerFrame> FromFollower(const Slice& bytes) {
  auto head = ParseStreamHead(bytes.span(), StreamSide::kFollower, kDataMax);
  if (!head.ok()) return head.status();
  return ParseFollowerFrame(*head, bytes.span(), bytes.From(kStreamHeadBytes).span());
}

absl::StatusOr<LeaderFrame> FromLeader(const Slice& bytes) {
  auto head = ParseStreamHead(bytes.span(), StreamSide::kLeader, kDataMax);
  if (!head.ok()) return head.status();
  return ParseLeaderFrame(*head, bytes.span(),
                          bytes.Sub(kStreamHeadBytes, head->control_bytes()).span());
}

// A frame of any type and body, with its checksum right.
Slice Raw(uint8_t type, const std::string& body) {
  std::string frame(kStreamHeadBytes, '\0');
  auto* at = reinterpret_cast<uint8_t*>(frame.data());
  StoreBig<uint32_t>(at, static_cast<uint32_t>(body.size()));
  at[4] = type;
  frame += body;
  at = reinterpret_cast<uint8_t*>(frame.data());
  StoreBig<uint32_t>(at + 8, Crc32c({at + kStreamHeadBytes, body.size()}, Crc32c({at, 8})));
  return Slice::Copy(frame);
}

const ReplicaEnds kEnds{.log_start = Offset(10), .log_end = Offset(100), .durable_end = Offset(90)};
const StreamSubscribe kSubscribe{
    StreamHandle(7), {Uuid(1, 2), PartitionId(3)}, {LeaderEpoch(5), LeaderEpoch(4), kEnds}};
const StreamState::Entry kStateOne{StreamHandle(7), Offset(80), Offset(10)};

}  // namespace

TEST_CASE("Stream frames: what a follower says comes out as it went in") {
  CHECK(std::get<StreamSubscribe>(*FromFollower(Written(kSubscribe))) == kSubscribe);
  StreamSubscribe empty = kSubscribe;
  empty.hello.last_epoch.reset();
  CHECK(std::get<StreamSubscribe>(*FromFollower(Written(empty))) == empty);
  CHECK(std::get<StreamUnsubscribe>(*FromFollower(Written(StreamUnsubscribe{StreamHandle(9)}))) ==
        StreamUnsubscribe{StreamHandle(9)});
  CHECK(std::get<StreamCredit>(*FromFollower(Written(StreamCredit{1 << 20}))).bytes == 1 << 20);
  const StreamAllow allow{StreamHandle(9), 5000};
  CHECK(std::get<StreamAllow>(*FromFollower(Written(allow))) == allow);
  CHECK(std::holds_alternative<StreamKeepAlive>(*FromFollower(Written(StreamKeepAlive()))));
  const StreamEcho echo{uint64_t{1} << 40};
  CHECK(std::get<StreamEcho>(*FromFollower(Written(echo))) == echo);
  CHECK(std::get<StreamEcho>(*FromLeader(Written(echo))) == echo);
  const std::vector<StreamProgress::Entry> progress = {
      {StreamHandle(7), kEnds}, {StreamHandle(8), {Offset(5), Offset(5), Offset(5)}}};
  CHECK(std::get<StreamProgress>(*FromFollower(Written(progress))).entries == progress);
}

TEST_CASE("Stream frames: what a leader says comes out as it went in") {
  CHECK(std::get<StreamAccepted>(*FromLeader(Written(StreamAccepted{kStateOne}))).state ==
        kStateOne);
  const StreamDiverged diverged{StreamHandle(7), {LeaderEpoch(3), Offset(55)}};
  CHECK(std::get<StreamDiverged>(*FromLeader(Written(diverged))) == diverged);
  const StreamOutside outside{StreamHandle(7), {Offset(66), Offset(77)}};
  CHECK(std::get<StreamOutside>(*FromLeader(Written(outside))) == outside);
  const StreamRefused refused{StreamHandle(7), StreamEnd::kUnknownEpoch};
  CHECK(std::get<StreamRefused>(*FromLeader(Written(refused))) == refused);
  const StreamEnded ended{StreamHandle(7), StreamEnd::kMoved};
  CHECK(std::get<StreamEnded>(*FromLeader(Written(ended))) == ended);
  const std::vector<StreamState::Entry> states = {kStateOne, kStateOne};
  CHECK(std::get<StreamState>(*FromLeader(Written(states))).entries == states);
}

TEST_CASE("Stream frames: batches leave as they lie, and small frames go before and behind them") {
  StreamFrameWriter writer;
  CHECK(writer.empty());
  writer.Add(StreamAccepted{kStateOne});
  const Slice batches = Slice::Copy("some batches");
  writer.AddData(kStateOne, Chain(batches));
  writer.Add(StreamKeepAlive());
  CHECK(writer.size() == 3 * kStreamHeadBytes + 2 * kStreamStateBytes + batches.size());
  const Chain all = writer.Take();
  CHECK(writer.empty());
  REQUIRE(all.slices().size() == 3);
  CHECK(all.slices()[1].SharesBlock(batches));
  const Slice data = all.Flatten().From(kStreamHeadBytes + kStreamStateBytes);
  CHECK(std::get<StreamDataHead>(*FromLeader(data)) == StreamDataHead{kStateOne, batches.size()});
}

TEST_CASE("Stream frames: more progress than fits one frame is cut into several") {
  const std::vector<StreamProgress::Entry> many(kStreamEntriesMax + 5, {StreamHandle(1), kEnds});
  const Slice bytes = Written(many);
  const size_t first = kStreamHeadBytes + kStreamEntriesMax * kStreamProgressBytes;
  CHECK(std::get<StreamProgress>(*FromFollower(bytes.Sub(0, first))).entries.size() ==
        kStreamEntriesMax);
  CHECK(std::get<StreamProgress>(*FromFollower(bytes.From(first))).entries.size() == 5);
}

TEST_CASE("Stream frames: any bit that flips is noticed, but for those of batches") {
  const Slice frame = Written(kSubscribe);
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Slice broken = Slice::Copy(frame.span());
    broken.Patch()[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    auto head = ParseStreamHead(broken.span(), StreamSide::kFollower, kDataMax);
    if (!head.ok() || head->body_bytes > broken.size() - kStreamHeadBytes) continue;
    CHECK_FALSE(ParseFollowerFrame(*head, broken.span(),
                                   broken.Sub(kStreamHeadBytes, head->control_bytes()).span())
                    .ok());
  }
}

TEST_CASE("Stream frames: hostile ones are refused before anything is allocated for them") {
  const auto refused = [](StreamSide side, uint32_t body, uint8_t type) {
    std::string head(kStreamHeadBytes, '\0');
    auto* at = reinterpret_cast<uint8_t*>(head.data());
    StoreBig<uint32_t>(at, body);
    at[4] = type;
    return !ParseStreamHead({at, head.size()}, side, kDataMax).ok();
  };
  CHECK(refused(StreamSide::kLeader, 0xFFFFFFFF, 36));         // Data beyond the bound,
  CHECK(refused(StreamSide::kLeader, kDataMax + 1, 36));       // and just beyond it,
  CHECK(refused(StreamSide::kLeader, kStreamStateBytes, 36));  // and of nothing.
  CHECK(refused(StreamSide::kFollower, kStreamControlBodyMax + 1, 18));
  CHECK(refused(StreamSide::kFollower, 100, 36));  // A consumer that plays leader.
  CHECK(refused(StreamSide::kLeader, 20, 18));     // A leader that plays follower.
  CHECK(refused(StreamSide::kLeader, 20, 0));
  CHECK(refused(StreamSide::kLeader, 20, 255));

  const std::string minus_one(8, '\xFF');
  const std::string zero(8, '\0');
  const std::string one = zero.substr(1) + '\1';
  const std::string handle(4, '\1');
  CHECK(FromFollower(Raw(18, handle + zero + one + zero)).ok());
  CHECK_FALSE(FromFollower(Raw(18, "")).ok());                               // Of nothing,
  CHECK_FALSE(FromFollower(Raw(18, handle + zero + one)).ok());              // cut off,
  CHECK_FALSE(FromFollower(Raw(18, handle + minus_one + one + zero)).ok());  // negative,
  CHECK_FALSE(FromFollower(Raw(18, handle + zero + minus_one + zero)).ok());
  CHECK_FALSE(FromFollower(Raw(18, handle + zero + zero + minus_one)).ok());
  CHECK_FALSE(FromFollower(Raw(18, handle + zero + zero + one)).ok());  // durable above its end,
  CHECK_FALSE(FromFollower(Raw(18, handle + one + zero + zero)).ok());  // ending before it starts.
  CHECK_FALSE(FromLeader(Raw(34, handle + one + zero)).ok());
  CHECK_FALSE(FromFollower(Raw(16, std::string(55, '\0'))).ok());
  CHECK_FALSE(FromFollower(Raw(16, std::string(56, '\xFF'))).ok());
  CHECK_FALSE(FromLeader(Raw(35, handle)).ok());
  CHECK_FALSE(FromLeader(Raw(35, handle + '\0')).ok());  // No such reason.
  CHECK_FALSE(FromLeader(Raw(38, handle + '\x63')).ok());
}

TEST_CASE("Replication hello: it and its answer come out as they went in, whatever stands behind") {
  const ReplicationHello hello{"a cluster", BrokerId(2), BrokerEpoch(77),   ShardId(1), BrokerId(3),
                               ShardId(4),  1,           0x8000000000000001};
  const Slice frame = EncodeReplicationHello(hello);
  CHECK(LoadBig<int32_t>(frame.data()) == static_cast<int32_t>(frame.size()) - 4);
  REQUIRE(IsReplicationHello(frame.From(4).span()));
  auto parsed = ParseReplicationHello(frame.From(4).span());
  REQUIRE(parsed.ok());
  CHECK(parsed->hello == hello);
  std::string later(frame.From(4).view());
  later += "something that version 2 says";
  parsed = ParseReplicationHello(Slice::Copy(later).span());
  REQUIRE(parsed.ok());
  CHECK(parsed->hello == hello);

  const ReplicationWelcome welcome{ReplicationVerdict::kNoSuchShard, "two there are", BrokerId(3),
                                   BrokerEpoch(9), 2};
  const Slice answer = EncodeReplicationWelcome(welcome, 5);
  auto back = ParseReplicationWelcome(answer.From(4).span());
  REQUIRE(back.ok());
  CHECK(*back == welcome);
}

TEST_CASE("Replication hello: no prefix of one is taken for it") {
  const Slice frame = EncodeReplicationHello(
      {"c", BrokerId(2), BrokerEpoch(7), ShardId(0), BrokerId(1), ShardId(0)});
  for (size_t size = 0; size < frame.size() - 4; ++size) {
    const auto part = frame.Sub(4, size).span();
    CHECK_FALSE((IsReplicationHello(part) && ParseReplicationHello(part).ok()));
  }
  const Slice answer = EncodeReplicationWelcome(
      {ReplicationVerdict::kWelcome, "", BrokerId(1), BrokerEpoch(1), 1}, 0);
  for (size_t size = 0; size < answer.size() - 4; ++size) {
    CHECK_FALSE(ParseReplicationWelcome(answer.Sub(4, size).span()).ok());
  }
  CHECK_FALSE(ParseReplicationHello(Slice::Copy("\x79\x19" + std::string(5000, 'x')).span()).ok());
}

}  // namespace millrace

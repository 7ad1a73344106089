#include "replication/replication_hello.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {
namespace {

constexpr std::string_view kClientId = "millrace-replica";
constexpr size_t kTextBytesMax = 1000;
static_assert(4 + 4 + 4 + kClientId.size() + 2 * (2 + kTextBytesMax) < kHelloBytesMax);

class ByteWriter {
 public:
  template <std::integral T>
  ByteWriter& Number(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    StoreBig<T>(bytes_.data() + at, value);
    return *this;
  }
  ByteWriter& Text(std::string_view text) {
    Number(static_cast<uint16_t>(text.size()));
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  // With the size in front.
  Slice Frame() const {
    ByteWriter whole;
    whole.Number(static_cast<int32_t>(bytes_.size()));
    whole.bytes_.insert(whole.bytes_.end(), bytes_.begin(), bytes_.end());
    return Slice::Copy(whole.bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
};

// Fails once and stays failed, as kafka::Reader.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : left_(bytes) {}
  template <std::integral T>
  T Number() {
    if (left_.size() < sizeof(T)) {
      failed_ = true;
      return T{};
    }
    const T value = LoadBig<T>(left_.data());
    left_ = left_.subspan(sizeof(T));
    return value;
  }
  std::string Text() {
    const size_t length = Number<uint16_t>();
    if (length > kTextBytesMax || length > left_.size()) {
      failed_ = true;
      return {};
    }
    std::string text(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(length));
    left_ = left_.subspan(length);
    return text;
  }
  // A number that is never negative where we write it.
  int32_t Id() {
    const auto id = Number<int32_t>();
    failed_ |= id < 0;
    return id;
  }
  bool failed() const { return failed_; }

 private:
  std::span<const uint8_t> left_;
  bool failed_ = false;
};

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("{} of a replication stream does not decode", what));
}

}  // namespace

bool IsReplicationHello(std::span<const uint8_t> request) {
  return request.size() >= sizeof(int16_t) &&
         LoadBig<int16_t>(request.data()) == kReplicationStreamKey;
}

Slice EncodeReplicationHello(const ReplicationHello& hello) {
  MR_CHECK(hello.cluster_id.size() <= kTextBytesMax);
  return ByteWriter()
      .Number(kReplicationStreamKey)
      .Number(kReplicationStreamVersion)
      .Number(int32_t{0})
      .Text(kClientId)
      .Text(hello.cluster_id)
      .Number(hello.broker.value())
      .Number(hello.broker_epoch.value())
      .Number(hello.shard.value())
      .Number(hello.leader.value())
      .Number(hello.leader_shard.value())
      .Number(hello.protocol)
      .Number(hello.features)
      .Frame();
}

absl::StatusOr<ParsedReplicationHello> ParseReplicationHello(std::span<const uint8_t> request) {
  if (request.size() > kHelloBytesMax) return Bad("the hello");
  ByteReader in(request);
  const auto key = in.Number<int16_t>();
  MR_CHECK(key == kReplicationStreamKey);
  const auto version = in.Number<int16_t>();
  const auto correlation_id = in.Number<int32_t>();
  in.Text();
  std::string cluster_id = in.Text();
  const BrokerId broker(in.Id());
  const BrokerEpoch broker_epoch(in.Number<int64_t>());
  const ShardId shard(in.Number<uint32_t>());
  const BrokerId leader(in.Id());
  const ShardId leader_shard(in.Number<uint32_t>());
  const auto protocol = in.Number<uint16_t>();
  const auto features = in.Number<uint64_t>();
  if (in.failed() || version != kReplicationStreamVersion || protocol == 0) return Bad("the hello");
  return ParsedReplicationHello{correlation_id,
                                {std::move(cluster_id), broker, broker_epoch, shard, leader,
                                 leader_shard, protocol, features}};
}

Slice EncodeReplicationWelcome(const ReplicationWelcome& welcome, int32_t correlation_id) {
  return ByteWriter()
      .Number(correlation_id)
      .Number(static_cast<uint8_t>(welcome.verdict))
      .Text(std::string_view(welcome.reason).substr(0, kTextBytesMax))
      .Number(welcome.broker.value())
      .Number(welcome.broker_epoch.value())
      .Number(welcome.shards)
      .Number(welcome.protocol)
      .Number(welcome.features)
      .Frame();
}

absl::StatusOr<ReplicationWelcome> ParseReplicationWelcome(std::span<const uint8_t> answer) {
  if (answer.size() > kHelloBytesMax) return Bad("the answer");
  ByteReader in(answer);
  in.Number<int32_t>();  // There is one request: its correlation id says nothing.
  const auto verdict = in.Number<uint8_t>();
  std::string reason = in.Text();
  const BrokerId broker(in.Id());
  const BrokerEpoch broker_epoch(in.Number<int64_t>());
  const auto shards = in.Number<uint32_t>();
  const auto protocol = in.Number<uint16_t>();
  const auto features = in.Number<uint64_t>();
  if (in.failed() || protocol == 0 || shards == 0 ||
      verdict > static_cast<uint8_t>(ReplicationVerdict::kStopping)) {
    return Bad("the answer");
  }
  return ReplicationWelcome{static_cast<ReplicationVerdict>(verdict),
                            std::move(reason),
                            broker,
                            broker_epoch,
                            shards,
                            protocol,
                            features};
}

}  // namespace millrace

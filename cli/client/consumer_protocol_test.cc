#include "cli/client/consumer_protocol.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

Slice Bytes(std::string_view text) { return Slice::Copy(text); }

const ConsumerAssignment kThree = {
    {"a", PartitionId(1)}, {"a", PartitionId(4)}, {"b", PartitionId(0)}};

}  // namespace

TEST_CASE("ConsumerProtocol: subscriptions and assignments come back as they were") {
  const ConsumerSubscription subscription{{"a", "b"}, kThree};
  CHECK(*DecodeSubscription(*EncodeSubscription(subscription)) == subscription);
  CHECK(*DecodeSubscription(*EncodeSubscription({})) == ConsumerSubscription{});
  CHECK(*DecodeAssignment(*EncodeAssignment(kThree)) == kThree);
  CHECK(DecodeAssignment(*EncodeAssignment({}))->empty());
}

TEST_CASE("ConsumerProtocol: the bytes are Kafka's") {
  // As kafka-clients 4.3 writes an assignment of t-0 in version 3.
  const std::string_view wire("\0\3\0\0\0\1\0\1t\0\0\0\1\0\0\0\0\xff\xff\xff\xff", 21);
  CHECK(EncodeAssignment({{"t", PartitionId(0)}})->view() == wire);
  // Version 0, as librdkafka writes a subscription, with empty user data.
  const std::string_view old("\0\0\0\0\0\1\0\1t\0\0\0\0", 13);
  CHECK(*DecodeSubscription(Bytes(old)) == ConsumerSubscription{{"t"}, {}});
}

TEST_CASE("ConsumerProtocol: a version above the known is read as the highest known one") {
  std::string bytes(EncodeAssignment(kThree)->view());
  bytes[1] = 9;
  CHECK(*DecodeAssignment(Bytes(bytes)) == kThree);
  CHECK(*DecodeAssignment(Bytes(bytes + "more")) == kThree);
}

TEST_CASE("ConsumerProtocol: what is no subscription or assignment is said to be none") {
  CHECK(DecodeAssignment(Slice())->empty());  // A member that has none yet.
  CHECK(absl::IsDataLoss(DecodeSubscription(Slice()).status()));
  CHECK(absl::IsDataLoss(DecodeAssignment(Bytes("x")).status()));
  CHECK(
      absl::IsDataLoss(DecodeAssignment(Bytes(std::string_view("\xff\xff\0\0\0\0", 6))).status()));
  const std::string whole(EncodeAssignment(kThree)->view());
  for (size_t size = 1; size < whole.size(); ++size) {
    CHECK(absl::IsDataLoss(DecodeAssignment(Bytes(whole.substr(0, size))).status()));
  }
  CHECK(absl::IsDataLoss(DecodeAssignment(Bytes(whole + "x")).status()));
}

}  // namespace millrace

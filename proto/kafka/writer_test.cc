#include "proto/kafka/writer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/reader.h"

using millrace::Chain;
using millrace::Slice;
using namespace millrace::kafka;

namespace {

using std::string_literals::operator""s;

template <typename Message>
absl::StatusOr<Chain> Encode(const Message& message, int16_t version) {
  Writer out;
  message.Encode(out, version);
  return std::move(out).Finish();
}

FetchResponse WithRecords(Chain records) {
  FetchResponse response;
  response.responses.emplace_back().partitions.emplace_back().records = std::move(records);
  return response;
}

}  // namespace

TEST_CASE("Writer: large records leave by reference, small ones are copied") {
  Slice large = Slice::Copy(std::string(Writer::kReferenceMin, 'r'));
  absl::StatusOr<Chain> chain = Encode(WithRecords(Chain(large)), 12);
  REQUIRE(chain.ok());
  REQUIRE(chain->slices().size() == 3);
  CHECK(chain->slices()[1].data() == large.data());

  chain = Encode(WithRecords(Chain(Slice::Copy(std::string(Writer::kReferenceMin - 1, 'r')))), 12);
  REQUIRE(chain.ok());
  // It does not fit the first buffer: two pieces, both ours.
  CHECK(chain->slices().size() == 2);
  CHECK(chain->Flatten().view().find("rrr") != std::string_view::npos);
}

TEST_CASE("Writer: records in several pieces are one field, large pieces of it by reference") {
  Slice first = Slice::Copy(std::string(Writer::kReferenceMin, 'a'));
  Slice last = Slice::Copy(std::string(2 * Writer::kReferenceMin, 'c'));
  Chain records(first);
  records.Append(Slice::Copy("b"));
  records.Append(last);
  for (int16_t version : {11, 12}) {  // The second is flexible.
    absl::StatusOr<Chain> chain = Encode(WithRecords(records), version);
    REQUIRE(chain.ok());
    auto refers_to = [&](const Slice& slice) {
      return std::ranges::any_of(chain->slices(),
                                 [&](const Slice& s) { return s.data() == slice.data(); });
    };
    CHECK(refers_to(first));
    CHECK(refers_to(last));
    FetchResponse decoded;
    Reader in(chain->Flatten());
    decoded.Decode(in, version);
    REQUIRE(in.Finish().ok());
    const std::optional<Chain>& received = decoded.responses.at(0).partitions.at(0).records;
    REQUIRE(received.has_value());
    CHECK(received->slices().size() == 1);
    CHECK(*received == records);
  }
}

TEST_CASE("Writer: a frame begins with the size of what follows, however many buffers that took") {
  Writer out;
  out.BeginFrame();
  for (int i = 0; i < 10'000; ++i) out.WriteString("0123456789", false);
  CHECK(out.size() == 4 + 120'000);
  absl::StatusOr<Chain> chain = std::move(out).Finish();
  REQUIRE(chain.ok());
  Reader in(chain->Flatten());
  CHECK(in.ReadInt32() == 120'000);
  std::string text;
  for (int i = 0; i < 10'000; ++i) in.ReadString(text, false);
  CHECK(text == "0123456789");
  CHECK(in.Finish().ok());
}

TEST_CASE(
    "Writer: a field that the version lacks is refused unless it is ignorable or has its default") {
  FetchRequest request;
  request.rack_id = "r1";  // Ignorable, from version 11.
  CHECK(Encode(request, 10).ok());
  request.replica_state.replica_id = 3;  // Not ignorable, from version 15.
  CHECK(Encode(request, 15).ok());
  absl::Status status = Encode(request, 14).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(status.message()) ==
        "FetchRequest.ReplicaState has a value that version 14 cannot carry");
}

TEST_CASE("Writer: null is refused where the version has none") {
  MetadataRequest request;
  request.topics = std::nullopt;
  CHECK(Encode(request, 1).ok());
  CHECK_FALSE(Encode(request, 0).ok());
}

TEST_CASE("Writer: a string above 32767 bytes is refused") {
  MetadataRequest request;
  request.topics.emplace().emplace_back().name = std::string(32767, 'a');
  CHECK(Encode(request, 9).ok());
  request.topics->front().name->push_back('a');
  CHECK_FALSE(Encode(request, 9).ok());
}

TEST_CASE("Writer: varints read back as they were written") {
  for (int64_t value :
       {INT64_C(0), INT64_C(-1), INT64_C(63), INT64_C(64), INT64_C(-65), INT64_C(300),
        INT64_C(2147483647), INT64_C(-2147483648), INT64_MAX, INT64_MIN}) {
    Writer out;
    out.WriteVarlong(value);
    out.WriteVarint(static_cast<int32_t>(value));
    out.WriteUvarint(static_cast<uint32_t>(value));
    Reader in(std::move(out).Finish()->Flatten());
    CHECK(in.ReadVarlong() == value);
    CHECK(in.ReadVarint() == static_cast<int32_t>(value));
    CHECK(in.ReadUvarint() == static_cast<uint32_t>(value));
    CHECK(in.Finish().ok());
  }
}

TEST_CASE("Writer: a tagged field that holds its default is left out") {
  FetchRequest request;
  size_t without = Encode(request, 12)->size();
  request.cluster_id = "c";
  CHECK(Encode(request, 12)->size() == without + 2 + 2);  // Tag, size, and a string of one byte.
}

#include "proto/kafka/header.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "proto/kafka/api_versions_response.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"

using millrace::Chain;
using millrace::Slice;
using namespace millrace::kafka;

namespace {

using std::string_literals::operator""s;

std::string Frame(absl::StatusOr<Chain> chain) {
  REQUIRE(chain.ok());
  return std::string(chain->Flatten().view());
}

}  // namespace

TEST_CASE("Header: flexible bodies have flexible headers") {
  const ApiInfo& metadata = *FindApi(3);
  CHECK(RequestHeaderVersion(metadata, 8) == 1);
  CHECK(RequestHeaderVersion(metadata, 9) == 2);
  CHECK(ResponseHeaderVersion(metadata, 8) == 0);
  CHECK(ResponseHeaderVersion(metadata, 9) == 1);
  const ApiInfo& handshake = *FindApi(17);  // Never flexible.
  CHECK(RequestHeaderVersion(handshake, 1) == 1);
  CHECK(ResponseHeaderVersion(handshake, 1) == 0);
}

TEST_CASE("Header: an ApiVersions response has header 0 at every version, known or not") {
  const ApiInfo& api = *FindApi(18);
  for (int version : {0, 3, 4, 99}) {
    CHECK(ResponseHeaderVersion(api, static_cast<int16_t>(version)) == 0);
    CHECK(RequestHeaderVersion(api, static_cast<int16_t>(version)) == (version >= 3 ? 2 : 1));
  }
  CHECK(Frame(EncodeResponse(ApiVersionsResponse(), 0, 7)) ==
        "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00"s);
}

TEST_CASE("Header: a request frame reads back, with the client id in its old encoding") {
  std::string frame = Frame(
      EncodeRequest(MetadataRequest(), 9, RequestHeader{.correlation_id = 5, .client_id = "me"}));
  CHECK(frame.substr(0, 17) == "\x00\x00\x00\x12\x00\x03\x00\x09\x00\x00\x00\x05\x00\x02me\x00"s);
  Reader in(Slice::Copy(frame.substr(4)));
  absl::StatusOr<RequestHeader> header = DecodeRequestHeader(in);
  REQUIRE(header.ok());
  CHECK(header->request_api_key == 3);
  CHECK(header->request_api_version == 9);
  CHECK(header->correlation_id == 5);
  CHECK(header->client_id == "me");
  MetadataRequest body;
  body.Decode(in, header->request_api_version);
  CHECK(in.Finish().ok());
}

TEST_CASE("Header: of an ApiVersions request of an unknown version the correlation id is known") {
  Reader in(Slice::Copy("\x00\x12\x00\x63\x00\x00\x00\x09\xff\xff\x00whatever"s));
  absl::StatusOr<RequestHeader> header = DecodeRequestHeader(in);
  REQUIRE(header.ok());
  CHECK(header->request_api_version == 99);
  CHECK(header->correlation_id == 9);
}

TEST_CASE("Header: a truncated header and an unknown API key are refused") {
  for (const std::string& bytes :
       {""s, "\x00\x03\x00"s, "\x00\x03\x00\x01\x00\x00"s,
        "\x00\x03\x00\x01\x00\x00\x00\x01\x00\x05me"s, "\x00\x04\x00\x00\x00\x00\x00\x01\xff\xff"s,
        "\x7f\xff\x00\x00\x00\x00\x00\x01\xff\xff"s, "\xff\xff\x00\x00\x00\x00\x00\x01\xff\xff"s}) {
    Reader in(Slice::Copy(bytes));
    CHECK_FALSE(DecodeRequestHeader(in).ok());
  }
}

TEST_CASE("Api: the table is in order, consistent, and without the keys that Kafka removed") {
  CHECK(Apis().size() == 91);
  int16_t before = -1;
  for (const ApiInfo& api : Apis()) {
    int16_t key = static_cast<int16_t>(api.key);
    CHECK(key > before);
    before = key;
    CHECK(FindApi(key) == &api);
    CHECK(api.min_advertised <= api.min_served);
    CHECK(api.min_served <= api.max_served);
    CHECK(api.listeners != 0);
  }
  for (int key : {-1, 4, 5, 6, 7, 95}) CHECK(FindApi(static_cast<int16_t>(key)) == nullptr);
  CHECK(FindApi(0)->min_advertised == 0);
  CHECK(FindApi(0)->min_served == 3);
}

TEST_CASE("KafkaError: every code is found by number and by name, and unknown ones are not") {
  std::set<std::string_view> names;
  for (const KafkaErrorInfo& info : KafkaErrors()) {
    CHECK(FindKafkaError(CodeOf(info.error))->name == info.name);
    CHECK(NameOf(info.error) == info.name);
    CHECK(names.insert(info.name).second);
  }
  CHECK(names.size() == 138);
  CHECK_FALSE(FindKafkaError(-2).has_value());
  CHECK_FALSE(FindKafkaError(137).has_value());
  CHECK(CodeOf(KafkaError::kNotLeaderOrFollower) == 6);
  CHECK(FindKafkaError(6)->retriable);
  CHECK(FindKafkaError(6)->refresh_metadata);
}

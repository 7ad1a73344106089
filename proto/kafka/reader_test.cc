// Hostile encodings, and the ordinary ones beside them.
#include "proto/kafka/reader.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/kafka/fetch_request.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/sasl_handshake_response.h"

using millrace::Slice;
using namespace millrace::kafka;

namespace {

using std::string_literals::operator""s;

absl::StatusCode CodeAfter(Reader& in) { return in.Finish().code(); }

// What a Metadata request of version 9 (flexible) or 1 comes to.
absl::StatusCode DecodeMetadata(const std::string& bytes, int16_t version,
                                size_t elements_max = kArrayElementsMax) {
  Reader in(Slice::Copy(bytes), elements_max);
  MetadataRequest request;
  request.Decode(in, version);
  return CodeAfter(in);
}

constexpr auto kMalformed = absl::StatusCode::kInvalidArgument;
constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;

}  // namespace

TEST_CASE("Reader: fixed-width integers are big-endian and signed") {
  Reader in(Slice::Copy("\xff\xfe\x80\x00\x00\x01\x12\x34"s));
  CHECK(in.ReadInt16() == -2);
  CHECK(in.ReadInt32() == INT32_MIN + 1);
  CHECK(in.ReadUint16() == 0x1234);
  CHECK(in.Finish().ok());
}

TEST_CASE("Reader: it fails once, keeps the first reason, and reads nothing more") {
  Reader in(Slice::Copy("\x01\x02\x03"s));
  CHECK(in.ReadInt32() == 0);
  CHECK(in.ReadInt8() == 0);
  in.Fail("later");
  std::string name = "before";
  in.ReadString(name, true);
  CHECK(name == "before");
  CHECK(in.ReadArrayCount(true, 1, 1) == 0);
  CHECK(std::string(in.Finish().message()) ==
        "the bytes end in the middle of a field (at byte 0 of 3)");
}

TEST_CASE("Reader: arrays may take eight times the frame in memory, all together") {
  // A count and so many bytes, twice.
  const std::string half = "\x00\x00\x40\x00"s + std::string(0x4000, 'x');
  const size_t allowed = kDecodedBytesFree + kDecodedTimes * 2 * half.size();
  for (size_t size_decoded : {allowed / 0x8000, allowed / 0x8000 + 1}) {
    Reader in(Slice::Copy(half + half));
    for (int i = 0; i < 2; ++i) {
      const size_t count = in.ReadArrayCount(false, 1, size_decoded);
      for (size_t j = 0; j < count; ++j) in.ReadInt8();
    }
    CHECK(in.ok() == (size_decoded == allowed / 0x8000));
    CHECK(absl::IsResourceExhausted(in.Finish()) == (size_decoded != allowed / 0x8000));
  }
}

TEST_CASE("Reader: bytes left over are refused") {
  Reader in(Slice::Copy("\x01\x02"s));
  in.ReadInt8();
  CHECK(CodeAfter(in) == kMalformed);
}

TEST_CASE("Reader: bytes are a view of the frame and not a copy") {
  Slice frame = Slice::Copy("\x00\x00\x00\x03xyz"s);
  Reader in(frame);
  Slice bytes;
  in.ReadBytes(bytes, false);
  CHECK(bytes.view() == "xyz");
  CHECK(bytes.data() == frame.data() + 4);
  CHECK(in.Finish().ok());
}

TEST_CASE("Reader: an array bomb is refused before anything is allocated") {
  // 2^31-1 topics in five bytes, in either encoding.
  CHECK(DecodeMetadata("\x7f\xff\xff\xff\x00"s, 1) == kMalformed);
  CHECK(DecodeMetadata("\xff\xff\xff\xff\x07\x00"s, 9) == kMalformed);
  // One more element than the bytes left can hold.
  CHECK(DecodeMetadata("\x00\x00\x00\x02\x00\x01"s, 1) == kMalformed);
  CHECK(DecodeMetadata("\x00\x00\x00\x01\x00\x01x"s, 1) == absl::StatusCode::kOk);
}

TEST_CASE("Reader: negative lengths and counts other than null are refused") {
  CHECK(DecodeMetadata("\xff\xff\xff\xfe"s, 1) == kMalformed);
  CHECK(DecodeMetadata("\xff\xff\xff\xff"s, 1) == absl::StatusCode::kOk);
  CHECK(DecodeMetadata("\x00\x00\x00\x01\xff\xfe"s, 1) == kMalformed);
  Reader in(Slice::Copy("\x80\x00\x00\x00"s));
  Slice bytes;
  in.ReadBytes(bytes, false);
  CHECK(CodeAfter(in) == kMalformed);
}

TEST_CASE("Reader: null where it is not allowed is refused") {
  CHECK(DecodeMetadata("\xff\xff\xff\xff"s, 0) == kMalformed);          // Topics of version 0.
  CHECK(DecodeMetadata("\x00\x00\x00\x01\xff\xff"s, 1) == kMalformed);  // A topic's name.
  CHECK(DecodeMetadata("\x02\x00\x00\x00\x00\x00\x00"s, 9) == kMalformed);
  Reader in(Slice::Copy("\x00"s));
  Slice bytes;
  in.ReadBytes(bytes, true);
  CHECK(CodeAfter(in) == kMalformed);
}

TEST_CASE("Reader: a string past the end is refused") {
  CHECK(DecodeMetadata("\x00\x00\x00\x01\x00\x05only"s, 1) == kMalformed);
  CHECK(DecodeMetadata("\x02\x06only"s, 9) == kMalformed);
}

TEST_CASE("Reader: a string above 32767 bytes is refused even where its length would fit") {
  for (size_t length : {32767, 32768}) {
    // uvarint(length + 1) takes three bytes.
    std::string bytes;
    for (size_t rest = length + 1, i = 0; i < 3; ++i, rest >>= 7) {
      bytes += static_cast<char>((rest & 0x7f) | (i < 2 ? 0x80 : 0));
    }
    Reader in(Slice::Copy(bytes + std::string(length, 'a')));
    std::string value;
    in.ReadString(value, true);
    CHECK(in.Finish().ok() == (length == 32767));
  }
}

TEST_CASE("Reader: varints end after 5 bytes, varlongs after 10, and inside their width") {
  Reader widest(Slice::Copy("\xff\xff\xff\xff\x0f"s));
  CHECK(widest.ReadUvarint() == 0xffffffffU);
  Reader too_long(Slice::Copy("\x80\x80\x80\x80\x80\x01"s));
  too_long.ReadUvarint();
  CHECK(CodeAfter(too_long) == kMalformed);
  Reader too_wide(Slice::Copy("\xff\xff\xff\xff\x1f"s));
  too_wide.ReadUvarint();
  CHECK(CodeAfter(too_wide) == kMalformed);

  Reader smallest(Slice::Copy("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s));
  CHECK(smallest.ReadVarlong() == INT64_MIN);
  Reader eleven(Slice::Copy("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"s));
  eleven.ReadVarlong();
  CHECK(CodeAfter(eleven) == kMalformed);

  Reader zigzag(Slice::Copy("\x01\x02\xfe\xff\xff\xff\x0f"s));
  CHECK(zigzag.ReadVarint() == -1);
  CHECK(zigzag.ReadVarint() == 1);
  CHECK(zigzag.ReadVarint() == INT32_MAX);
}

TEST_CASE("Reader: a truncated varint is refused") {
  Reader in(Slice::Copy("\x80\x80"s));
  in.ReadUvarint();
  CHECK(CodeAfter(in) == kMalformed);
}

TEST_CASE("Reader: a compact length of 2^32-1 is refused") {
  Reader in(Slice::Copy("\xff\xff\xff\xff\x0f rest"s));
  Slice bytes;
  in.ReadBytes(bytes, true);
  CHECK(CodeAfter(in) == kMalformed);
}

TEST_CASE(
    "Reader: tagged sections must be small, ordered, without doubles, and as long as they say") {
  // A tagged section alone, read by someone who knows no tag.
  auto skip = [](const std::string& bytes) {
    Reader in(Slice::Copy(bytes));
    in.SkipTaggedFields();
    return in.Finish().ok();
  };
  CHECK(skip("\x00"s));
  CHECK(skip("\x02\x00\x01x\x05\x00"s));
  CHECK_FALSE(skip("\x02\x05\x00\x00\x01x"s));  // Order.
  CHECK_FALSE(skip("\x02\x05\x00\x05\x00"s));   // Double.
  CHECK_FALSE(skip("\x01\x05\x02x"s));          // Past the end.
  CHECK_FALSE(skip("\xff\xff\xff\xff\x0f"s));   // 2^32-1 fields.
  std::string many = "\x91\x4e"s;               // 10001 fields, with bytes enough for all.
  for (int tag = 0; tag < 10001; ++tag) {
    if (tag >= 128) many += static_cast<char>((tag & 0x7f) | 0x80);
    many += static_cast<char>(tag >= 128 ? tag >> 7 : tag);
    many += '\0';
  }
  CHECK_FALSE(skip(many));
}

TEST_CASE("Reader: a huge unknown tag is passed over within the frame") {
  std::string big(100'000, 'x');
  // Metadata 9: all topics, two flags and a third; then one field, tag 2^32-1, of 100000 bytes.
  std::string bytes = "\x00\x00\x00\x00\x01\xff\xff\xff\xff\x0f\xa0\x8d\x06"s + big;
  CHECK(DecodeMetadata(bytes, 9) == absl::StatusCode::kOk);
}

TEST_CASE("Reader: a known tagged field whose size lies is refused") {
  // Fetch 12 with only the tagged ClusterId "ab", whose payload takes three bytes.
  auto fetch = [](char size) {
    std::string bytes(4 + 4 + 4 + 4 + 1 + 4 + 4, '\0');
    bytes += "\x01\x01\x01"s;  // No topics, none forgotten, rack "".
    bytes += "\x01\x00"s + size +
             "\x03"
             "ab"s;
    Reader in(Slice::Copy(bytes));
    FetchRequest request;
    request.Decode(in, 12);
    return in.Finish().ok();
  };
  CHECK(fetch(3));
  CHECK_FALSE(fetch(2));
  CHECK_FALSE(fetch(4));
}

TEST_CASE("Reader: invalid UTF-8 is refused") {
  CHECK(DecodeMetadata("\x00\x00\x00\x01\x00\x02\xc3\xa9"s, 1) == absl::StatusCode::kOk);
  CHECK(DecodeMetadata("\x00\x00\x00\x01\x00\x02\xc3\x28"s, 1) == kMalformed);
}

TEST_CASE("Reader: a million small elements exceed the allowance, whatever array they hide in") {
  // One topic with as many empty partitions (8 bytes each) as fit.
  auto produce = [](size_t partitions, size_t elements_max) {
    std::string bytes = "\xff\xff\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01t"s;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(partitions >> shift);
    for (size_t i = 0; i < partitions; ++i) bytes += "\x00\x00\x00\x00\xff\xff\xff\xff"s;
    Reader in(Slice::Copy(bytes), elements_max);
    ProduceRequest request;
    request.Decode(in, 3);
    return CodeAfter(in);
  };
  CHECK(produce(100, 101) == absl::StatusCode::kOk);
  CHECK(produce(100, 100) == kTooMuch);  // The topic is an element too.
  CHECK(produce(1'000'001, 10'000'000) == kTooMuch);
}

TEST_CASE("Reader: the allowance is the frame's, not each array's") {
  std::string bytes =
      "\x00\x00\x00\x00\x00\x02\x00\x01x\x00\x01y"s;  // Error code and two mechanisms.
  for (size_t allowance : {1, 2}) {
    Reader in(Slice::Copy(bytes), allowance);
    SaslHandshakeResponse response;
    response.Decode(in, 0);
    CHECK(in.Finish().ok() == (allowance == 2));
  }
}

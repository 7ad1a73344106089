#include "storage/record/record.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/error_kind.h"
#include "storage/record/record_stream.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

using Bytes = std::vector<uint8_t>;

void Put(Bytes& to, int64_t number) {
  uint8_t bytes[kVarlongBytesMax];
  to.insert(to.end(), bytes, WriteVarlong(bytes, number));
}

// A record of a body given byte by byte.
Bytes Record(const Bytes& body) {
  Bytes record;
  Put(record, static_cast<int64_t>(body.size()));
  record.insert(record.end(), body.begin(), body.end());
  return record;
}

// What both walks say about `records`; they must agree on whether it is valid.
absl::Status Walk(const Bytes& records, int32_t count = 1) {
  RecordReader reader(records, count);
  RecordView view;
  while (reader.Next(view)) {
    HeaderReader headers(view);
    while (headers.Next().has_value()) {
    }
  }

  Decompressor decompressor;
  RecordStream stream(decompressor);
  stream.Start(Compression::kNone, records, count, records.size());
  RecordHead head;
  bool has_key = false;
  while (stream.Next(head) && stream.SkipRest(has_key)) {
  }
  CHECK(stream.Finish().ok() == reader.status().ok());
  return reader.status();
}

bool IsInvalid(const Bytes& records, int32_t count = 1) {
  return KindOf(Walk(records, count)) == ErrorKind::kInvalidRecord;
}

// attributes, timestamp delta 0, offset delta 0, null key, null value, no headers.
const Bytes kEmptyBody = {0, 0, 0, 1, 1, 0};

}  // namespace

TEST_CASE("Varint: numbers come back, and the sizes are those of the encoding") {
  for (int64_t value : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{-64}, int64_t{64},
                        int64_t{8191}, int64_t{2147483647}, int64_t{-2147483648}, int64_t{1} << 40,
                        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    uint8_t bytes[kVarlongBytesMax];
    uint8_t* end = WriteVarlong(bytes, value);
    CHECK(static_cast<size_t>(end - bytes) == VarlongSize(value));
    int64_t back = 0;
    CHECK(ReadVarlong(bytes, end, back) == end);
    CHECK(back == value);
    CHECK(ReadVarlong(bytes, end - 1, back) == nullptr);
    if (value == static_cast<int32_t>(value)) {
      int32_t narrow = 0;
      CHECK(ReadVarint(bytes, end, narrow) == end);
      CHECK(narrow == value);
    }
  }
}

TEST_CASE("Varint: numbers that are too long or too large are refused") {
  Bytes five = {0xff, 0xff, 0xff, 0xff, 0x0f};
  Bytes six = {0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
  Bytes over = {0xff, 0xff, 0xff, 0xff, 0x1f};
  int32_t value = 0;
  CHECK(ReadVarint(five.data(), five.data() + 5, value) != nullptr);
  CHECK(ReadVarint(six.data(), six.data() + 6, value) == nullptr);
  CHECK(ReadVarint(over.data(), over.data() + 5, value) == nullptr);
  Bytes ten(9, 0xff);
  ten.push_back(1);
  int64_t wide = 0;
  CHECK(ReadVarlong(ten.data(), ten.data() + 10, wide) != nullptr);
  ten[9] = 2;
  CHECK(ReadVarlong(ten.data(), ten.data() + 10, wide) == nullptr);
  ten[9] = 0x81;
  ten.push_back(0);
  CHECK(ReadVarlong(ten.data(), ten.data() + 11, wide) == nullptr);
}

TEST_CASE("Record: fields, nulls and headers are read in place") {
  Bytes records = Record({0, 2, 4, 4, 'k', '1', 2, 'v', 4, 2, 'h', 1, 0, 0});
  RecordReader reader(records, 1);
  RecordView record;
  REQUIRE(reader.Next(record));
  CHECK(record.timestamp_delta == 1);
  CHECK(record.offset_delta == 2);
  CHECK(std::string(record.key->begin(), record.key->end()) == "k1");
  CHECK(record.key->data() == records.data() + 5);
  CHECK(std::string(record.value->begin(), record.value->end()) == "v");
  HeaderReader headers(record);
  auto first = headers.Next();
  REQUIRE(first.has_value());
  CHECK(first->key.size() == 1);
  CHECK_FALSE(first->value.has_value());
  auto second = headers.Next();
  REQUIRE(second.has_value());
  CHECK(second->key.empty());
  CHECK(second->value->empty());
  CHECK_FALSE(headers.Next().has_value());
  CHECK_FALSE(reader.Next(record));
  CHECK(reader.status().ok());
}

TEST_CASE("Record: the count of the batch must be met exactly") {
  Bytes one = Record(kEmptyBody);
  Bytes two = one;
  two.insert(two.end(), one.begin(), one.end());
  CHECK(Walk(two, 2).ok());
  CHECK(IsInvalid(two, 1));
  CHECK(IsInvalid(two, 3));
  CHECK(IsInvalid(two, 2147483647));
  CHECK(Walk({}, 0).ok());
}

TEST_CASE("Record: negative and lying lengths are refused") {
  CHECK(Walk(Record(kEmptyBody)).ok());
  CHECK(IsInvalid(Record({})));                            // Empty.
  CHECK(IsInvalid({1}));                                   // Size -1.
  CHECK(IsInvalid({0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0}));  // Size 2^31 - 1.
  CHECK(IsInvalid(Record({0, 0, 0, 3, 1, 0})));            // Key size -2.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 3, 0})));            // Value size -2.
  CHECK(IsInvalid(Record({0, 0, 0, 10, 1, 0})));           // Key beyond the record.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 10, 0})));           // Value beyond the record.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1, 1})));            // Headers -1.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1, 2, 1, 0})));      // Null header key.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1, 2, 0, 3})));      // Header value -2.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1, 0, 0})));         // Bytes left over.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1})));               // No header count.
  CHECK(IsInvalid(Record({0, 0x80, 0x80})));               // Timestamp cut off.
}

TEST_CASE("Record: a header-count bomb is refused at once") {
  // 2^31 - 1 headers in a record of a few bytes.
  CHECK(IsInvalid(Record({0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0})));
}

TEST_CASE("RecordStream: records cut anywhere into chunks read as those in one piece") {
  // Records of 40 KiB and some bytes, so that the snappy blocks of 32 KiB and the chunks of the
  // other codecs end at ever different places: in heads, lengths, keys and headers.
  Bytes records;
  int32_t count = 0;
  for (int i = 0; i < 64; ++i) {
    Bytes body = {0};
    Put(body, 1000000 * i);
    Put(body, i);
    for (int field = 0; field < 2; ++field) {
      size_t size = i % 3 == 0 ? static_cast<size_t>(20'000 + i) : static_cast<size_t>(i * 7);
      Put(body, static_cast<int64_t>(size));
      body.insert(body.end(), size, static_cast<uint8_t>(i));
    }
    Put(body, i % 5);
    for (int header = 0; header < i % 5; ++header) {
      Put(body, 3);
      body.insert(body.end(), {'a', 'b', 'c'});
      Put(body, header % 2 == 0 ? -1 : 0);
    }
    Bytes record = Record(body);
    records.insert(records.end(), record.begin(), record.end());
    ++count;
  }
  REQUIRE(Walk(records, count).ok());
  for (Compression codec :
       {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    Compressor compressor(codec, {});
    REQUIRE(compressor.Write(records).ok());
    REQUIRE(compressor.Finish().ok());
    Decompressor decompressor;
    RecordStream stream(decompressor);
    stream.Start(codec, compressor.output(), count, records.size());
    RecordReader expected(records, count);
    RecordHead head;
    RecordView record;
    bool has_key = false;
    for (int32_t i = 0; i < count; ++i) {
      REQUIRE(stream.Next(head));
      REQUIRE(stream.SkipRest(has_key));
      REQUIRE(expected.Next(record));
      REQUIRE(head.offset_delta == record.offset_delta);
      REQUIRE(head.timestamp_delta == record.timestamp_delta);
      REQUIRE(has_key == record.key.has_value());
    }
    CHECK_FALSE(stream.Next(head));
    CHECK(stream.Finish().ok());
  }
}

TEST_CASE("RecordRestScanner: every cut of a record's rest gives the answer of the whole") {
  std::vector<Bytes> rests = {
      {4, 'k', '1', 2, 'v', 4, 2, 'h', 1, 0, 0},
      {1, 1, 0},
      {1, 0, 0},
      {1, 1, 2, 0, 0},
      {3, 1, 0},
      {1, 1, 1},
      {1, 1, 2, 1, 0},
      {1, 1, 0, 0},
      {10, 1, 0},
      {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
      {0x84, 0x00, 'k', '1', 1, 0},
  };
  for (const Bytes& rest : rests) {
    RecordView view;
    bool valid = ParseRecordRest(rest, view) == nullptr;
    for (size_t first = 0; first <= rest.size(); ++first) {
      for (size_t second = first; second <= rest.size(); ++second) {
        RecordRestScanner scanner;
        std::span<const uint8_t> bytes(rest);
        bool scanned = scanner.Feed(bytes.first(first)) == nullptr &&
                       scanner.Feed(bytes.subspan(first, second - first)) == nullptr &&
                       scanner.Feed(bytes.subspan(second)) == nullptr &&
                       scanner.Finish() == nullptr;
        REQUIRE(scanned == valid);
        if (valid) REQUIRE(scanner.has_key() == view.key.has_value());
      }
    }
  }
}

}  // namespace millrace

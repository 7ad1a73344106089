#include "common/uuid.h"

#include <catch2/catch.hpp>

using millrace::Uuid;

TEST_CASE("Uuid: the text form is Kafka's") {
  // Vectors written by org.apache.kafka.common.Uuid.
  CHECK(Uuid(0, 0).ToString() == "AAAAAAAAAAAAAAAAAAAAAA");
  CHECK(Uuid(0, 1).ToString() == "AAAAAAAAAAAAAAAAAAAAAQ");
  CHECK(Uuid(~uint64_t{0}, ~uint64_t{0}).ToString() == "_____________________w");
}

TEST_CASE("Uuid: parsing returns what printing wrote and refuses everything else") {
  Uuid id(0x0123456789abcdefULL, 0xfedcba9876543210ULL);
  CHECK(Uuid::Parse(id.ToString()) == id);
  CHECK_FALSE(Uuid::Parse("").has_value());
  CHECK_FALSE(Uuid::Parse("AAAAAAAAAAAAAAAAAAAAA").has_value());
  CHECK_FALSE(Uuid::Parse("AAAAAAAAAAAAAAAAAAAA+A").has_value());
  CHECK_FALSE(Uuid::Parse("AAAAAAAAAAAAAAAAAAAAAB").has_value());  // Bits beyond the 128th.
}

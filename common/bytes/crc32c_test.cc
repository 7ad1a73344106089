#include "common/bytes/crc32c.h"

#include <catch2/catch.hpp>
#include <string_view>
#include <vector>

TEST_CASE("Crc32c: known vectors, and the same in pieces") {
  std::string_view digits = "123456789";
  std::span bytes(reinterpret_cast<const uint8_t*>(digits.data()), digits.size());
  CHECK(millrace::Crc32c(bytes) == 0xE3069283u);  // RFC 3720 B.4's generator polynomial.
  CHECK(millrace::Crc32c(bytes.subspan(4), millrace::Crc32c(bytes.subspan(0, 4))) == 0xE3069283u);
  std::vector<uint8_t> zeros(32, 0);
  CHECK(millrace::Crc32c(zeros) == 0x8A9136AAu);  // RFC 3720 B.4: 32 bytes of zeros.
}

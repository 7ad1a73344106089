#include "common/plain_format.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <limits>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {
namespace {

using Wide = StrongId<struct WideTag, uint64_t>;

}  // namespace

TEST_CASE("PlainFormatter: our numbers print as the numbers that they are") {
  CHECK(fmt::format("[{}, {})", Offset(0), Offset(-1)) == "[0, -1)");
  CHECK(fmt::format("{}", Offset(std::numeric_limits<int64_t>::min())) == "-9223372036854775808");
  CHECK(fmt::format("{}", Wide(std::numeric_limits<uint64_t>::max())) == "18446744073709551615");
  CHECK(fmt::format("{} {}", BrokerId(7), LeaderEpoch(-1)) == "7 -1");
  CHECK(fmt::format("{}", Timestamp(1'700'000'000'123)) == "1700000000123");
  CHECK(fmt::format("{}", Uuid(1, 2)) == Uuid(1, 2).ToString());
}

}  // namespace millrace

// What may wait, and what may not.
#include "controller/grpc/window_updates.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace millrace {
namespace {

std::string Frame(uint8_t type, std::string_view payload) {
  const size_t length = payload.size();
  std::string frame{static_cast<char>(length >> 16), static_cast<char>(length >> 8),
                    static_cast<char>(length), static_cast<char>(type)};
  frame += std::string("\0\0\0\0\1", 5);
  return frame.append(payload);
}

std::string Update(uint32_t increment) {
  std::string payload;
  for (int shift = 24; shift >= 0; shift -= 8) {
    payload.push_back(static_cast<char>(increment >> shift));
  }
  return Frame(8, payload);
}

bool Keep(WindowUpdates& updates, std::string_view bytes) {
  return updates.Keep({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

const std::string kSettings = Frame(4, "");
const std::string kData = Frame(0, "a message");

}  // namespace

TEST_CASE("WindowUpdates: small ones wait, and are taken in their order by what goes") {
  WindowUpdates updates;
  CHECK_FALSE(Keep(updates, kSettings));
  CHECK(updates.Take().empty());
  CHECK(Keep(updates, Update(60) + Update(61)));
  CHECK(Keep(updates, Update(62)));
  CHECK_FALSE(Keep(updates, kData));
  CHECK(updates.Take() == Update(60) + Update(61) + Update(62));
  CHECK(updates.Take().empty());
  for (const std::string& with : {Update(60) + kData, kData + Update(60)}) {
    CHECK_FALSE(Keep(updates, with));
  }
}

TEST_CASE("WindowUpdates: what looks like one within a message goes, and so does a piece of one") {
  WindowUpdates updates;
  const std::string data = Frame(0, "abc" + Update(60) + "def");
  CHECK_FALSE(Keep(updates, data.substr(0, 12)));
  CHECK_FALSE(Keep(updates, data.substr(12, Update(60).size())));
  CHECK_FALSE(Keep(updates, data.substr(12 + Update(60).size())));
  const std::string whole = Update(60);
  for (size_t cut = 1; cut < whole.size(); ++cut) {
    CAPTURE(cut);
    CHECK_FALSE(Keep(updates, whole.substr(0, cut)));
    CHECK_FALSE(Keep(updates, whole.substr(cut)));
    CHECK(Keep(updates, whole));
    CHECK(updates.Take() == whole);
  }
  CHECK_FALSE(Keep(updates, Frame(8, "no update")));
  CHECK(Keep(updates, whole));
}

TEST_CASE("WindowUpdates: a client's preface is no frame") {
  WindowUpdates updates;
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  CHECK_FALSE(Keep(updates, preface.substr(0, 10)));
  CHECK_FALSE(Keep(updates, preface.substr(10) + kSettings));
  CHECK(Keep(updates, Update(60)));
}

TEST_CASE("WindowUpdates: what the peer may need does not wait") {
  WindowUpdates updates;
  CHECK_FALSE(Keep(updates, kSettings));
  // Of one message, or of many.
  for (const uint32_t increment : {uint32_t{WindowUpdates::kKeptWindowMax} + 1, uint32_t{60}}) {
    uint64_t kept_window = 0;
    size_t kept_bytes = 0;
    while (Keep(updates, Update(increment))) {
      kept_window += increment;
      kept_bytes += Update(increment).size();
      REQUIRE(kept_window <= WindowUpdates::kKeptWindowMax);
      REQUIRE(kept_bytes <= WindowUpdates::kKeptBytesMax);
    }
    CHECK(updates.Take().size() == kept_bytes);
    CHECK(Keep(updates, Update(60)));
    CHECK(updates.Take() == Update(60));
  }
}

}  // namespace millrace

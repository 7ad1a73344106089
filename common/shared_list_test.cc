#include "common/shared_list.h"

#include <catch2/catch.hpp>
#include <vector>

#include "common/ids.h"

using namespace millrace;

namespace {

using Ids = SharedList<BrokerId>;

}  // namespace

TEST_CASE("SharedList: an empty list takes nothing but its own eight bytes") {
  CHECK(sizeof(Ids) == 8);
  const Ids none;
  CHECK(none.empty());
  CHECK(none.begin() == none.end());
  CHECK(none.block() == nullptr);
  CHECK(Ids(std::vector<BrokerId>()).block() == nullptr);
  CHECK(Ids({}) == none);
}

TEST_CASE("SharedList: copies share one block, and the last one frees it") {
  std::vector<BrokerId> source = {BrokerId(3), BrokerId(1), BrokerId(2)};
  Ids first(source);
  source.clear();
  Ids second = first;
  CHECK(second.block() == first.block());
  first.clear();
  CHECK(first.empty());
  REQUIRE(second.size() == 3);
  CHECK(second.front() == BrokerId(3));
  CHECK(second[1] == BrokerId(1));
  CHECK(second.back() == BrokerId(2));
  const Ids third = std::move(second);
  CHECK(second.empty());  // NOLINT(bugprone-use-after-move): that it is empty is promised.
  CHECK(std::vector<BrokerId>(third.begin(), third.end()).size() == 3);
}

TEST_CASE("SharedList: lists are equal by what is in them, shared or not") {
  const Ids a = {BrokerId(1), BrokerId(2)};
  const Ids b = {BrokerId(1), BrokerId(2)};
  CHECK(a.block() != b.block());
  CHECK(a == b);
  CHECK(a != Ids{BrokerId(2), BrokerId(1)});
  CHECK(a != Ids{BrokerId(1)});
  CHECK(a != Ids());
}

TEST_CASE("SharedList: what is assigned replaces the list, for this copy alone") {
  Ids list = {BrokerId(1), BrokerId(2)};
  const Ids before = list;
  list = std::vector<BrokerId>{BrokerId(7)};
  CHECK(list == Ids{BrokerId(7)});
  CHECK(before == Ids{BrokerId(1), BrokerId(2)});
  list = std::span<const BrokerId>(list);  // Of its own elements.
  CHECK(list == Ids{BrokerId(7)});
  const Ids& same = list;
  list = same;
  CHECK(list == Ids{BrokerId(7)});
  list = {};
  CHECK(list.empty());
}

TEST_CASE("SharedList: elements that need eight bytes of alignment have it") {
  const SharedList<Uuid> ids = {Uuid(1, 2), Uuid(3, 4)};
  CHECK(reinterpret_cast<uintptr_t>(ids.data()) % alignof(Uuid) == 0);
  CHECK(ids[1] == Uuid(3, 4));
  CHECK(SharedList<Uuid>::BlockBytes(2) == 8 + 2 * sizeof(Uuid));
}

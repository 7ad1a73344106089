#include "common/bytes/slice.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

using millrace::ByteAccount;
using millrace::Chain;
using millrace::MutableBuffer;
using millrace::Slice;

namespace {
struct CountingAccount : ByteAccount {
  void Release(size_t bytes) noexcept override { released += bytes; }
  size_t released = 0;
};
}  // namespace

TEST_CASE("Slice: the account is credited when the last reference drops, and not before") {
  CountingAccount account;
  Slice kept;
  {
    MutableBuffer buffer(100, 64, &account);
    Slice all = std::move(buffer).Freeze(100);
    kept = all.Sub(10, 5);
  }
  CHECK(account.released == 0);
  CHECK(kept.backing_size() == 100);
  kept = Slice();
  CHECK(account.released == 100);
}

TEST_CASE("Chain: flattening one piece copies nothing, several are joined in order") {
  Chain chain(Slice::Copy("ab"));
  CHECK(chain.Flatten().data() == chain.slices()[0].data());
  chain.Append(Slice::Copy("cd"));
  chain.Append(Slice());
  CHECK(chain.slices().size() == 2);
  CHECK(chain.Flatten().view() == "abcd");
}

TEST_CASE("Chain: two are equal when their bytes are, however they are cut") {
  Chain a(Slice::Copy("ab"));
  a.Append(Slice::Copy("cde"));
  Chain b(Slice::Copy("abc"));
  b.Append(Slice::Copy("d"));
  CHECK_FALSE(a == b);
  b.Append(Slice::Copy("e"));
  CHECK(a == b);
  CHECK(a == Chain(Slice::Copy("abcde")));
  CHECK_FALSE(a == Chain(Slice::Copy("abcdf")));
  CHECK(Chain() == Chain());
}

TEST_CASE("Chain: what was moved away is empty and may be filled again") {
  Chain a(Slice::Copy("ab"));
  Chain b = std::move(a);
  CHECK(a.empty());  // NOLINT(bugprone-use-after-move): that is what is tested.
  CHECK(a.slices().empty());
  a.Append(Slice::Copy("cd"));
  CHECK(a.Flatten().view() == "cd");
  CHECK(b.Flatten().view() == "ab");
}

TEST_CASE("Chain: pinning copies the pieces that use little of their block, and only those") {
  const Slice wide = Slice::Copy(std::string(1000, 'w'));
  const Slice full = Slice::Copy(std::string(100, 'f'));
  Chain chain(wide.Sub(0, 10));
  chain.Append(Slice::Copy(std::string(1000, 'x')).Sub(0, 10));
  chain.Append(full);
  // Two pieces of one block count together: each alone would be copied.
  chain.Append(wide.Sub(20, 300));
  chain.Append(wide.Sub(500, 300));
  const Chain pinning = chain.Pinning(2);
  CHECK(pinning == chain);
  REQUIRE(pinning.slices().size() == 4);
  CHECK(pinning.slices()[0].size() == 20);
  CHECK(pinning.slices()[0].backing_size() == 20);
  CHECK(pinning.slices()[1].data() == full.data());
  CHECK(pinning.slices()[2].data() == wide.data() + 20);
  CHECK(pinning.slices()[3].data() == wide.data() + 500);
  CHECK(chain.Pinning(1).slices().size() == 3);
}

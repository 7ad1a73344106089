#include "common/bytes/slice.h"

#include <catch2/catch.hpp>

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

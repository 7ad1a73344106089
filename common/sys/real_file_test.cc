#include "common/sys/real_file.h"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

#include "common/sys/real_contract_world.h"

namespace millrace {
namespace {

constexpr size_t kPages = 64;

struct Seen {
  bool written = false;
  bool dropped = true;
  bool read_again = false;
};

Task<void> LookAround(RealContractWorld* world, Seen* seen) {
  auto file = co_await world->env().disk.Open(world->folder() + "/a", OpenOptions{.create = true});
  if (!file.ok()) co_return;
  const std::string text(kPages * kPageSize, 'x');
  (void)co_await (*file)->WriteAt(0, Chain(Slice::Copy(text)), {});
  seen->written = (*file)->IsCached(100, 40 * kPageSize);
  (void)co_await (*file)->Sync();  // What is dirty stays.
  (void)co_await (*file)->ReadAt(0, text.size(), ReadHint::kSequentialOnce);
  seen->dropped = !(*file)->IsCached(100, 40 * kPageSize);
  (void)co_await (*file)->ReadAt(10 * kPageSize, 100, ReadHint::kNormal);
  seen->read_again = (*file)->IsCached(10 * kPageSize + 50, 50);
  (void)co_await (*file)->Close();
}

TEST_CASE("RealFile: the page cache has what was written or read, until it is told to drop it") {
  for (IoBackend io : {IoBackend::kUring, IoBackend::kEpoll}) {
    RealContractWorld world(io);
    Seen seen;
    world.RunUntilDone(LookAround(&world, &seen));
    CHECK(seen.written);
    CHECK(seen.read_again);
    struct statfs info{};
    REQUIRE(::statfs(world.folder().c_str(), &info) == 0);
    if (info.f_type != TMPFS_MAGIC) CHECK(seen.dropped);  // That one has nothing but memory.
  }
}

}  // namespace
}  // namespace millrace

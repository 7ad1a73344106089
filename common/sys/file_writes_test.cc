#include "common/sys/file_writes.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/task.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/real_contract_world.h"

namespace millrace {
namespace {

constexpr size_t kPieces = 200;  // More than one call takes.
constexpr size_t kAt = 13;

struct Seen {
  std::vector<int> results;
  std::string content;
};

Task<void> WriteEachWay(RealContractWorld* world, WritesBy by, Seen* seen) {
  const std::unique_ptr<FileWrites> writes =
      FileWrites::Make(by, world->port(), world->env().helpers);
  const std::string path = world->folder() + "/a";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  Chain data;
  for (size_t i = 0; i < kPieces; ++i) data.Append(Slice::Copy(std::to_string(i) + ","));
  for (const bool soon : {false, true}) {
    seen->results.push_back(co_await writes->Write(file.get(), kAt, data, 0, soon));
  }
  FileDescriptor unwritable(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  seen->results.push_back(co_await writes->Write(unwritable.get(), kAt, data, 0, true));
  seen->content.resize(kAt + data.size() + 1);
  const ssize_t got = ::pread(file.get(), seen->content.data(), seen->content.size(), 0);
  seen->content.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
}

TEST_CASE(
    "FileWrites: whoever makes the call, a long chain is written whole, and a refusal is told") {
  std::string wanted(kAt, '\0');
  for (size_t i = 0; i < kPieces; ++i) wanted += std::to_string(i) + ",";
  for (IoBackend io : {IoBackend::kUring, IoBackend::kEpoll}) {
    for (WritesBy by : {WritesBy::kHelper, WritesBy::kShard, WritesBy::kPort}) {
      RealContractWorld world(io);
      Seen seen;
      world.RunUntilDone(WriteEachWay(&world, by, &seen));
      CHECK(seen.results == std::vector<int>{0, 0, EBADF});
      CHECK(seen.content == wanted);
    }
  }
}

}  // namespace
}  // namespace millrace

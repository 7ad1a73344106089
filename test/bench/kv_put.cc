// millrace_kv_put [--logs-ahead] DIRECTORY [COUNT [BYTES]]: how long one synced write of a value takes
// in the key-value store (RocksDB) that every voter of the quorum keeps its log in, one write at a time.
//
// What test/bench/controllers compares a commit with. The store is opened with the node's own
// options and called as the node calls it: on a helper thread, awaited on the shard. But its log files
// are RocksDB's own, so that the measure stays one; --logs-ahead has them as the node's are
// (storage/kv/kv_store_rocksdb_files.h). DIRECTORY's parent exists; the store is left there. Prints its
// figures as a line of JSON.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/log/spdlog_logger.h"
#include "common/sys/real_world.h"
#include "storage/kv/kv_store_rocksdb.h"

namespace millrace::bench {
namespace {

constexpr int kWarmUp = 20;

struct PutOptions {
  std::string directory;
  int count = 500;
  int bytes = 200;
  bool logs_ahead = false;
};

[[noreturn]] void Fail(std::string_view why) {
  std::fprintf(stderr, "millrace_kv_put: %.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
}

void CheckOk(const absl::Status& status) {
  if (!status.ok()) Fail(std::string(status.message()));
}

int Count(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    Fail("COUNT and BYTES are numbers above 0");
  }
  return value;
}

PutOptions Parse(int count, char** words) {
  PutOptions options;
  if (count > 1 && std::string_view(words[1]) == "--logs-ahead") {
    options.logs_ahead = true;
    --count;
    ++words;
  }
  if (count < 2 || count > 4) Fail("expected [--logs-ahead] DIRECTORY [COUNT [BYTES]]");
  options.directory = words[1];
  if (count > 2) options.count = Count(words[2]);
  if (count > 3) options.bytes = Count(words[3]);
  return options;
}

// Keys as those of the Raft log: big-endian numbers, in order.
std::string Key(int number) {
  std::string key(8, '\0');
  for (size_t i = key.size(); i-- > 0; number >>= 8) key[i] = static_cast<char>(number & 0xff);
  return key;
}

Task<void> PutAll(Env* env, const PutOptions* options, std::vector<double>* taken_us) {
  absl::StatusOr<std::unique_ptr<KvStore>> store =
      co_await OpenRocksDb(*env, options->directory, {.logs_grow_ahead = options->logs_ahead});
  CheckOk(store.status());
  const std::string value(static_cast<size_t>(options->bytes), 'v');
  for (int number = 0; number < kWarmUp + options->count; ++number) {
    KvBatch batch;
    batch.Put(KvSpace::kTest, Key(number), value);
    const Instant begin = env->reactor.Now();
    CheckOk(co_await (*store)->Write(std::move(batch), {.sync = true}));
    const Duration taken = env->reactor.Now() - begin;
    if (number >= kWarmUp) taken_us->push_back(static_cast<double>(taken.count()) / 1000);
  }
  CheckOk(co_await (*store)->Close());
}

int Main(int count, char** words) {
  const PutOptions options = Parse(count, words);
  SpdlogLogger logger(LogLevel::kWarning);
  absl::StatusOr<std::unique_ptr<RealWorld>> world = RealWorld::Create({}, logger);
  CheckOk(world.status());
  std::vector<double> taken_us;
  (*world)->Run(PutAll(&(*world)->env(ShardId(0)), &options, &taken_us));
  std::ranges::sort(taken_us);
  const auto quantile = [&taken_us](double share) {
    return taken_us[std::min(taken_us.size() - 1,
                             static_cast<size_t>(share * static_cast<double>(taken_us.size())))];
  };
  std::printf("{\"puts\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", taken_us.size(),
              quantile(0.5), quantile(0.99));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }

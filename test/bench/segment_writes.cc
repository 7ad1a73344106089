// millrace_segment_writes DIRECTORY WAY large|small [SHARE]: what it costs to bring gathered pieces into growing segment
// files behind the journal, in one of several ways. test/bench/segment_writes runs it, in turns, and makes the table.
//
//   none             no pieces: what the journal beside them takes alone
//   helper           buffered, pwritev2() on a helper thread
//   shard            buffered, pwritev2() on the shard itself
//   ring             buffered, IORING_OP_WRITEV (a worker of the kernel's copies)
//   direct           O_DIRECT from an aligned copy, through the ring; what is less than a page waits (segment_output.h)
//   direct+reserved  the same, blocks reserved 64 MiB ahead
// A buffered way with `+soon` has the kernel begin to write each piece out (sync_file_range).
//
// large: pieces of 1 MiB, of slices of 64 KB that begin anywhere, into 6 files in turn, as of 6 partitions under a
// saturated load. First 1 GiB at 200 MB/s, then 768 MiB as fast as it goes, then a reader that is behind reads 1.5 GB of
// it, 1,000 KiB at a time: from the page cache what is there, past it what is not, as storage/log_reader.cc does.
// small: pieces of 16 KiB into 60 files in turn, 1,000 a second for 5 s, as of 60 partitions of small batches.
//
// Four pieces are written at a time. Each large file is synced after a sixth of 128 MiB, as checkpoints do when the
// journal is half full; each small one after ten pieces (a piece a second, a checkpoint every ten). All the while a
// journal writes 4 KiB durably, 500 times a second, on the same shard; what that uses is in every figure.
//
// Prints a line of JSON. GB are 10^9 bytes. CPU is user and system: of the process with all its threads and workers of
// the ring; and of the machine, where write-back by kernel threads is in it, and whatever else runs there. SHARE (1) is
// how much of all that is done. DIRECTORY is made, on the file system to measure, and removed.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes/block.h"
#include "common/log/spdlog_logger.h"
#include "common/runtime/event.h"
#include "common/runtime/semaphore.h"
#include "common/runtime/task_scope.h"
#include "common/sys/real_world.h"
#include "test/bench/process_use.h"
#include "test/bench/segment_output.h"
#include "test/bench/steady_journal.h"

namespace millrace::bench {
namespace {

constexpr double kGb = 1e9;
constexpr size_t kWritesMax = 4;  // As storage/segment_writer.cc.
constexpr Duration kJournalPeriod = milliseconds(2);
constexpr uint64_t kReserveBytes = uint64_t{64} << 20;
constexpr size_t kReadBytes = 1000 << 10;
constexpr size_t kSourceBytes = size_t{48}
                                << 20;  // What may be pending; more than a processor's caches.

[[noreturn]] void Fail(std::string_view why) {
  std::fprintf(stderr, "millrace_segment_writes: %.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
}

void CheckOk(const absl::Status& status) {
  if (!status.ok()) Fail(std::string(status.message()));
}

struct Way {
  std::string_view name;
  WritesBy by = kBufferedWritesBy;
  bool soon = false;
  bool direct = false;
  uint64_t reserve_bytes = 0;
  bool writes = true;
};

constexpr std::array kWays = {
    Way{.name = "none", .writes = false},
    Way{.name = "helper", .by = WritesBy::kHelper},
    Way{.name = "helper+soon", .by = WritesBy::kHelper, .soon = true},
    Way{.name = "shard", .by = WritesBy::kShard},
    Way{.name = "shard+soon", .by = WritesBy::kShard, .soon = true},
    Way{.name = "ring", .by = WritesBy::kPort},
    Way{.name = "ring+soon", .by = WritesBy::kPort, .soon = true},
    Way{.name = "direct", .direct = true},
    Way{.name = "direct+reserved", .direct = true, .reserve_bytes = kReserveBytes},
};

struct Shape {
  std::string_view name;
  size_t files;
  size_t slice_bytes;
  size_t slices;  // A piece.
  double pieces_per_s;
  uint64_t paced_bytes;
  uint64_t unpaced_bytes;
  uint64_t read_bytes;
  uint64_t sync_bytes;  // Of one file.

  size_t piece_bytes() const { return slice_bytes * slices; }
};

// 64 records of 1 KB and their batch's header; nothing here is a multiple of a page, or of eight bytes.
constexpr size_t kLargeSlice = 65'613;
constexpr size_t kSmallPiece = 16'411;
constexpr std::array kShapes = {
    Shape{.name = "large",
          .files = 6,
          .slice_bytes = kLargeSlice,
          .slices = 16,
          .pieces_per_s = 200e6 / (16 * kLargeSlice),
          .paced_bytes = uint64_t{1} << 30,
          .unpaced_bytes = uint64_t{768} << 20,
          .read_bytes = 1'500'000'000,
          .sync_bytes = (uint64_t{128} << 20) / 6},
    Shape{.name = "small",
          .files = 60,
          .slice_bytes = kSmallPiece,
          .slices = 1,
          .pieces_per_s = 1000,
          .paced_bytes = 5000 * kSmallPiece,
          .unpaced_bytes = 0,
          .read_bytes = 0,
          .sync_bytes = 10 * kSmallPiece},
};

struct Options {
  std::string directory;
  Way way;
  Shape shape;
  double share = 1;
};

template <typename Table>
typename Table::value_type Named(const Table& table, std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return entry;
  }
  Fail("nothing is called " + std::string(name));
}

Options Parse(int count, char** words) {
  if (count < 4 || count > 5) Fail("expected DIRECTORY WAY large|small [SHARE]");
  Options options{
      .directory = words[1], .way = Named(kWays, words[2]), .shape = Named(kShapes, words[3])};
  if (count > 4) {
    const std::string_view text = words[4];
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), options.share);
    if (error != std::errc() || end != text.data() + text.size() || !(options.share > 0)) {
      Fail("SHARE is a number above 0");
    }
  }
  return options;
}

double MachineCpuSeconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  std::array<double, 7> spent{};  // user nice system idle iowait irq softirq
  stat >> word;
  for (double& one : spent) stat >> one;
  return (spent[0] + spent[1] + spent[2] + spent[5] + spent[6]) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

// What one phase took.
struct Phase {
  uint64_t bytes = 0;
  double seconds = 0;
  double cpu_s = 0;
  double machine_cpu_s = 0;
  std::vector<double> journal_us = {};

  double Journal(double share) const {
    if (journal_us.empty()) return 0;
    const auto place = static_cast<size_t>(share * static_cast<double>(journal_us.size()));
    return journal_us[std::min(journal_us.size() - 1, place)];
  }
  std::string Json(std::string_view name) const {
    const double gb = static_cast<double>(bytes) / kGb;
    char text[256];
    std::snprintf(
        text, sizeof(text),
        "\"%.*s\": {\"mb_per_s\": %.1f, \"cpu_s_per_gb\": %.4f, \"machine_cpu_s_per_gb\": %.4f, "
        "\"journal_p50_us\": %.1f, \"journal_p99_us\": %.1f, \"journal_writes\": %zu}",
        static_cast<int>(name.size()), name.data(), gb * 1000 / seconds, cpu_s / gb,
        machine_cpu_s / gb, Journal(0.5), Journal(0.99), journal_us.size());
    return text;
  }
};

// Takes the time of a phase, from its making to End().
class PhaseMeter {
 public:
  PhaseMeter(Env& env, SteadyJournal& journal)
      : env_(env),
        journal_(journal),
        begin_(env.reactor.Now()),
        cpu_s_(ProcessUse::Of(getpid()).cpu_s),
        machine_cpu_s_(MachineCpuSeconds()) {
    journal_.TakeLatencies();
  }

  Phase End(uint64_t bytes) {
    Phase phase{.bytes = bytes};
    phase.seconds = static_cast<double>((env_.reactor.Now() - begin_).count()) / 1e9;
    phase.cpu_s = ProcessUse::Of(getpid()).cpu_s - cpu_s_;
    phase.machine_cpu_s = MachineCpuSeconds() - machine_cpu_s_;
    phase.journal_us = journal_.TakeLatencies();
    std::ranges::sort(phase.journal_us);
    return phase;
  }

 private:
  Env& env_;
  SteadyJournal& journal_;
  const Instant begin_;
  const double cpu_s_;
  const double machine_cpu_s_;
};

// Distinct pieces that come again in turn.
std::vector<Chain> MakePieces(const Shape& shape) {
  std::vector<Chain> pieces(std::max<size_t>(1, kSourceBytes / shape.piece_bytes()));
  uint8_t next = 0;
  for (Chain& piece : pieces) {
    for (size_t i = 0; i < shape.slices; ++i) {
      // Behind a request's header, which is of any length.
      const size_t before = 71 + pieces.size() % 13 + i;
      MutableBuffer buffer(before + shape.slice_bytes);
      for (size_t at = 0; at < buffer.size(); ++at)
        buffer.data()[at] = static_cast<uint8_t>(next += 7);
      piece.Append(buffer.Share(before, shape.slice_bytes));
    }
  }
  return pieces;
}

class SegmentBench {
 public:
  SegmentBench(Env& env, const Options& options)
      : env_(env),
        options_(options),
        pieces_(MakePieces(options.shape)),
        slots_(env.reactor, kWritesMax),
        scope_(env.reactor) {}

  static Task<void> Run(SegmentBench* self) {
    co_await self->Begin();
    const Shape& shape = self->options_.shape;
    std::string figures =
        (co_await self->Write(shape.paced_bytes, shape.pieces_per_s)).Json("paced");
    if (self->options_.way.writes && shape.unpaced_bytes > 0) {
      figures += ", " + (co_await self->Write(shape.unpaced_bytes, 0)).Json("unpaced");
    }
    if (self->options_.way.writes && shape.read_bytes > 0) {
      figures += ", " + (co_await self->Read(shape.read_bytes)).Json("read");
      const double cached =
          static_cast<double>(self->cached_bytes_) / static_cast<double>(self->read_bytes_);
      figures += ", \"cached_share\": " + std::to_string(cached);
    }
    co_await self->End();
    std::printf("{\"way\": \"%s\", \"pieces\": \"%s\", \"piece_bytes\": %zu, %s}\n",
                std::string(self->options_.way.name).c_str(), std::string(shape.name).c_str(),
                shape.piece_bytes(), figures.c_str());
  }

 private:
  std::string PathOf(size_t number) const {
    return options_.directory + "/" + std::to_string(number) + ".log";
  }

  Task<void> Begin() {
    CheckOk(co_await env_.disk.CreateDirectories(options_.directory));
    auto journal = co_await SteadyJournal::Open(&env_, options_.directory + "/journal");
    CheckOk(journal.status());
    journal_ = *std::move(journal);
    for (size_t i = 0; i < options_.shape.files && options_.way.writes; ++i) {
      auto output =
          options_.way.direct
              ? co_await OpenDirectOutput(env_.disk, PathOf(i), options_.way.reserve_bytes)
              : co_await OpenBufferedOutput(env_.disk, PathOf(i), options_.way.soon);
      CheckOk(output.status());
      outputs_.push_back(*std::move(output));
    }
    CheckOk(co_await env_.disk.SyncDirectory(options_.directory));
    journal_->Start(kJournalPeriod);
  }

  Task<void> End() {
    CheckOk(co_await journal_->Stop());
    co_await scope_.Stop();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      CheckOk(co_await outputs_[i]->Close());
      CheckOk(co_await env_.disk.Remove(PathOf(i)));
    }
    CheckOk(co_await env_.disk.Remove(options_.directory + "/journal"));
    CheckOk(co_await env_.disk.Remove(options_.directory));
  }

  // Writes so many bytes, all files in turn, and syncs them; 0 pieces a second: as fast as it goes.
  Task<Phase> Write(uint64_t bytes, double pieces_per_s) {
    const auto all = static_cast<double>(bytes) * options_.share;
    const size_t pieces = static_cast<size_t>(all) / options_.shape.piece_bytes();
    PhaseMeter meter(env_, *journal_);
    const Instant begin = env_.reactor.Now();
    if (!options_.way.writes) {
      co_await Sleep(env_.reactor, DueAt(begin, pieces, pieces_per_s));
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      scope_.Spawn(WriteFile(i, begin, pieces, pieces_per_s), SchedClass::kProduce);
    }
    co_await scope_.Join();
    co_return meter.End(pieces * options_.shape.piece_bytes());
  }

  static Instant DueAt(Instant begin, size_t piece, double pieces_per_s) {
    if (pieces_per_s == 0) return begin;
    return begin + Duration(static_cast<int64_t>(static_cast<double>(piece) * 1e9 / pieces_per_s));
  }

  // The file's share of the pieces, when they are due, one at a time.
  Task<void> WriteFile(size_t file, Instant begin, size_t pieces, double pieces_per_s) {
    SegmentOutput& output = *outputs_[file];
    uint64_t synced = output.size();
    for (size_t piece = file; piece < pieces; piece += outputs_.size()) {
      const Instant due = DueAt(begin, piece, pieces_per_s);
      if (env_.reactor.Now() < due) co_await Sleep(env_.reactor, due);
      CheckOk(co_await slots_.Acquire(1, {}));
      CheckOk(co_await output.Append(pieces_[piece % pieces_.size()]));
      slots_.Release(1);
      if (output.size() - synced < options_.shape.sync_bytes) continue;
      CheckOk(co_await output.Sync());
      synced = output.size();
    }
    CheckOk(co_await output.Sync());
  }

  // All files in turn, from their beginnings, one read at a time.
  Task<Phase> Read(uint64_t bytes) {
    std::vector<std::unique_ptr<File>> buffered;
    std::vector<std::unique_ptr<File>> direct;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      for (const bool past_cache : {false, true}) {
        auto file = co_await env_.disk.Open(PathOf(i),
                                            OpenOptions{.read_only = true, .direct = past_cache});
        CheckOk(file.status());
        (past_cache ? direct : buffered).push_back(*std::move(file));
      }
    }
    const auto wanted = static_cast<uint64_t>(static_cast<double>(bytes) * options_.share);
    PhaseMeter meter(env_, *journal_);
    bool more = true;
    for (uint64_t position = 0; more && read_bytes_ < wanted; position += kReadBytes) {
      more = false;
      for (size_t i = 0; i < outputs_.size(); ++i) {
        if (position + kReadBytes > outputs_[i]->size()) continue;
        more = true;
        const bool cached = buffered[i]->IsCached(position, kReadBytes);
        File& file = cached ? *buffered[i] : *direct[i];
        const absl::StatusOr<Slice> read =
            co_await file.ReadAt(position, kReadBytes, ReadHint::kNormal);
        CheckOk(read.status());
        if (read->size() < kReadBytes) Fail("a file is shorter than what was written to it");
        read_bytes_ += read->size();
        if (cached) cached_bytes_ += read->size();
      }
    }
    Phase phase = meter.End(read_bytes_);
    for (auto* files : {&buffered, &direct}) {
      for (std::unique_ptr<File>& file : *files) CheckOk(co_await file->Close());
    }
    co_return phase;
  }

  Env& env_;
  const Options options_;
  const std::vector<Chain> pieces_;
  std::unique_ptr<SteadyJournal> journal_;
  std::vector<std::unique_ptr<SegmentOutput>> outputs_;
  ByteBudget slots_;  // Of writes at a time.
  TaskScope scope_;
  uint64_t read_bytes_ = 0;
  uint64_t cached_bytes_ = 0;
};

int Main(int count, char** words) {
  const Options options = Parse(count, words);
  SpdlogLogger logger(LogLevel::kError);
  absl::StatusOr<std::unique_ptr<RealWorld>> world =
      RealWorld::Create({.buffered_writes_by = options.way.by}, logger);
  CheckOk(world.status());
  {
    SegmentBench bench((*world)->env(ShardId(0)), options);
    (*world)->Run(SegmentBench::Run(&bench));
  }
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }

// `millrace produce TOPIC [FILE...]`: each line of the input becomes a record.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/producer.h"
#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/records/line_splitter.h"
#include "cli/records/record_format.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "common/sys/standard_input.h"
#include "storage/record/compression.h"

namespace millrace {
namespace {

// Above what any broker takes by default, so that the broker's answer names the limit.
constexpr size_t kLineBytesMax = 128 << 20;
constexpr size_t kChunkBytes = 1 << 20;

struct ProduceArguments {
  ClientArguments client;
  std::string topic;
  int32_t partition = -1;
  std::optional<std::string> key;
  std::optional<std::string> key_delimiter;
  std::vector<std::string> headers;
  std::string codec = "none";
  std::string acks = "all";
  bool null_when_empty = false;
  bool verbose = false;
  std::vector<std::string> files;
};

std::optional<Compression> CodecOf(std::string_view name) {
  for (size_t i = 0; i < kCompressionCodecs; ++i) {
    const auto codec = static_cast<Compression>(i);
    if (name == CompressionName(codec)) return codec;
  }
  return std::nullopt;
}

// Input as chunks: the files one after another, or the standard input.
class Input {
 public:
  Input(Env& env, std::vector<std::string> files) : env_(env), files_(std::move(files)) {}

  absl::Status UseStandardInput(IoPort& port) {
    absl::StatusOr<std::unique_ptr<StandardInput>> input = StandardInput::Create(port);
    if (!input.ok()) return input.status();
    standard_input_ = *std::move(input);
    return absl::OkStatus();
  }

  // Empty at the end of one file or of the input; ended() tells when it was the last.
  Task<absl::StatusOr<Slice>> Next() {
    if (standard_input_ != nullptr) {
      absl::StatusOr<Slice> chunk = co_await standard_input_->ReadSome(kChunkBytes);
      ended_ = chunk.ok() && chunk->empty();
      co_return chunk;
    }
    if (stopped_) co_return absl::CancelledError("stopped");
    if (file_ == nullptr) {
      const std::string& path = files_[next_file_++];
      absl::StatusOr<std::unique_ptr<File>> file =
          co_await env_.disk.Open(path, {.read_only = true});
      if (!file.ok()) co_return file.status();
      file_ = *std::move(file);
      position_ = 0;
    }
    absl::StatusOr<Slice> chunk =
        co_await file_->ReadAt(position_, kChunkBytes, ReadHint::kSequentialOnce);
    if (chunk.ok()) position_ += chunk->size();
    if (!chunk.ok() || chunk->empty()) {
      co_await Close();
      ended_ = next_file_ == files_.size();
    }
    co_return chunk;
  }
  bool ended() const { return ended_; }

  void Stop() {
    stopped_ = true;
    if (standard_input_ != nullptr) standard_input_->Shutdown();
  }
  Task<void> Close() {
    if (file_ != nullptr) (void)co_await file_->Close();
    file_.reset();
  }

 private:
  Env& env_;
  const std::vector<std::string> files_;
  std::unique_ptr<StandardInput> standard_input_;
  std::unique_ptr<File> file_;
  uint64_t position_ = 0;
  size_t next_file_ = 0;
  bool ended_ = false;
  bool stopped_ = false;
};

OutgoingRecord MakeRecord(std::string line, const ProduceArguments& arguments,
                          const std::vector<OutgoingHeader>& headers, Timestamp now) {
  OutgoingRecord record;
  record.timestamp = now;
  record.headers = headers;
  record.key = arguments.key;
  if (arguments.key_delimiter.has_value()) {
    const size_t end = line.find(*arguments.key_delimiter);
    if (end != std::string::npos) {
      record.key = line.substr(0, end);
      line.erase(0, end + arguments.key_delimiter->size());
    }
  }
  record.value = std::move(line);
  if (arguments.null_when_empty) {
    if (record.key.has_value() && record.key->empty()) record.key.reset();
    if (record.value->empty()) record.value.reset();
  }
  return record;
}

Task<absl::Status> SendLines(ClientSession* session, Producer* producer, Input* input,
                             const ProduceArguments* arguments) {
  std::vector<OutgoingHeader> headers;
  for (const std::string& text : arguments->headers) {
    const size_t equals = text.find('=');
    headers.push_back({text.substr(0, equals), equals == std::string::npos
                                                   ? std::nullopt
                                                   : std::optional(text.substr(equals + 1))});
  }
  LineSplitter splitter(kLineBytesMax);
  std::deque<std::string> lines;
  while (!input->ended()) {
    absl::StatusOr<Slice> chunk = co_await input->Next();
    if (absl::IsCancelled(chunk.status())) break;  // Ctrl-C: what has been read is still sent.
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) {
      if (std::optional<std::string> rest = splitter.TakeRest(); rest.has_value()) {
        lines.push_back(*std::move(rest));
      }
    } else if (!splitter.Feed(chunk->view(),
                              [&lines](std::string line) { lines.push_back(std::move(line)); })) {
      co_return absl::OutOfRangeError(fmt::format("a line is longer than {} bytes", kLineBytesMax));
    }
    for (; !lines.empty(); lines.pop_front()) {
      MR_CO_RETURN_IF_ERROR(co_await producer->Append(
          MakeRecord(std::move(lines.front()), *arguments, headers, session->env.clock.Now())));
    }
  }
  co_return co_await producer->Flush();
}

std::string Records(uint64_t count) {
  return fmt::format("{} record{}", count, count == 1 ? "" : "s");
}

int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<milliseconds>(duration).count();
}

void PrintSummary(const Producer& producer, const ProduceArguments& arguments, Duration took) {
  uint64_t records = 0;
  uint64_t bytes = 0;
  Duration longest_gap{0};
  std::string places;
  JsonWriter json;
  json.BeginObject().Key("topic").String(arguments.topic).Key("partitions").BeginArray();
  for (const auto& [partition, written] : producer.written()) {
    records += written.records;
    bytes += written.bytes;
    longest_gap = std::max(longest_gap, written.longest_gap);
    json.BeginObject().Key("partition").Number(partition.value());
    json.Key("records").Number(static_cast<int64_t>(written.records));
    places += fmt::format("  partition {}: {}", partition, Records(written.records));
    if (written.begin.has_value() && written.end.has_value()) {
      json.Key("begin").Number(written.begin->value()).Key("end").Number(written.end->value());
      places += fmt::format(", offsets {} to {}", *written.begin, *written.end - OffsetDelta(1));
    }
    json.Key("longest_gap_ms").Number(Milliseconds(written.longest_gap));
    places += fmt::format(", longest gap {} ms", Milliseconds(written.longest_gap));
    json.EndObject();
    places += '\n';
  }
  json.EndArray().Key("records").Number(static_cast<int64_t>(records));
  json.Key("bytes").Number(static_cast<int64_t>(bytes));
  json.Key("longest_gap_ms").Number(Milliseconds(longest_gap)).EndObject();
  if (arguments.client.json()) PrintOutput(json.text() + "\n");
  if (!arguments.verbose && isatty(STDERR_FILENO) == 0) return;
  const double took_seconds = static_cast<double>(took.count()) / 1e9;
  PrintError(fmt::format(
      "{} ({} bytes) to {} in {:.3f} s, {}, longest gap {} ms\n{}", Records(records), bytes,
      arguments.topic, took_seconds,
      producer.idempotent()     ? "each exactly once"
      : arguments.acks == "all" ? "each at least once: the broker has no idempotence"
                                : fmt::format("acks={}", arguments.acks),
      Milliseconds(longest_gap), places.substr(0, places.empty() ? 0 : places.size() - 1)));
}

Task<int> Produce(ClientSession* session, std::shared_ptr<ProduceArguments> arguments) {
  Input input(session->env, arguments->files);
  if (arguments->files.empty()) {
    absl::Status opened = input.UseStandardInput(session->port);
    if (!opened.ok()) {
      PrintError(opened);
      co_return kExitFailed;
    }
  }
  ProducerOptions options;
  options.topic = arguments->topic;
  if (arguments->partition >= 0) options.partition = PartitionId(arguments->partition);
  options.acks = arguments->acks == "all" ? Acks::kAll
                 : arguments->acks == "1" ? Acks::kLeader
                                          : Acks::kNone;
  options.compression = *CodecOf(arguments->codec);
  options.delivery_timeout = session->timeout;
  Producer producer(session->client, std::move(options));
  absl::Status status = co_await producer.Start();
  const Instant started = session->env.reactor.Now();
  if (status.ok()) {
    session->on_interrupt = [&input] { input.Stop(); };
    if (session->interrupted) input.Stop();
    status = co_await SendLines(session, &producer, &input, arguments.get());
    session->on_interrupt = [] {};
  }
  co_await input.Close();
  if (!status.ok()) session->client.Shutdown();  // Else Stop() waits for answers nobody wants.
  co_await producer.Stop();
  if (!status.ok()) PrintError(status);
  PrintSummary(producer, *arguments, session->env.reactor.Now() - started);
  if (session->interrupted) co_return kExitInterrupted;
  co_return status.ok() ? kExitOk : kExitFailed;
}

std::string CheckHeader(const std::string& text) {
  return text.empty() || text.front() == '='
             ? fmt::format("'{}' is no header: name=value is accepted, or name for a null value",
                           text)
             : std::string();
}

}  // namespace

void AddProduceCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<ProduceArguments>();
  Command verb =
      program.AddVerb("produce", "Write each line of the standard input, or of FILEs, as a record");
  verb.AddOption("TOPIC", arguments->topic, "Where to").Required().TypeName("");
  verb.AddOption("FILE", arguments->files, "Files to read lines from").TypeName("");
  verb.AddOption("-p,--partition", arguments->partition, "All records go there")
      .TypeName("N")
      .NotNegative();
  Option key = verb.AddOption("-k,--key", arguments->key, "The key of every record");
  verb.AddOption(
          "-K,--key-delimiter",
          [arguments](const std::string& text) { arguments->key_delimiter = *Unescape(text); },
          "Lines are KEY, this delimiter (\\t, \\x01, ...), VALUE")
      .Check([](const std::string& text) {
        if (text.empty()) return std::string("the delimiter is empty");
        return std::string(Unescape(text).status().message());
      })
      .Excludes(key);
  verb.AddOption("-H,--header", arguments->headers, "A header of every record; may be repeated")
      .TypeName("NAME=VALUE")
      .OneValueEach()
      .Check(CheckHeader);
  verb.AddOption("-z,--compression", arguments->codec, "none, gzip, snappy, lz4 or zstd")
      .TypeName("CODEC")
      .ShowDefault()
      .Check([](const std::string& text) {
        return CodecOf(text).has_value()
                   ? std::string()
                   : fmt::format("'{}' is no codec: none, gzip, snappy, lz4 and zstd are accepted",
                                 text);
      });
  verb.AddOption("--acks", arguments->acks,
                 "all: every in-sync replica has it, and each record is written once; 1: the "
                 "leader has it; 0: it was sent")
      .TypeName("WHO")
      .ShowDefault()
      .Transform([](const std::string& text) { return text == "-1" ? std::string("all") : text; })
      .Check([](const std::string& text) {
        return text == "all" || text == "1" || text == "0" || text == "-1"
                   ? std::string()
                   : fmt::format("'{}' is not known: all, 1 and 0 are accepted", text);
      });
  verb.AddFlag("-Z,--null", arguments->null_when_empty,
               "Empty keys and values are written as null");
  verb.AddFlag(
      "-v,--verbose", arguments->verbose,
      "A summary on stderr, also without a terminal: what was written where, and the longest "
      "time without an acknowledgement");
  AddClientOptions(verb, arguments->client);
  verb.OnChosen([arguments, &chosen] {
    chosen = [arguments] {
      return RunClientVerb(arguments->client, [arguments](ClientSession* session) {
        return Produce(session, arguments);
      });
    };
  });
}

}  // namespace millrace

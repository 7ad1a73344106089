// `millrace consume TOPIC`: prints records, from a place on.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/group_consumer.h"
#include "cli/client/topic_reader.h"
#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/records/record_format.h"

namespace millrace {
namespace {

// Output is handed on when this much has come together, and whenever nothing more is there.
constexpr size_t kOutputBytes = 64 << 10;

struct ConsumeArguments {
  ClientArguments client;
  std::string topic;
  std::vector<int32_t> partitions;
  std::string offset = "beginning";
  uint64_t count = 0;  // 0: no limit.
  bool exit_at_end = false;
  std::optional<std::string> idle_exit;
  bool summary = false;
  std::optional<std::string> format;
  std::optional<std::string> key_delimiter;
  std::optional<std::string> group;
};

class Printer final : public RecordSink {
 public:
  Printer(const ConsumeArguments& arguments, RecordFormat format)
      : arguments_(arguments), format_(std::move(format)) {}

  bool OnRecord(PartitionId partition, const FetchedRecord& record) override {
    if (arguments_.client.json()) {
      PrintJson(arguments_.topic, partition, record, text_);
    } else {
      format_.Print(arguments_.topic, partition, record, text_);
    }
    ++printed_;
    const bool enough = arguments_.count > 0 && printed_ == arguments_.count;
    return (text_.size() < kOutputBytes || OnPause()) && !enough;
  }

  bool OnPause() override {
    if (!text_.empty() && !PrintOutput(text_)) broken_ = true;
    text_.clear();
    return !broken_;
  }

  void OnWarning(std::string message) override { PrintError(std::string_view(message)); }

  // Nobody reads what is printed (`| head`): no failure to talk about.
  bool broken() const { return broken_; }
  uint64_t printed() const { return printed_; }

 private:
  const ConsumeArguments& arguments_;
  const RecordFormat format_;
  std::string text_;
  uint64_t printed_ = 0;
  bool broken_ = false;
};

// Ends a session, as an interruption would, in which no record has come for so long.
class IdleWatch final : private Timer {
 public:
  IdleWatch(ClientSession* session, const Printer& printer, Duration idle_max)
      : session_(session), printer_(printer), idle_max_(idle_max) {
    Arm();
  }
  ~IdleWatch() {
    if (armed()) session_->env.reactor.Disarm(*this);
  }
  bool was_idle() const { return was_idle_; }

 private:
  void Arm() { session_->env.reactor.Arm(*this, session_->env.reactor.Now() + idle_max_); }
  void Fire() override {
    if (printer_.printed() != printed_before_) {
      printed_before_ = printer_.printed();
      Arm();
      return;
    }
    was_idle_ = true;
    session_->on_interrupt();
  }

  ClientSession* const session_;
  const Printer& printer_;
  const Duration idle_max_;
  uint64_t printed_before_ = 0;
  bool was_idle_ = false;
};

// As a literal of a format.
std::string PercentDoubled(const std::string& text) {
  std::string doubled;
  for (char c : text) doubled.append(c == '%' ? 2 : 1, c);
  return doubled;
}

// As a member of a group, which an interruption lets commit and leave.
Task<absl::Status> ConsumeInGroup(ClientSession* session, RecordSink* sink, std::string group,
                                  TopicReaderOptions reader) {
  GroupConsumerOptions options;
  options.group = std::move(group);
  options.reader = std::move(reader);
  GroupConsumer consumer(session->client, *sink, std::move(options));
  session->on_interrupt = [&consumer] { consumer.Interrupt(); };
  absl::Status status = co_await consumer.Run();
  session->on_interrupt = [client = &session->client] { client->Shutdown(); };
  co_return status;
}

Task<absl::Status> ConsumeAll(ClientSession* session, RecordSink* sink,
                              TopicReaderOptions options) {
  TopicReader reader(session->client, *sink, std::move(options));
  co_return co_await reader.Run();
}

Task<int> Consume(ClientSession* session, std::shared_ptr<ConsumeArguments> arguments) {
  absl::StatusOr<OffsetSpec> from = ParseOffsetSpec(arguments->offset, session->env.clock.Now());
  const std::string format = arguments->format.value_or(
      arguments->key_delimiter.has_value()
          ? fmt::format("%k{}%s\\n", PercentDoubled(*arguments->key_delimiter))
          : "%s\\n");
  Printer printer(*arguments, *RecordFormat::Parse(format));
  TopicReaderOptions options;
  options.topic = arguments->topic;
  for (int32_t partition : arguments->partitions) {
    options.partitions.emplace_back(partition);
  }
  options.from = *from;  // Checked by the parser.
  options.stop_at_end = arguments->exit_at_end;
  options.patience = session->timeout;
  std::optional<IdleWatch> idle;
  if (arguments->idle_exit.has_value()) {
    idle.emplace(session, printer, *ParseDuration(*arguments->idle_exit));
    options.wait_max = std::min<Duration>(options.wait_max, *ParseDuration(*arguments->idle_exit));
  }
  absl::Status status;
  if (arguments->group.has_value()) {
    status = co_await ConsumeInGroup(session, &printer, *arguments->group, std::move(options));
  } else {
    status = co_await ConsumeAll(session, &printer, std::move(options));
  }
  printer.OnPause();
  const bool was_idle = idle.has_value() && idle->was_idle();
  idle.reset();
  if (arguments->summary) {
    PrintError(fmt::format("Processed a total of {} messages", printer.printed()));
  }
  if (was_idle) co_return kExitOk;
  if (session->interrupted) co_return kExitOk;  // Ctrl-C is how it is meant to end.
  if (printer.broken()) co_return kExitFailed;
  if (!status.ok()) {
    PrintError(status);
    co_return kExitFailed;
  }
  co_return kExitOk;
}

std::string CheckDelimiter(const std::string& text) {
  return std::string(Unescape(text).status().message());
}

std::string CheckFormat(const std::string& text) {
  return std::string(RecordFormat::Parse(text).status().message());
}

}  // namespace

void AddConsumeCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<ConsumeArguments>();
  Command verb = program.AddVerb("consume", "Print the records of a topic");
  verb.AddOption("TOPIC", arguments->topic, "What to read").Required().TypeName("");
  Option partition =
      verb.AddOption("-p,--partition", arguments->partitions, "Only these; may be repeated")
          .TypeName("N")
          .OneValueEach()
          .Delimiter(',')
          .NotNegative();
  verb.AddOption("--offset", arguments->offset,
                 "Where to begin: beginning, end, N, -N (N before the end), @TIME (ms since 1970, "
                 "-1h, 2026-11-21T10:00)")
      .TypeName("WHERE")
      .ShowDefault()
      .Check([](const std::string& text) {
        return std::string(ParseOffsetSpec(text, Timestamp(0)).status().message());
      });
  verb.AddOption("-n,-c,--count", arguments->count, "Stop after so many records")
      .TypeName("N")
      .Positive();
  verb.AddFlag("-e,--exit", arguments->exit_at_end, "Stop at the end");
  verb.AddOption("--idle-exit", arguments->idle_exit, "Stop when no record has come for so long")
      .TypeName("TIME")
      .Check([](const std::string& text) {
        return ParseDuration(text).has_value()
                   ? std::string()
                   : fmt::format("'{}' is no time: 500ms, 30s and 2m are accepted", text);
      });
  verb.AddFlag("--summary", arguments->summary, "Say on stderr how many records there were");
  Option format =
      verb.AddOption("-f,--format", arguments->format,
                     "%t topic, %p partition, %o offset, %T time, %k key, %s value, %h headers, "
                     "%K %S lengths, \\n \\t \\xHH; default: '%s\\n'")
          .TypeName("FORMAT")
          .Check(CheckFormat);
  verb.AddOption("-K,--key-delimiter", arguments->key_delimiter, "Print KEY, this, VALUE")
      .Excludes(format)
      .Check(CheckDelimiter);
  verb.AddOption("-G,--group", arguments->group,
                 "Share the partitions with the group's other members, and store positions in it; "
                 "--offset is for partitions that have none")
      .TypeName("GROUP")
      .Check([](const std::string& text) {
        return text.empty() ? std::string("the name of a group is not empty") : std::string();
      })
      .Excludes(partition);
  AddClientOptions(verb, arguments->client);
  verb.OnChosen([arguments, &chosen] {
    chosen = [arguments] {
      return RunClientVerb(arguments->client, [arguments](ClientSession* session) {
        return Consume(session, arguments);
      });
    };
  });
}

}  // namespace millrace

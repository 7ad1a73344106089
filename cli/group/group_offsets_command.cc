// `millrace group reset-offsets` and `delete-offsets`.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/offset_spec.h"
#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/group/group_resetter.h"
#include "cli/kafka/kafka_group_text.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "common/sys/text_file.h"

namespace millrace {
namespace {

constexpr size_t kFileBytesMax = 64 << 20;

struct OffsetsOfGroupArguments {
  ClientArguments client;
  std::vector<std::string> groups;
  std::vector<std::string> topics;  // TOPIC or TOPIC:0,1
  bool all_topics = false;
  bool all_groups = false;
  bool execute = false;
  bool to_earliest = false;
  bool to_latest = false;
  bool to_current = false;
  std::optional<std::string> to_offset;
  std::optional<std::string> shift_by;
  std::optional<std::string> to_datetime;
  std::optional<std::string> by_duration;
  std::optional<std::string> from_file;
  // Prints as kafka-consumer-groups does: "table" or "export".
  std::optional<std::string> kafka;

  int targets() const {
    return to_earliest + to_latest + to_current + to_offset.has_value() + shift_by.has_value() +
           to_datetime.has_value() + by_duration.has_value() + from_file.has_value();
  }
};

std::optional<Duration> AnyDuration(const std::string& text) {
  return text.starts_with('P') ? ParseIsoDuration(text) : ParseDuration(text);
}

absl::StatusOr<ResetTarget> FileTarget(const OffsetsOfGroupArguments& arguments) {
  MR_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*arguments.from_file, kFileBytesMax));
  absl::StatusOr<GroupPositions> positions = ParsePositions(
      text, arguments.groups.size() == 1 ? std::optional(arguments.groups.front()) : std::nullopt);
  if (!positions.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", *arguments.from_file, std::string(positions.status().message())));
  }
  return ResetTarget(ResetFromFile{*std::move(positions)});
}

// REQUIRES: exactly one target, whose value the parser has checked.
absl::StatusOr<ResetTarget> TargetOf(const OffsetsOfGroupArguments& arguments, Timestamp now) {
  if (arguments.to_earliest) return ResetTarget(ResetToEarliest{});
  if (arguments.to_latest) return ResetTarget(ResetToLatest{});
  if (arguments.to_current) return ResetTarget(ResetToCurrent{});
  if (arguments.to_offset.has_value()) {
    return ResetTarget(ResetToOffset{std::stoll(*arguments.to_offset)});
  }
  if (arguments.shift_by.has_value()) {
    return ResetTarget(ResetShiftBy{std::stoll(*arguments.shift_by)});
  }
  if (arguments.to_datetime.has_value()) {
    return ResetTarget(ResetToTime{*ParseTimestamp(*arguments.to_datetime, now)});
  }
  if (arguments.by_duration.has_value()) {
    const int64_t ms =
        std::chrono::duration_cast<milliseconds>(*AnyDuration(*arguments.by_duration)).count();
    return ResetTarget(ResetToTime{Timestamp(now.ms() - ms)});
  }
  return FileTarget(arguments);
}

// What reset-offsets prints, of all groups.
class ResetReport {
 public:
  explicit ResetReport(const OffsetsOfGroupArguments& arguments) : arguments_(arguments) {
    json_.BeginArray();
  }

  void AddFailure(const std::string& group, const absl::Status& status) {
    exit_status_ = kExitFailed;
    PrintError(absl::IsFailedPrecondition(status) && arguments_.kafka.has_value()
                   ? fmt::format("\nError: Assignments can only be reset if the group '{}' is "
                                 "inactive: {}.",
                                 group, std::string(status.message()))
                   : fmt::format("{}: {}", group, std::string(status.message())));
    json_.BeginObject().Key("group").String(group);
    json_.Key("error").String(std::string(status.message())).EndObject();
  }

  void Add(const std::string& group, const ResetResults& results) {
    positions_[group];
    bool committed = false;
    for (const auto& [place, result] : results) {
      AddPartition(group, place, result);
      committed = committed || result.committed;
    }
    if (arguments_.execute && !committed) {
      PrintError(fmt::format("{}: so none of its positions was changed", group));
    }
  }

  int Print() {
    json_.EndArray();
    if (arguments_.kafka.has_value()) {
      PrintOutput(arguments_.kafka == "export" ? KafkaResetCsv(positions_)
                                               : warnings_ + KafkaResetText(positions_));
    } else if (arguments_.client.json()) {
      PrintOutput(json_.text() + "\n");
    } else {
      if (!positions_.empty()) PrintOutput(table_.ToString());
      if (!arguments_.execute && exit_status_ == kExitOk) {
        PrintOutput("Nothing was changed; --execute does it.\n");
      }
    }
    return exit_status_;
  }

 private:
  void AddPartition(const std::string& group, const TopicPartition& place,
                    const ResetResult& result) {
    json_.BeginObject().Key("group").String(group).Key("topic").String(place.topic);
    json_.Key("partition").Number(place.partition.value());
    json_.Key("old").OptionalNumber(
        result.before.has_value() ? std::optional(result.before->value()) : std::nullopt);
    if (result.after.ok()) {
      positions_[group].insert_or_assign(place, result.after->offset);
      json_.Key("new").Number(result.after->offset.value());
      json_.Key("executed").Bool(result.committed);
      AddNote(place, *result.after);
    } else {
      exit_status_ = kExitFailed;
      const std::string why(result.after.status().message());
      json_.Key("error").String(why);
      PrintError(fmt::format("{}: {}: {}", group, place.ToString(), why));
    }
    json_.EndObject();
    table_.AddRow({group, place.topic, fmt::format("{}", place.partition),
                   result.before.has_value() ? fmt::format("{}", *result.before) : "-",
                   result.after.ok() ? fmt::format("{}", result.after->offset) : "-"});
  }

  void AddNote(const TopicPartition& place, const NewPosition& position) {
    if (position.note.empty()) return;
    if (arguments_.kafka.has_value() && position.no_record_as_young) {
      warnings_ += fmt::format(
          "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.\n",
          place.partition, place.topic);
    } else {
      PrintError(fmt::format("{}: {}.", place.ToString(), position.note));
    }
  }

  const OffsetsOfGroupArguments& arguments_;
  int exit_status_ = kExitOk;
  GroupPositions positions_;
  std::string warnings_;
  JsonWriter json_;
  TextTable table_{{{"GROUP"},
                    {"TOPIC"},
                    {"PARTITION", TextTable::Align::kRight},
                    {"OLD-OFFSET", TextTable::Align::kRight},
                    {"NEW-OFFSET", TextTable::Align::kRight}}};
};

std::vector<TopicScope> ScopesOf(const OffsetsOfGroupArguments& arguments) {
  std::vector<TopicScope> scopes;
  scopes.reserve(arguments.topics.size());
  for (const std::string& topic : arguments.topics) {
    scopes.push_back(*ParseTopicScope(topic));  // Checked by the parser.
  }
  return scopes;
}

Task<int> ResetOffsets(ClientSession* session, std::shared_ptr<OffsetsOfGroupArguments> arguments) {
  GroupClient groups(session->client);
  std::vector<std::string> names = arguments->groups;
  if (arguments->all_groups) {
    absl::StatusOr<GroupList> list = co_await groups.ListGroups(session->Deadline());
    if (list.ok() && !list->failures.empty()) list = list->failures.front();
    if (!list.ok()) {
      PrintError(list.status());
      co_return kExitFailed;
    }
    for (const ListedGroup& group : list->groups) {
      if (group.protocol == "consumer" || group.protocol.empty()) names.push_back(group.id);
    }
  }
  absl::StatusOr<ResetTarget> target = TargetOf(*arguments, session->env.clock.Now());
  if (!target.ok()) {
    PrintError(target.status());
    co_return kExitFailed;
  }
  ResetReport report(*arguments);
  for (const std::string& name : names) {
    ResetRequest request{ScopesOf(*arguments), *target, arguments->execute};
    absl::StatusOr<ResetResults> results =
        co_await ResetGroup(groups, name, std::move(request), session->Deadline());
    if (results.ok() && results->empty()) {
      results = absl::NotFoundError("it has no position that could be changed");
    }
    if (results.ok()) {
      report.Add(name, *results);
    } else {
      report.AddFailure(name, results.status());
    }
  }
  co_return report.Print();
}

Task<int> DeletePositions(ClientSession* session,
                          std::shared_ptr<OffsetsOfGroupArguments> arguments) {
  GroupClient groups(session->client);
  absl::StatusOr<PartitionStatuses> statuses;
  const std::string& name = arguments->groups.front();
  absl::StatusOr<std::vector<TopicPartition>> places =
      co_await PartitionsOfScopes(session->client, ScopesOf(*arguments), session->Deadline());
  if (places.ok()) {
    statuses = co_await groups.DeleteCommitted(name, *places, session->Deadline());
  }
  const absl::Status failed = places.ok() ? statuses.status() : places.status();
  if (!failed.ok()) {
    PrintError(fmt::format("{}: {}", name, std::string(failed.message())));
    co_return kExitFailed;
  }
  int exit_status = kExitOk;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const auto& [place, status] : *statuses) {
    json.BeginObject().Key("group").String(name).Key("topic").String(place.topic);
    json.Key("partition").Number(place.partition.value());
    if (status.ok()) {
      json.Key("result").String("deleted");
      text += fmt::format("Deleted the position of {} in {}.\n", name, place.ToString());
    } else {
      exit_status = kExitFailed;
      json.Key("error").String(std::string(status.message()));
      PrintError(fmt::format("{}: {}: {}", name, place.ToString(), std::string(status.message())));
    }
    json.EndObject();
  }
  json.EndArray();
  if (arguments->kafka.has_value()) {
    text = exit_status == kExitOk
               ? fmt::format("Request succeeded for deleting offsets from group {}.\n", name)
               : "\nError: Encountered some partition-level error, see the follow-up details.\n";
    text += KafkaDeletedOffsetsText(*statuses);
  }
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return exit_status;
}

std::string CheckInteger(const std::string& text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return {};
  return fmt::format("'{}' is no number", text);
}

std::string CheckTime(const std::string& text) {
  if (ParseTimestamp(text, Timestamp(0)).has_value()) return {};
  return fmt::format(
      "'{}' is no time: 2026-11-21T10:00:00.000 (in UTC, or with +02:00 behind), milliseconds "
      "since 1970, and -1h are accepted",
      text);
}

void AddScope(Command& verb, OffsetsOfGroupArguments& arguments, const char* what) {
  verb.AddOption("--topic", arguments.topics, what)
      .TypeName("TOPIC[:N,...]")
      .OneValueEach()
      .Check([](const std::string& text) {
        return std::string(ParseTopicScope(text).status().message());
      });
  verb.AddOption("--kafka", arguments.kafka, "").Hidden();
  AddClientOptions(verb, arguments.client);
}

void AddReset(Command& group, ChosenCommand& chosen) {
  auto reset = std::make_shared<OffsetsOfGroupArguments>();
  Command verb = group.AddVerb(
      "reset-offsets", "Change positions of a group without members; without --execute: only show");
  verb.AddOption("GROUP", reset->groups, "Groups").TypeName("");
  AddScope(verb, *reset, "Partitions of this topic, or some of them; may be given often");
  verb.AddFlag("--all-topics", reset->all_topics, "All partitions that have a position");
  verb.AddFlag("--to-earliest", reset->to_earliest, "To the first record");
  verb.AddFlag("--to-latest", reset->to_latest, "Behind the last record");
  verb.AddFlag("--to-current", reset->to_current, "Where it is; without a position: to the end");
  verb.AddOption("--to-offset", reset->to_offset, "To this offset")
      .TypeName("N")
      .Check(CheckInteger);
  verb.AddOption("--shift-by", reset->shift_by, "So many offsets on, or back: --shift-by=-10")
      .TypeName("N")
      .Check(CheckInteger);
  verb.AddOption("--to-datetime", reset->to_datetime, "To the first record as young as this")
      .TypeName("TIME")
      .Check(CheckTime);
  verb.AddOption("--by-duration", reset->by_duration,
                 "To the first record younger than so long ago: 2h, PT2H")
      .TypeName("TIME")
      .Check([](const std::string& text) {
        return AnyDuration(text).has_value()
                   ? std::string()
                   : fmt::format("'{}' is no time: 500ms, 30s, 2h, 7d and PT2H are accepted", text);
      });
  verb.AddOption("--from-file", reset->from_file,
                 "To what lines of [GROUP,]TOPIC,PARTITION,OFFSET say")
      .TypeName("FILE");
  verb.AddFlag("--all-groups", reset->all_groups, "").Hidden();
  verb.AddFlag("--execute", reset->execute, "Do it");
  verb.OnChosen([reset, &chosen] {
    chosen = [reset] {
      const int scopes = static_cast<int>(!reset->topics.empty()) + reset->all_topics;
      const bool scoped = scopes == 1 || (scopes == 0 && reset->from_file.has_value());
      if (reset->groups.empty() == !reset->all_groups || reset->targets() != 1 || !scoped) {
        PrintError(
            "It takes a GROUP; --topic or --all-topics; and one of --to-earliest, --to-latest, "
            "--to-current, --to-offset, --shift-by, --to-datetime, --by-duration, --from-file.");
        return kExitUsage;
      }
      return RunClientVerb(
          reset->client, [reset](ClientSession* session) { return ResetOffsets(session, reset); });
    };
  });
}

}  // namespace

void AddGroupOffsetsCommands(Command& group, ChosenCommand& chosen) {
  AddReset(group, chosen);

  auto remove = std::make_shared<OffsetsOfGroupArguments>();
  Command verb =
      group.AddVerb("delete-offsets", "Delete positions in topics that no member subscribes to");
  verb.AddOption(
          "GROUP", [remove](const std::string& name) { remove->groups = {name}; }, "The group")
      .Required()
      .TypeName("");
  AddScope(verb, *remove, "Of this topic, or some partitions of it; may be given often");
  verb.OnChosen([remove, &chosen] {
    chosen = [remove] {
      if (remove->topics.empty()) {
        PrintError("Which topics? --topic names one.");
        return kExitUsage;
      }
      return RunClientVerb(remove->client, [remove](ClientSession* session) {
        return DeletePositions(session, remove);
      });
    };
  });
}

}  // namespace millrace

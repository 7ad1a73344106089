// `millrace group list|describe|delete`; reset-offsets and delete-offsets have files of their own.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/group_client.h"
#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/group/group_describer.h"
#include "cli/group/group_description.h"
#include "cli/kafka/kafka_group_text.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"

namespace millrace {
namespace {

struct GroupArguments {
  ClientArguments client;
  std::vector<std::string> names;
  bool all = false;
  // Of list.
  std::vector<std::string> states;  // In lower case, as the types.
  std::vector<std::string> types;
  std::optional<std::string> protocol;
  bool consumers = false;
  bool only_names = false;
  bool lag = false;
  // Of describe.
  bool members = false;
  bool verbose = false;
  // Prints as a tool of Kafka's does: which of its layouts.
  std::optional<std::string> kafka;
};

std::string LowerCase(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// As Kafka's tools see it: classic groups of consumers, with or without members so far, and groups
// of the new protocol.
bool IsOfConsumers(const ListedGroup& group) {
  return group.protocol == "consumer" || group.protocol.empty() ||
         LowerCase(group.type) == "consumer";
}

bool Passes(const ListedGroup& group, const GroupArguments& arguments) {
  auto among = [](const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::ranges::find(names, LowerCase(name)) != names.end();
  };
  return among(arguments.states, group.state) && among(arguments.types, group.type) &&
         (!arguments.protocol.has_value() || group.protocol == *arguments.protocol) &&
         (!arguments.consumers || IsOfConsumers(group));
}

// How far behind groups are, as far as it was asked for and is known.
const GroupDescription* Find(const DescribedGroups& described, const std::string& id) {
  const auto found = described.find(id);
  return found == described.end() || !found->second.ok() ? nullptr : &*found->second;
}

std::string ListText(const std::vector<ListedGroup>& groups, const DescribedGroups& described,
                     const GroupArguments& arguments) {
  if (arguments.kafka == "groups") return KafkaAllGroupsTable(groups);
  if (arguments.kafka.has_value()) {
    return KafkaGroupTable(groups, arguments.kafka->contains("types"),
                           arguments.kafka->contains("states"));
  }
  std::string names;
  std::vector<TextTable::Column> columns = {
      {"GROUP"}, {"STATE"}, {"TYPE"}, {"PROTOCOL"}, {"COORDINATOR"}};
  if (arguments.lag) {
    columns.push_back({"TOTAL-LAG", TextTable::Align::kRight});
    columns.push_back({"LAG-SECONDS", TextTable::Align::kRight});
  }
  TextTable table(std::move(columns));
  for (const ListedGroup& group : groups) {
    names += group.id + "\n";
    auto cell = [](const std::string& text) { return text.empty() ? std::string("-") : text; };
    std::vector<std::string> row = {group.id, cell(group.state), LowerCase(cell(group.type)),
                                    cell(group.protocol), fmt::format("{}", group.coordinator)};
    if (arguments.lag) {
      const GroupDescription* known = Find(described, group.id);
      const std::optional<int64_t> lag = known == nullptr ? std::nullopt : known->total_lag();
      row.push_back(lag.has_value() ? fmt::format("{}", *lag) : "-");
      row.push_back(known == nullptr ? "-" : SecondsText(known->age_max()));
    }
    table.AddRow(std::move(row));
  }
  return arguments.only_names ? names : table.ToString();
}

std::string ListJson(const std::vector<ListedGroup>& groups, const DescribedGroups& described,
                     bool lag) {
  JsonWriter json;
  json.BeginArray();
  for (const ListedGroup& group : groups) {
    json.BeginObject().Key("group").String(group.id).Key("state").String(group.state);
    json.Key("type").String(LowerCase(group.type)).Key("protocol").String(group.protocol);
    json.Key("coordinator").Number(group.coordinator.value());
    if (lag) {
      const GroupDescription* known = Find(described, group.id);
      const auto value = [known](auto of) {
        return known == nullptr ? std::optional<int64_t>() : of(*known);
      };
      json.Key("total_lag").OptionalNumber(value([](const GroupDescription& one) {
        return one.total_lag();
      }));
      json.Key("lag_ms_max").OptionalNumber(value([](const GroupDescription& one) {
        return MillisecondsOf(one.age_max());
      }));
    }
    json.EndObject();
  }
  return json.EndArray().Take() + "\n";
}

Task<int> ShowGroupList(ClientSession* session, std::shared_ptr<GroupArguments> arguments) {
  GroupClient groups(session->client);
  absl::StatusOr<GroupList> list = co_await groups.ListGroups(session->Deadline());
  if (!list.ok()) {
    PrintError(list.status());
    co_return kExitFailed;
  }
  std::erase_if(list->groups,
                [&arguments](const ListedGroup& group) { return !Passes(group, *arguments); });
  DescribedGroups described;
  if (arguments->lag) {
    std::vector<std::string> names;
    for (const ListedGroup& group : list->groups) {
      if (IsOfConsumers(group)) names.push_back(group.id);
    }
    absl::StatusOr<DescribedGroups> asked =
        co_await AskGroups(groups, std::move(names), GroupDetail::kAges, session->Deadline());
    if (!asked.ok()) {
      PrintError(asked.status());
      co_return kExitFailed;
    }
    described = *std::move(asked);
  }
  PrintOutput(arguments->client.json() ? ListJson(list->groups, described, arguments->lag)
                                       : ListText(list->groups, described, *arguments));
  bool failed = !list->failures.empty();
  for (const absl::Status& failure : list->failures) PrintError(failure);
  for (const auto& [id, description] : described) {
    if (description.ok()) continue;
    PrintError(fmt::format("{}: {}", id, std::string(description.status().message())));
    failed = true;
  }
  co_return failed ? kExitFailed : kExitOk;
}

// The groups that were named, or all of consumers; sorted, each once.
Task<absl::StatusOr<std::vector<std::string>>> NamedGroups(
    GroupClient* groups, std::shared_ptr<GroupArguments> arguments, Instant deadline) {
  std::vector<std::string> names = arguments->names;
  if (arguments->all || names.empty()) {
    MR_CO_ASSIGN_OR_RETURN(const GroupList list, co_await groups->ListGroups(deadline));
    // Without an answer of every broker "all" would be a lie.
    if (!list.failures.empty()) co_return list.failures.front();
    for (const ListedGroup& group : list.groups) {
      if (IsOfConsumers(group)) names.push_back(group.id);
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  co_return names;
}

// A group's description in a layout of Kafka's; what it says on stderr comes before its table.
void PrintAsKafka(const GroupDescription& description, const GroupArguments& arguments) {
  if (const std::string notice = KafkaStateNotice(description.group); !notice.empty()) {
    PrintError(notice);
  }
  if (arguments.kafka == "members") {
    PrintOutput(KafkaMembersText(description.group, arguments.verbose));
  } else if (arguments.kafka == "state") {
    PrintOutput(KafkaStateText(description, arguments.verbose));
  } else {
    PrintOutput(KafkaOffsetsText(description, arguments.verbose));
  }
}

Task<int> DescribeGroups(ClientSession* session, std::shared_ptr<GroupArguments> arguments) {
  GroupClient groups(session->client);
  absl::StatusOr<std::vector<std::string>> names =
      co_await NamedGroups(&groups, arguments, session->Deadline());
  if (!names.ok()) {
    PrintError(names.status());
    co_return kExitFailed;
  }
  // Kafka's tools do not tell ages.
  const GroupDetail detail =
      arguments->kafka == "members" || arguments->kafka == "state" ? GroupDetail::kMembers
      : arguments->kafka.has_value() || arguments->members         ? GroupDetail::kPositions
                                                                   : GroupDetail::kAges;
  absl::StatusOr<DescribedGroups> described =
      co_await AskGroups(groups, *names, detail, session->Deadline());
  if (!described.ok()) {
    PrintError(described.status());
    co_return kExitFailed;
  }
  int exit_status = kExitOk;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const auto& [id, description] : *described) {
    if (!description.ok()) {
      PrintError(absl::IsNotFound(description.status()) && arguments->kafka.has_value()
                     ? fmt::format("\nError: Consumer group '{}' does not exist.", id)
                     : fmt::format("{}: {}", id, std::string(description.status().message())));
      exit_status = kExitFailed;
    } else if (arguments->kafka.has_value()) {
      PrintAsKafka(*description, *arguments);
    } else if (arguments->client.json()) {
      GroupJson(*description, json);
    } else {
      text += (text.empty() ? "" : "\n") + GroupText(*description, arguments->members);
    }
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return exit_status;
}

// As kafka-consumer-groups --delete says it.
std::string KafkaDeletedText(const std::vector<std::string>& deleted, bool all) {
  std::string names;
  for (const std::string& id : deleted) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", id);
  }
  if (all)
    return fmt::format("Deletion of requested consumer groups ({}) was successful.\n", names);
  if (deleted.empty()) return {};
  return fmt::format("\nThese consumer groups were deleted successfully: {}\n", names);
}

Task<int> DeleteGroups(ClientSession* session, std::shared_ptr<GroupArguments> arguments) {
  if (arguments->names.empty() == !arguments->all) {
    PrintError("Which groups? Name them, or say --all-groups.");
    co_return kExitUsage;
  }
  GroupClient groups(session->client);
  absl::StatusOr<std::vector<std::string>> names =
      co_await NamedGroups(&groups, arguments, session->Deadline());
  if (!names.ok()) {
    PrintError(names.status());
    co_return kExitFailed;
  }
  std::vector<std::string> deleted;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const std::string& id : *names) {
    const absl::Status status = co_await groups.DeleteGroup(id, session->Deadline());
    json.BeginObject().Key("group").String(id);
    if (status.ok()) {
      json.Key("result").String("deleted");
      deleted.push_back(id);
      text += fmt::format("Deleted group {}.\n", id);
    } else {
      json.Key("error").String(std::string(status.message()));
      PrintError(arguments->kafka.has_value()
                     ? fmt::format("\nError: Deletion of some consumer groups failed:\n* Group "
                                   "'{}' could not be deleted due to: {}",
                                   id, std::string(status.message()))
                     : fmt::format("{}: {}", id, std::string(status.message())));
    }
    json.EndObject();
  }
  json.EndArray();
  const bool all = deleted.size() == names->size();
  if (arguments->kafka.has_value()) text = KafkaDeletedText(deleted, all);
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return all ? kExitOk : kExitFailed;
}

using GroupAction = Task<int> (*)(ClientSession*, std::shared_ptr<GroupArguments>);

Command AddGroupVerb(Command& group, ChosenCommand& chosen, const char* name, const char* what,
                     GroupAction action, const std::shared_ptr<GroupArguments>& arguments) {
  Command verb = group.AddVerb(name, what);
  AddClientOptions(verb, arguments->client);
  verb.AddOption("--kafka", arguments->kafka, "").Hidden();  // For the tools of Kafka's names.
  verb.OnChosen([arguments, action, &chosen] {
    chosen = [arguments, action] {
      return RunClientVerb(arguments->client, [arguments, action](ClientSession* session) {
        return action(session, arguments);
      });
    };
  });
  return verb;
}

// The names of a set, whatever their case, as this file compares them.
ValueCheck OneOfIgnoringCase(std::vector<std::string> known, const char* what) {
  return [known = std::move(known), what](const std::string& text) {
    std::string accepted;
    for (const std::string& name : known) {
      if (LowerCase(name) == LowerCase(text)) return std::string();
      accepted += (accepted.empty() ? "" : ", ") + name;
    }
    return fmt::format("'{}' is no {} of a group: {} are accepted", text, what, accepted);
  };
}

void AddList(Command& group, ChosenCommand& chosen) {
  auto list = std::make_shared<GroupArguments>();
  Command verb = AddGroupVerb(group, chosen, "list", "List groups", ShowGroupList, list);
  verb.AddOption("--state", list->states, "Only groups in one of these")
      .TypeName("STATE,...")
      .Delimiter(',')
      .Check(OneOfIgnoringCase({"Empty", "PreparingRebalance", "CompletingRebalance", "Stable",
                                "Dead", "Assigning", "Reconciling"},
                               "state"))
      .Transform(LowerCase);
  verb.AddOption("--type", list->types, "Only groups of one of these")
      .TypeName("TYPE,...")
      .Delimiter(',')
      .Check(OneOfIgnoringCase({"classic", "consumer", "share", "streams"}, "type"))
      .Transform(LowerCase);
  verb.AddOption("--protocol", list->protocol, "Only groups of this protocol: consumer, connect")
      .TypeName("NAME");
  verb.AddFlag("--consumers", list->consumers, "Only groups of consumers");
  Option lag = verb.AddFlag("--lag", list->lag,
                            "How far behind each is, too: asks for each group's positions");
  verb.AddFlag("--names", list->only_names, "A name on each line, and nothing else").Excludes(lag);
}

}  // namespace

void AddGroupCommand(Command& program, ChosenCommand& chosen) {
  Command group = program.AddVerb("group", "List, describe, reset and delete consumer groups");
  group.RequireVerb();

  AddList(group, chosen);

  auto describe = std::make_shared<GroupArguments>();
  Command verb = AddGroupVerb(group, chosen, "describe", "Show positions, lag and members",
                              DescribeGroups, describe);
  verb.AddOption("GROUP", describe->names, "Groups; none: all of consumers").TypeName("");
  verb.AddFlag("--members", describe->members, "Members instead of partitions");
  verb.AddFlag("--verbose", describe->verbose, "").Hidden();
  verb.AddFlag("--all-groups", describe->all, "").Hidden();

  auto remove = std::make_shared<GroupArguments>();
  verb = AddGroupVerb(group, chosen, "delete", "Delete groups that have no members, with positions",
                      DeleteGroups, remove);
  verb.AddOption("GROUP", remove->names, "Groups").TypeName("");
  verb.AddFlag("--all-groups", remove->all, "All of consumers");

  AddGroupOffsetsCommands(group, chosen);
}

}  // namespace millrace

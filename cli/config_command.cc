// `millrace config describe|set`: the configuration of topics and brokers, as it is in force.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/describe_configs_request.h"
#include "proto/kafka/describe_configs_response.h"
#include "proto/kafka/incremental_alter_configs_request.h"
#include "proto/kafka/incremental_alter_configs_response.h"

namespace millrace {
namespace {

// Brokers that are asked side by side. Higher: less to wait for where many are silent.
constexpr size_t kAskedTogetherMax = 64;
constexpr int8_t kTopicResource = 2;
constexpr int8_t kBrokerResource = 4;
constexpr int8_t kSetOperation = 0;
constexpr int8_t kDeleteOperation = 1;
constexpr int8_t kTopicSource = 1;
constexpr int8_t kBrokerSource = 2;
constexpr int8_t kDefaultBrokerSource = 3;

struct ConfigArguments {
  ClientArguments client;
  std::string type = "topic";
  std::vector<std::string> names;
  bool defaults = false;             // Of all brokers.
  bool all = false;                  // Also what nobody set.
  bool kafka = false;                // In the layout of kafka-configs.
  std::vector<std::string> changes;  // NAME=VALUE
  std::vector<std::string> deletions;

  int8_t resource() const { return type == "topic" ? kTopicResource : kBrokerResource; }
};

using Entry = kafka::DescribeConfigsResponse::DescribeConfigsResourceResult;
using Resource = kafka::DescribeConfigsResponse::DescribeConfigsResult;

std::string_view SourceName(int8_t source) {
  switch (source) {
    case 1:
      return "DYNAMIC_TOPIC_CONFIG";
    case 2:
      return "DYNAMIC_BROKER_CONFIG";
    case 3:
      return "DYNAMIC_DEFAULT_BROKER_CONFIG";
    case 4:
      return "STATIC_BROKER_CONFIG";
    case 5:
      return "DEFAULT_CONFIG";
    case 6:
      return "DYNAMIC_BROKER_LOGGER_CONFIG";
    default:
      return "UNKNOWN";
  }
}

// Whether somebody set it for this very resource.
bool IsOwn(const Entry& entry, const Resource& resource) {
  if (resource.resource_type == kTopicResource) return entry.config_source == kTopicSource;
  if (resource.resource_name.empty()) return entry.config_source == kDefaultBrokerSource;
  return entry.config_source == kBrokerSource;
}

std::optional<int32_t> BrokerIdOf(const std::string& name) {
  int32_t id = 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc() || rest != end) return std::nullopt;
  return id;
}

std::string WhoKafka(const Resource& resource, const ConfigArguments& arguments) {
  if (arguments.type == "topic") return fmt::format("topic {}", resource.resource_name);
  if (resource.resource_name.empty()) return "brokers in the cluster";
  return fmt::format("broker {}", resource.resource_name);
}

std::string KafkaLayout(const Resource& resource, const ConfigArguments& arguments) {
  const bool is_default = arguments.type == "broker" && resource.resource_name.empty();
  std::string text = fmt::format("{} configs for {} are:\n",
                                 is_default      ? "Default"
                                 : arguments.all ? "All"
                                                 : "Dynamic",
                                 WhoKafka(resource, arguments));
  for (const Entry& entry : resource.configs) {
    std::vector<std::string> synonyms;
    for (const auto& synonym : entry.synonyms) {
      synonyms.push_back(fmt::format("{}:{}={}", SourceName(synonym.source), synonym.name,
                                     synonym.value.value_or("null")));
    }
    text +=
        fmt::format("  {}={} sensitive={} synonyms={{{}}}\n", entry.name,
                    entry.value.value_or("null"), entry.is_sensitive, fmt::join(synonyms, ", "));
  }
  return text;
}

std::string OwnLayout(const Resource& resource, const ConfigArguments& arguments) {
  TextTable table({{"NAME", TextTable::Align::kLeft},
                   {"VALUE", TextTable::Align::kLeft},
                   {"SOURCE", TextTable::Align::kLeft}});
  for (const Entry& entry : resource.configs) {
    table.AddRow({entry.name, entry.is_sensitive ? "(secret)" : entry.value.value_or("(none)"),
                  std::string(SourceName(entry.config_source))});
  }
  return fmt::format("{} {}\n{}\n", arguments.type,
                     resource.resource_name.empty() ? "defaults" : resource.resource_name,
                     table.ToString());
}

void Json(const Resource& resource, const ConfigArguments& arguments, JsonWriter& json) {
  json.BeginObject().Key("type").String(arguments.type);
  json.Key("name").String(resource.resource_name).Key("configs").BeginArray();
  for (const Entry& entry : resource.configs) {
    json.BeginObject().Key("name").String(entry.name).Key("value");
    entry.value.has_value() ? json.String(*entry.value) : json.Null();
    json.Key("source").String(SourceName(entry.config_source));
    json.Key("read_only").Bool(entry.read_only).Key("sensitive").Bool(entry.is_sensitive);
    json.EndObject();
  }
  json.EndArray().EndObject();
}

// What is asked about: the names given, or everything of the kind.
Task<absl::StatusOr<std::vector<std::string>>> NamesOf(ClientSession* session,
                                                       const ConfigArguments* arguments) {
  if (!arguments->names.empty()) co_return arguments->names;
  if (arguments->defaults) co_return std::vector<std::string>{""};
  absl::StatusOr<kafka::MetadataResponse> metadata =
      co_await session->client.Metadata(std::nullopt, /*create=*/false, session->Deadline());
  if (!metadata.ok()) co_return metadata.status();
  std::vector<std::string> names;
  if (arguments->type == "topic") {
    for (const auto& topic : metadata->topics) names.push_back(topic.name.value_or(""));
    std::ranges::sort(names);
  } else {
    for (const auto& broker : metadata->brokers) names.push_back(fmt::format("{}", broker.node_id));
    names.emplace_back();  // The defaults.
  }
  co_return names;
}

// What one broker says of `names`; only a broker itself can tell its own.
Task<absl::StatusOr<std::vector<Resource>>> AskConfigs(ClientSession* session, int8_t type,
                                                       std::vector<std::string> names,
                                                       std::optional<BrokerId> broker) {
  kafka::DescribeConfigsRequest request;
  request.include_synonyms = true;
  for (std::string& name : names) {
    kafka::DescribeConfigsRequest::DescribeConfigsResource resource;
    resource.resource_type = type;
    resource.resource_name = std::move(name);
    resource.configuration_keys = std::nullopt;
    request.resources.push_back(std::move(resource));
  }
  using Response = kafka::DescribeConfigsResponse;
  const Instant deadline = session->Deadline();
  absl::StatusOr<Response> response;
  if (broker.has_value()) {
    response = co_await session->client.CallBroker<Response>(*broker, std::move(request), deadline);
  } else {
    response = co_await session->client.CallAny<Response>(std::move(request), deadline);
  }
  if (!response.ok()) co_return response.status();
  co_return std::move(response->results);
}

// A broker that is asked for its own.
struct AskedBroker {
  std::string name;
  BrokerId id;
  absl::StatusOr<std::vector<Resource>> own = absl::UnknownError("not asked");
};

// Those that are nobody's yet, one after the other.
Task<void> AskBrokers(ClientSession* session, std::vector<AskedBroker>* brokers, size_t* next) {
  while (*next < brokers->size()) {
    const size_t mine = (*next)++;
    const AskedBroker asked = (*brokers)[mine];
    auto own = co_await AskConfigs(session, kBrokerResource, {asked.name}, asked.id);
    (*brokers)[mine].own = std::move(own);
  }
}

// All of `names`; of a broker that cannot be asked, what hindered it. Brokers are asked side by side:
// one that is silent costs its whole time-out.
Task<absl::StatusOr<std::vector<Resource>>> AskAllConfigs(
    ClientSession* session, std::shared_ptr<ConfigArguments> arguments,
    std::vector<std::string> names, std::vector<std::string>* failures) {
  const int8_t type = arguments->resource();
  std::vector<std::string> of_any;
  std::vector<AskedBroker> brokers;
  std::vector<Resource> all;
  if (type == kBrokerResource) {  // Where brokers are.
    auto metadata = co_await session->client.Metadata(std::vector<std::string>(), /*create=*/false,
                                                      session->Deadline());
    if (!metadata.ok()) co_return metadata.status();
  }
  for (std::string& name : names) {
    const std::optional<int32_t> id = type == kBrokerResource ? BrokerIdOf(name) : std::nullopt;
    if (id.has_value()) {
      brokers.push_back({.name = std::move(name), .id = BrokerId(*id)});
    } else {
      of_any.push_back(std::move(name));
    }
  }
  size_t next = 0;
  TaskScope asking(session->env.reactor);
  for (size_t i = 0; i < std::min(brokers.size(), kAskedTogetherMax); ++i) {
    asking.Spawn(AskBrokers(session, &brokers, &next));
  }
  co_await asking.Join();
  std::optional<BrokerId> answers;  // It will tell the rest, too.
  for (AskedBroker& broker : brokers) {
    if (broker.own.ok()) {
      answers = broker.id;
      std::ranges::move(*broker.own, std::back_inserter(all));
    } else {
      failures->push_back(
          fmt::format("broker {}: {}", broker.name, std::string(broker.own.status().message())));
    }
  }
  if (!of_any.empty()) {
    auto others = co_await AskConfigs(session, type, std::move(of_any), answers);
    if (!others.ok()) co_return others.status();
    std::ranges::move(*others, std::back_inserter(all));
  }
  co_return all;
}

Task<int> DescribeConfigs(ClientSession* session, std::shared_ptr<ConfigArguments> arguments) {
  absl::StatusOr<std::vector<std::string>> names = co_await NamesOf(session, arguments.get());
  if (!names.ok()) {
    PrintError(names.status());
    co_return kExitFailed;
  }
  std::vector<std::string> failures;
  absl::StatusOr<std::vector<Resource>> found =
      co_await AskAllConfigs(session, arguments, *std::move(names), &failures);
  if (!found.ok()) {
    PrintError(found.status());
    co_return kExitFailed;
  }
  for (const std::string& failure : failures) PrintError(failure);
  int exit_status = failures.empty() ? kExitOk : kExitFailed;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (Resource& resource : *found) {
    if (resource.error_code != 0) {
      PrintError(fmt::format(
          "{}: {}", WhoKafka(resource, *arguments),
          std::string(KafkaFailure(resource.error_code, resource.error_message).message())));
      exit_status = kExitFailed;
      continue;
    }
    if (!arguments->all) {
      std::erase_if(resource.configs, [&](const Entry& entry) { return !IsOwn(entry, resource); });
    }
    if (arguments->client.json()) {
      Json(resource, *arguments, json);
    } else {
      text +=
          arguments->kafka ? KafkaLayout(resource, *arguments) : OwnLayout(resource, *arguments);
    }
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return exit_status;
}

Task<int> SetConfigs(ClientSession* session, std::shared_ptr<ConfigArguments> arguments) {
  if (arguments->names.empty() && !arguments->defaults) {
    PrintError("--name, or --defaults with --type broker, says whose configuration it is");
    co_return kExitUsage;
  }
  if (arguments->changes.empty() && arguments->deletions.empty()) {
    PrintError("NAME=VALUE or --delete NAME says what is to change");
    co_return kExitUsage;
  }
  kafka::IncrementalAlterConfigsRequest request;
  std::vector<std::string> names = arguments->names;
  if (arguments->defaults) names.emplace_back();
  for (const std::string& name : names) {
    kafka::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = arguments->resource();
    resource.resource_name = name;
    for (const std::string& change : arguments->changes) {
      const size_t equals = change.find('=');
      resource.configs.push_back(
          {change.substr(0, equals), kSetOperation, change.substr(equals + 1)});
    }
    for (const std::string& key : arguments->deletions) {
      resource.configs.push_back({key, kDeleteOperation, std::nullopt});
    }
    request.resources.push_back(std::move(resource));
  }
  absl::StatusOr<kafka::IncrementalAlterConfigsResponse> response =
      co_await session->client.CallAny<kafka::IncrementalAlterConfigsResponse>(std::move(request),
                                                                               session->Deadline());
  if (!response.ok()) {
    PrintError(response.status());
    co_return kExitFailed;
  }
  int exit_status = kExitOk;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const auto& result : response->responses) {
    const bool is_default = arguments->type == "broker" && result.resource_name.empty();
    const std::string who = is_default
                                ? "brokers in the cluster"
                                : fmt::format("{} {}", arguments->type, result.resource_name);
    json.BeginObject().Key("type").String(arguments->type);
    json.Key("name").String(result.resource_name);
    if (result.error_code != 0) {
      const std::string why(KafkaFailure(result.error_code, result.error_message).message());
      json.Key("error").String(why);
      PrintError(fmt::format("{}: {}", who, why));
      exit_status = kExitFailed;
    } else {
      json.Key("result").String("altered");
      text +=
          fmt::format("Completed updating {}config for {}.\n", is_default ? "default " : "", who);
    }
    json.EndObject();
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return exit_status;
}

std::string CheckChange(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0) return {};
  return fmt::format("'{}' is no configuration: name=value is accepted", text);
}

// Whose configuration it is.
void AddResourceOptions(Command& verb, ConfigArguments& arguments) {
  verb.AddOption("-t,--type", arguments.type, "topic or broker")
      .TypeName("KIND")
      .ShowDefault()
      .OneOf({"topic", "broker"});
  verb.AddOption("-n,--name", arguments.names, "Which; may be repeated")
      .TypeName("NAME")
      .OneValueEach();
  verb.AddFlag("--defaults", arguments.defaults, "What all brokers are given");
  verb.AddFlag("--kafka", arguments.kafka, "In the layout of kafka-configs");
}

}  // namespace

void AddConfigCommand(Command& program, ChosenCommand& chosen) {
  Command config = program.AddVerb("config", "Show and change what topics and brokers are set to");
  config.RequireVerb();

  auto describe = std::make_shared<ConfigArguments>();
  Command verb =
      AddClientVerb(config, chosen, "describe", "Show what was set", DescribeConfigs, describe);
  AddResourceOptions(verb, *describe);
  verb.AddFlag("-a,--all", describe->all, "Also defaults and what the server's file says");

  auto set = std::make_shared<ConfigArguments>();
  verb = AddClientVerb(config, chosen, "set", "Change it while the cluster runs", SetConfigs, set);
  AddResourceOptions(verb, *set);
  verb.AddOption("NAME=VALUE", set->changes, "What to set").TypeName("").Check(CheckChange);
  verb.AddOption("-d,--delete", set->deletions, "Back to its default; may be repeated")
      .TypeName("NAME")
      .OneValueEach();
}

}  // namespace millrace

#include "cli/kafka/kafka_tools.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

using Words = std::vector<std::string>;

constexpr std::array<std::string_view, 9> kTools = {"topics",
                                                    "configs",
                                                    "console-producer",
                                                    "console-consumer",
                                                    "broker-api-versions",
                                                    "storage",
                                                    "get-offsets",
                                                    "consumer-groups",
                                                    "groups"};

absl::Status Invalid(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

// What a tool was called with: flags that take a value may be repeated.
class Flags {
 public:
  // What stands in `valued` and in `bare` may have a value: the next word, unless that is a flag.
  Flags(std::string_view tool, std::set<std::string_view> valued, std::set<std::string_view> bare)
      : tool_(tool), valued_(std::move(valued)), bare_(std::move(bare)) {}

  absl::Status Read(const Words& arguments) {
    for (size_t i = 0; i < arguments.size(); ++i) {
      const size_t equals =
          arguments[i].starts_with("--") ? arguments[i].find('=') : std::string::npos;
      const std::string name = arguments[i].substr(0, equals);
      const bool with_next = i + 1 < arguments.size() && !arguments[i + 1].starts_with('-');
      if (bare_.contains(name) && equals == std::string::npos &&
          !(valued_.contains(name) && with_next)) {
        seen_[name];
      } else if (valued_.contains(name)) {
        if (equals == std::string::npos && i + 1 == arguments.size()) {
          return Invalid(fmt::format("Option {} requires an argument", name));
        }
        seen_[name].push_back(equals == std::string::npos ? arguments[++i]
                                                          : arguments[i].substr(equals + 1));
      } else {
        return Invalid(fmt::format(
            "kafka-{}: {} is not understood here. Kafka's own kafka-{}.sh works with this cluster "
            "too",
            tool_, arguments[i], tool_));
      }
    }
    return absl::OkStatus();
  }

  bool Has(const std::string& name) const { return seen_.contains(name); }
  std::optional<std::string> Get(const std::string& name) const {
    auto found = seen_.find(name);
    if (found == seen_.end() || found->second.empty()) return std::nullopt;
    return found->second.back();
  }
  Words All(const std::string& name) const {
    auto found = seen_.find(name);
    return found == seen_.end() ? Words() : found->second;
  }
  // The value of `name`, as the value of our flag `as`.
  void Pass(const std::string& name, const std::string& as, Words& to) const {
    for (const std::string& value : All(name)) {
      to.push_back(as);
      to.push_back(value);
    }
  }
  absl::StatusOr<std::string> Need(const std::string& name) const {
    std::optional<std::string> value = Get(name);
    if (!value.has_value())
      return Invalid(fmt::format("Missing required argument \"[{}]\"", name.substr(2)));
    return *value;
  }
  void PassServers(Words& to) const {
    for (const char* name : {"--bootstrap-server", "--broker-list", "--bootstrap-controller"}) {
      if (std::optional<std::string> servers = Get(name)) {
        to.insert(to.end(), {"--bootstrap-server", *servers});
      }
    }
  }

 private:
  const std::string_view tool_;
  const std::set<std::string_view> valued_;
  const std::set<std::string_view> bare_;
  std::map<std::string, Words> seen_;
};

// "a=1,b=[x,y],c=2" → "a=1", "b=x,y", "c=2".
Words SplitConfigs(std::string_view text) {
  Words configs(1);
  bool inside = false;
  for (char c : text) {
    if (c == '[' && configs.back().ends_with('=')) {
      inside = true;
    } else if (c == ']' && inside) {
      inside = false;
    } else if (c == ',' && !inside) {
      configs.emplace_back();
    } else {
      configs.back() += c;
    }
  }
  std::erase(configs, "");
  return configs;
}

absl::StatusOr<Words> Topics(const Words& arguments) {
  Flags flags(
      "topics",
      {"--bootstrap-server", "--command-config", "--topic", "--partitions", "--replication-factor",
       "--config"},
      {"--create", "--list", "--describe", "--alter", "--delete", "--if-exists", "--if-not-exists",
       "--exclude-internal", "--under-replicated-partitions", "--unavailable-partitions"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  const int actions = flags.Has("--create") + flags.Has("--list") + flags.Has("--describe") +
                      flags.Has("--alter") + flags.Has("--delete");
  if (actions != 1) {
    return Invalid(
        "Command must include exactly one action: --list, --describe, --create, --alter or "
        "--delete");
  }
  Words out = {"topic"};
  if (flags.Has("--list")) {
    out.insert(out.end(), {"list", "--names"});
    if (!flags.Has("--exclude-internal")) out.emplace_back("--internal");
  } else if (flags.Has("--describe")) {
    out.emplace_back("describe");
    if (!flags.Has("--exclude-internal")) out.emplace_back("--internal");
    if (flags.Has("--under-replicated-partitions")) out.emplace_back("--under-replicated");
    if (flags.Has("--unavailable-partitions")) out.emplace_back("--unavailable");
    if (std::optional<std::string> topic = flags.Get("--topic")) out.push_back(*topic);
  } else {
    MR_ASSIGN_OR_RETURN(const std::string topic, flags.Need("--topic"));
    out.emplace_back(flags.Has("--create") ? "create" : flags.Has("--alter") ? "alter" : "delete");
    out.push_back(topic);
    flags.Pass("--partitions", "--partitions", out);
    flags.Pass("--replication-factor", "--replication-factor", out);
    flags.Pass("--config", "--config", out);
    if (flags.Has("--if-not-exists")) out.emplace_back("--if-not-exists");
    if (flags.Has("--if-exists") && flags.Has("--delete")) out.emplace_back("--if-exists");
  }
  flags.PassServers(out);
  return out;
}

absl::StatusOr<Words> Configs(const Words& arguments) {
  Flags flags("configs",
              {"--bootstrap-server", "--command-config", "--entity-type", "--entity-name",
               "--topic", "--broker", "--add-config", "--delete-config"},
              {"--describe", "--alter", "--all", "--entity-default", "--broker-defaults"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  if (flags.Has("--describe") == flags.Has("--alter")) {
    return Invalid("Command must include exactly one action: --describe, --alter");
  }
  std::string type = flags.Get("--entity-type").value_or("");
  std::optional<std::string> name = flags.Get("--entity-name");
  if (std::optional<std::string> topic = flags.Get("--topic")) {
    type = "topics";
    name = topic;
  } else if (std::optional<std::string> broker = flags.Get("--broker")) {
    type = "brokers";
    name = broker;
  } else if (flags.Has("--broker-defaults")) {
    type = "brokers";
  }
  if (type != "topics" && type != "brokers") {
    return Invalid(fmt::format("--entity-type {}: topics and brokers are understood here",
                               type.empty() ? "is missing" : type));
  }
  const bool defaults = flags.Has("--entity-default") || flags.Has("--broker-defaults");
  Words out = {"config", flags.Has("--describe") ? "describe" : "set", "--kafka"};
  out.insert(out.end(), {"--type", type == "topics" ? "topic" : "broker"});
  if (name.has_value()) out.insert(out.end(), {"--name", *name});
  if (defaults) out.emplace_back("--defaults");
  if (flags.Has("--describe")) {
    if (flags.Has("--all")) out.emplace_back("--all");
  } else {
    if (!name.has_value() && !defaults) {
      return Invalid("--entity-name or --entity-default must be specified with --alter");
    }
    for (const std::string& text : flags.All("--add-config")) {
      for (std::string& config : SplitConfigs(text)) out.push_back(std::move(config));
    }
    for (const std::string& text : flags.All("--delete-config")) {
      for (std::string& config : SplitConfigs(text)) {
        out.insert(out.end(), {"--delete", std::move(config)});
      }
    }
  }
  flags.PassServers(out);
  return out;
}

// key=value properties of --property, --formatter-property and --reader-property.
std::map<std::string, std::string> PropertiesOf(const Flags& flags,
                                                std::initializer_list<const char*> names) {
  std::map<std::string, std::string> properties;
  for (const char* name : names) {
    for (const std::string& text : flags.All(name)) {
      const size_t equals = text.find('=');
      if (equals != std::string::npos) properties[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  return properties;
}

bool IsTrue(const std::map<std::string, std::string>& properties, const std::string& name) {
  auto found = properties.find(name);
  return found != properties.end() && found->second == "true";
}

std::string ValueOr(const std::map<std::string, std::string>& properties, const std::string& name,
                    const char* otherwise) {
  auto found = properties.find(name);
  return found == properties.end() ? otherwise : found->second;
}

absl::StatusOr<Words> ConsoleProducer(const Words& arguments) {
  Flags flags("console-producer",
              {"--bootstrap-server",
               "--broker-list",
               "--topic",
               "--property",
               "--reader-property",
               "--producer-property",
               "--command-property",
               "--producer.config",
               "--command-config",
               "--request-required-acks",
               "--compression-codec",
               "--timeout",
               "--request-timeout-ms",
               "--batch-size",
               "--max-block-ms",
               "--message-send-max-retries",
               "--retry-backoff-ms",
               "--max-memory-bytes",
               "--max-partition-memory-bytes",
               "--metadata-expiry-ms",
               "--socket-buffer-size"},
              {"--sync"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  MR_ASSIGN_OR_RETURN(const std::string topic, flags.Need("--topic"));
  Words out = {"produce", topic};
  const auto reader = PropertiesOf(flags, {"--property", "--reader-property"});
  if (IsTrue(reader, "parse.key")) {
    out.insert(out.end(), {"--key-delimiter", ValueOr(reader, "key.separator", "\\t")});
  }
  const auto producer = PropertiesOf(flags, {"--producer-property", "--command-property"});
  const std::string acks =
      flags.Get("--request-required-acks").value_or(ValueOr(producer, "acks", "all"));
  out.insert(out.end(), {"--acks", acks});
  const std::string codec =
      flags.Get("--compression-codec").value_or(ValueOr(producer, "compression.type", "none"));
  out.insert(out.end(), {"--compression", codec});
  flags.PassServers(out);
  return out;
}

// The format that prints a record as Kafka's DefaultMessageFormatter does.
std::string FormatOf(const std::map<std::string, std::string>& properties) {
  std::string separator;
  for (char c : ValueOr(properties, "key.separator", "\\t")) separator.append(c == '%' ? 2 : 1, c);
  std::string format;
  auto field = [&](const char* name, const char* text) {
    if (IsTrue(properties, name)) format += text + separator;
  };
  field("print.timestamp", "CreateTime:%T");
  field("print.partition", "Partition:%p");
  field("print.offset", "Offset:%o");
  field("print.headers", "%h");
  field("print.key", "%k");
  if (!properties.contains("print.value") || IsTrue(properties, "print.value")) {
    format += "%s";
  } else if (!format.empty()) {
    format.resize(format.size() - separator.size());
  }
  return format + "\\n";
}

absl::StatusOr<Words> ConsoleConsumer(const Words& arguments) {
  Flags flags(
      "console-consumer",
      {"--bootstrap-server", "--topic", "--property", "--formatter-property", "--consumer-property",
       "--command-property", "--consumer.config", "--command-config", "--max-messages",
       "--timeout-ms", "--partition", "--offset", "--group", "--isolation-level", "--formatter"},
      {"--from-beginning", "--skip-message-on-error", "--enable-systest-events"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  MR_ASSIGN_OR_RETURN(const std::string topic, flags.Need("--topic"));
  Words out = {"consume", topic, "--summary"};
  flags.Pass("--partition", "--partition", out);
  const auto consumer = PropertiesOf(flags, {"--consumer-property", "--command-property"});
  const std::string group = flags.Get("--group").value_or(ValueOr(consumer, "group.id", ""));
  if (!group.empty()) out.insert(out.end(), {"--group", group});
  const std::string offset = flags.Get("--offset").value_or("latest");
  out.insert(out.end(),
             {"--offset", flags.Has("--from-beginning") || offset == "earliest" ? "beginning"
                          : offset == "latest"                                  ? "end"
                                                                                : offset});
  flags.Pass("--max-messages", "--count", out);
  if (std::optional<std::string> idle = flags.Get("--timeout-ms")) {
    out.insert(out.end(), {"--idle-exit", *idle + "ms"});
  }
  out.insert(out.end(),
             {"--format", FormatOf(PropertiesOf(flags, {"--property", "--formatter-property"}))});
  flags.PassServers(out);
  return out;
}

absl::StatusOr<Words> BrokerApiVersions(const Words& arguments) {
  Flags flags("broker-api-versions",
              {"--bootstrap-server", "--bootstrap-controller", "--command-config", "--timeout"},
              {});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  Words out = {"api-versions"};
  flags.PassServers(out);
  return out;
}

// Takes care of --list of kafka-consumer-groups.
Words ListGroupsWords(const Flags& flags) {
  Words out = {"group", "list", "--consumers"};
  for (const char* name : {"--state", "--type"}) {
    if (std::optional<std::string> value = flags.Get(name)) {
      std::erase(*value, ' ');
      out.insert(out.end(), {name, *value});
    }
  }
  if (!flags.Has("--state") && !flags.Has("--type")) {
    out.emplace_back("--names");
  } else {
    out.insert(out.end(), {"--kafka", std::string(flags.Has("--type") ? "types" : "") +
                                          (flags.Has("--state") ? "states" : "")});
  }
  return out;
}

absl::StatusOr<Words> DescribeGroupsWords(const Flags& flags) {
  if (flags.Has("--members") + flags.Has("--offsets") + flags.Has("--state") > 1) {
    return Invalid(
        "Option [describe] takes at most one of these options: [members], [offsets], [state]");
  }
  Words out = {"group", "describe", "--kafka",
               flags.Has("--members") ? "members"
               : flags.Has("--state") ? "state"
                                      : "offsets"};
  if (flags.Has("--verbose")) out.emplace_back("--verbose");
  return out;
}

absl::StatusOr<Words> ResetOffsetsWords(const Flags& flags) {
  if (flags.Has("--dry-run") && flags.Has("--execute")) {
    return Invalid("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
  }
  Words out = {"group", "reset-offsets", "--kafka", flags.Has("--export") ? "export" : "table"};
  for (const char* name :
       {"--to-earliest", "--to-latest", "--to-current", "--all-topics", "--execute"}) {
    if (flags.Has(name)) out.emplace_back(name);
  }
  for (const char* name :
       {"--to-offset", "--shift-by", "--to-datetime", "--by-duration", "--from-file"}) {
    // As one word: the value may begin with a minus.
    if (std::optional<std::string> value = flags.Get(name)) {
      out.push_back(fmt::format("{}={}", name, *value));
    }
  }
  flags.Pass("--topic", "--topic", out);
  return out;
}

absl::StatusOr<Words> ConsumerGroups(const Words& arguments) {
  Flags flags(
      "consumer-groups",
      {"--bootstrap-server", "--command-config", "--group", "--topic", "--timeout", "--state",
       "--type", "--to-offset", "--shift-by", "--to-datetime", "--by-duration", "--from-file"},
      {"--list", "--describe", "--delete", "--reset-offsets", "--delete-offsets", "--all-groups",
       "--all-topics", "--members", "--offsets", "--verbose", "--state", "--type", "--dry-run",
       "--execute", "--export", "--to-earliest", "--to-latest", "--to-current"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  const int actions = flags.Has("--list") + flags.Has("--describe") + flags.Has("--delete") +
                      flags.Has("--reset-offsets") + flags.Has("--delete-offsets");
  if (actions != 1) {
    return Invalid(
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, "
        "--delete-offsets");
  }
  const Words groups = flags.All("--group");
  if (!flags.Has("--list") && groups.empty() && !flags.Has("--all-groups")) {
    return Invalid("It takes one of these options: [group], [all-groups]");
  }
  Words out;
  if (flags.Has("--list")) {
    out = ListGroupsWords(flags);
  } else if (flags.Has("--describe")) {
    MR_ASSIGN_OR_RETURN(out, DescribeGroupsWords(flags));
  } else if (flags.Has("--delete")) {
    out = {"group", "delete", "--kafka", "table"};
  } else if (flags.Has("--reset-offsets")) {
    MR_ASSIGN_OR_RETURN(out, ResetOffsetsWords(flags));
  } else {
    out = {"group", "delete-offsets", "--kafka", "table"};
    flags.Pass("--topic", "--topic", out);
  }
  if (!flags.Has("--list")) {
    if (flags.Has("--all-groups")) out.emplace_back("--all-groups");
    for (const std::string& group : groups) out.push_back(group);
  }
  if (std::optional<std::string> timeout = flags.Get("--timeout")) {
    out.insert(out.end(), {"--timeout", *timeout + "ms"});
  }
  flags.PassServers(out);
  return out;
}

absl::StatusOr<Words> Groups(const Words& arguments) {
  Flags flags("groups", {"--bootstrap-server", "--command-config", "--group-type", "--protocol"},
              {"--list", "--consumer", "--share", "--streams"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  if (!flags.Has("--list")) return Invalid("Command must include exactly one action: --list.");
  Words out = {"group", "list", "--kafka", "groups"};
  if (flags.Has("--consumer")) out.emplace_back("--consumers");
  if (flags.Has("--share")) out.insert(out.end(), {"--type", "share"});
  if (flags.Has("--streams")) out.insert(out.end(), {"--type", "streams"});
  flags.Pass("--group-type", "--type", out);
  flags.Pass("--protocol", "--protocol", out);
  flags.PassServers(out);
  return out;
}

absl::StatusOr<Words> GetOffsets(const Words& arguments) {
  Flags flags("get-offsets",
              {"--bootstrap-server", "--broker-list", "--command-config", "--topic", "--partitions",
               "--topic-partitions", "--time"},
              {"--exclude-internal-topics"});
  MR_RETURN_IF_ERROR(flags.Read(arguments));
  Words out = {"topic", "offsets", "--kafka"};
  if (std::optional<std::string> topic = flags.Get("--topic")) out.push_back(*topic);
  flags.Pass("--partitions", "--partitions", out);
  flags.Pass("--topic-partitions", "--topic-partitions", out);
  if (std::optional<std::string> time = flags.Get("--time")) out.push_back("--time=" + *time);
  if (!flags.Has("--exclude-internal-topics")) out.emplace_back("--internal");
  flags.PassServers(out);
  return out;
}

}  // namespace

std::optional<std::string> KafkaToolOf(std::string_view program) {
  program.remove_prefix(program.rfind('/') == std::string_view::npos ? 0 : program.rfind('/') + 1);
  constexpr std::string_view kPrefix = "kafka-";
  constexpr std::string_view kSuffix = ".sh";
  if (!program.starts_with(kPrefix)) return std::nullopt;
  program.remove_prefix(kPrefix.size());
  if (program.ends_with(kSuffix)) program.remove_suffix(kSuffix.size());
  if (std::ranges::find(kTools, program) == kTools.end()) return std::nullopt;
  return std::string(program);
}

absl::StatusOr<std::vector<std::string>> TranslateKafkaTool(std::string_view tool,
                                                            std::vector<std::string> arguments) {
  if (std::ranges::find(arguments, "--version") != arguments.end()) return Words{"version"};
  if (tool == "topics") return Topics(arguments);
  if (tool == "configs") return Configs(arguments);
  if (tool == "console-producer") return ConsoleProducer(arguments);
  if (tool == "console-consumer") return ConsoleConsumer(arguments);
  if (tool == "broker-api-versions") return BrokerApiVersions(arguments);
  if (tool == "get-offsets") return GetOffsets(arguments);
  if (tool == "consumer-groups") return ConsumerGroups(arguments);
  if (tool == "groups") return Groups(arguments);
  if (tool == "storage") {
    arguments.insert(arguments.begin(), "storage");  // The same flags.
    return arguments;
  }
  return Invalid(fmt::format("kafka-{} is not among the tools here", tool));
}

}  // namespace millrace

// `millrace top`: what nodes do, second by second, from their /metrics.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/admin_client.h"
#include "cli/client_verb.h"
#include "cli/cluster/node_reading.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/quiet_shard.h"
#include "cli/text_table.h"
#include "common/config/listener.h"
#include "common/json/json_writer.h"
#include "common/runtime/event.h"

namespace millrace {
namespace {

using Align = TextTable::Align;

struct TopArguments {
  std::vector<std::string> admin = {"127.0.0.1:9644"};
  int32_t interval = 1;  // Seconds.
  int32_t rounds = 0;    // 0: until it is ended.
  std::string output = "text";
};

// A node that is looked at again and again.
struct Watched {
  SocketAddress address;
  std::string failure = {};              // Why the last look failed.
  std::optional<MetricPage> first = {};  // Of its process.
  std::optional<MetricPage> before = {};
  Instant looked{0};
  std::optional<NodeReading> reading = {};  // The last one there was.
};

Task<void> Look(Env* env, Watched* node) {
  absl::StatusOr<HttpAnswer> answer = co_await AskAdmin(env, node->address, "/metrics");
  const Instant now = env->reactor.Now();
  if (answer.ok() && answer->status != 200) {
    answer = absl::UnavailableError(fmt::format("HTTP status {}", answer->status));
  }
  if (!answer.ok()) {
    node->failure = std::string(answer.status().message());
    co_return;
  }
  node->failure.clear();
  MetricPage page = MetricPage::Parse(answer->body);
  constexpr std::string_view kUptime = "millrace_uptime_seconds";
  const bool anew = node->before.has_value() && page.Value(kUptime) < node->before->Value(kUptime);
  if (!node->first.has_value() || anew) node->first = page;
  if (node->before.has_value()) {
    const double seconds = static_cast<double>((now - node->looked).count()) / 1e9;
    node->reading = ReadNode(*node->first, *node->before, page, seconds);
  }
  node->before = std::move(page);
  node->looked = now;
}

Task<void> LookAtAll(Env* env, std::vector<Watched>* nodes) {
  TaskScope looks(env->reactor);
  for (Watched& node : *nodes) looks.Spawn(Look(env, &node));
  co_await looks.Join();
}

std::string Megabytes(double bytes) { return fmt::format("{:.1f}", bytes / 1e6); }
std::string Milliseconds(std::optional<double> seconds) {
  return seconds.has_value() ? fmt::format("{:.1f}", *seconds * 1e3) : "-";
}

constexpr size_t kColumns = 15;

std::vector<std::string> Row(const Watched& node) {
  const bool down = !node.failure.empty();
  if (down || !node.reading.has_value()) {
    std::vector<std::string> row = {
        node.reading.has_value() ? node.reading->node : node.address.ToString(),
        down ? "down" : "-"};
    row.resize(kColumns, "-");
    return row;
  }
  const NodeReading& reading = *node.reading;
  std::vector<std::string> row = {reading.node, reading.ready ? "ready" : "not ready"};
  for (double rate : {reading.requests_in, reading.replies_out, reading.replication_in}) {
    row.push_back(Megabytes(rate));
  }
  row.push_back(fmt::format("{:.0f}", reading.produces));
  row.push_back(Milliseconds(reading.produce_p99));
  row.push_back(Milliseconds(reading.sync_p99));
  row.push_back(fmt::format("{:.0f}", reading.fetches));
  row.push_back(fmt::format("{}", reading.leads));
  row.push_back(fmt::format("{}/{}", reading.under_replicated, reading.under_min_isr));
  row.push_back(fmt::format("{:.1f}", reading.lag));
  row.push_back(fmt::format("{:.0f}", reading.cpu * 100));
  row.push_back(Megabytes(static_cast<double>(reading.rss)));
  row.push_back(reading.failovers == 0 ? "-"
                                       : fmt::format("{} in {} ms", reading.failovers,
                                                     Milliseconds(reading.failover_max)));
  return row;
}

std::string Text(const std::vector<Watched>& nodes) {
  TextTable table({{"NODE", Align::kRight},
                   {"STATE", Align::kLeft},
                   {"IN-MB/s", Align::kRight},
                   {"OUT-MB/s", Align::kRight},
                   {"REPL-MB/s", Align::kRight},
                   {"PROD/s", Align::kRight},
                   {"P99-ms", Align::kRight},
                   {"SYNC-ms", Align::kRight},
                   {"FETCH/s", Align::kRight},
                   {"LEADS", Align::kRight},
                   {"UNDER-RF/ISR", Align::kRight},
                   {"LAG-s", Align::kRight},
                   {"CPU-%", Align::kRight},
                   {"RSS-MB", Align::kRight},
                   {"FAILOVERS", Align::kLeft}});
  for (const Watched& node : nodes) table.AddRow(Row(node));
  std::string text = table.ToString();
  for (const Watched& node : nodes) {
    if (!node.failure.empty())
      text += fmt::format("{}: {}\n", node.address.ToString(), node.failure);
  }
  return text;
}

JsonWriter& Micros(std::optional<double> seconds, JsonWriter& json) {
  return seconds.has_value() ? json.Number(static_cast<int64_t>(*seconds * 1e6)) : json.Null();
}

std::string Json(const std::vector<Watched>& nodes) {
  JsonWriter json;
  const auto whole = [](double number) { return std::llround(number); };
  json.BeginObject().Key("nodes").BeginArray();
  for (const Watched& node : nodes) {
    json.BeginObject().Key("admin").String(node.address.ToString()).Key("failure");
    node.failure.empty() ? json.Null() : json.String(node.failure);
    if (node.failure.empty() && node.reading.has_value()) {
      const NodeReading& reading = *node.reading;
      json.Key("node").String(reading.node).Key("version").String(reading.version);
      json.Key("ready").Bool(reading.ready);
      json.Key("request_bytes_per_s").Number(whole(reading.requests_in));
      json.Key("reply_bytes_per_s").Number(whole(reading.replies_out));
      json.Key("replication_bytes_per_s").Number(whole(reading.replication_in));
      json.Key("produce_per_s").Number(whole(reading.produces));
      json.Key("fetch_per_s").Number(whole(reading.fetches)).Key("produce_p99_us");
      Micros(reading.produce_p99, json).Key("journal_sync_p99_us");
      Micros(reading.sync_p99, json).Key("leads").Number(reading.leads);
      json.Key("under_replicated").Number(reading.under_replicated);
      json.Key("under_min_isr").Number(reading.under_min_isr);
      json.Key("replication_lag_ms").Number(whole(reading.lag * 1e3));
      json.Key("cpu_percent").Number(whole(reading.cpu * 100));
      json.Key("rss_bytes").Number(reading.rss).Key("failovers").Number(reading.failovers);
      json.Key("failover_max_us");
      Micros(reading.failover_max, json);
    }
    json.EndObject();
  }
  json.EndArray().EndObject();
  return json.Take() + "\n";
}

// That a node does not answer is news, and not the end: it may come back.
Task<void> Watch(Env* env, const TopArguments* arguments, int* exit_status) {
  std::vector<Watched> nodes;
  for (const std::string& text : arguments->admin) {
    const HostPort at = *ParseHostPort(text);  // Checked by the parser.
    nodes.push_back({.address = {at.host, at.port}});
  }
  co_await LookAtAll(env, &nodes);
  const bool repaint = arguments->output == "text" && isatty(STDOUT_FILENO) == 1;
  for (int32_t round = 0; arguments->rounds == 0 || round < arguments->rounds; ++round) {
    co_await Sleep(env->reactor, seconds(arguments->interval));
    co_await LookAtAll(env, &nodes);
    const std::string text = arguments->output == "json" ? Json(nodes) : Text(nodes);
    if (!PrintOutput(repaint ? "\x1b[H\x1b[J" + text : text)) break;
  }
  const bool all =
      std::ranges::all_of(nodes, [](const Watched& node) { return node.failure.empty(); });
  *exit_status = all ? kExitOk : kExitFailed;
}

int RunTop(const TopArguments& arguments) {
  return RunOnQuietShard(
      [&](Env* env, int* exit_status) { return Watch(env, &arguments, exit_status); });
}

}  // namespace

void AddTopCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<TopArguments>();
  Command verb = program.AddVerb(
      "top", "Show what nodes do, each second: bytes, requests, latency, replication, failovers");
  verb.AddOption("--admin", arguments->admin, "Their admin endpoints")
      .TypeName("HOST:PORT,...")
      .Delimiter(',')
      .ShowDefault()
      .Check(CheckAdminAddress);
  verb.AddOption("--interval", arguments->interval, "Seconds between two looks")
      .ShowDefault()
      .Positive();
  verb.AddOption("--rounds", arguments->rounds, "End after so many; 0: with Ctrl-C")
      .ShowDefault()
      .NotNegative();
  verb.AddOption("-o,--output", arguments->output, "text, or json: an object a round")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
  verb.OnChosen([arguments, &chosen] { chosen = [arguments] { return RunTop(*arguments); }; });
}

}  // namespace millrace

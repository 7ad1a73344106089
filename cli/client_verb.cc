#include "cli/client_verb.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "cli/client/offset_spec.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "common/log/spdlog_logger.h"
#include "common/sys/real_world.h"
#include "common/sys/signals.h"

namespace millrace {
namespace {

constexpr uint16_t kDefaultPort = 9092;

absl::StatusOr<SocketAddress> ParseServer(std::string_view text) {
  absl::Status wrong = absl::InvalidArgumentError(
      fmt::format("'{}' is no server: HOST:PORT is accepted, and [ADDRESS]:PORT for IPv6", text));
  std::string_view host = text;
  std::string_view port;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) return wrong;
    port = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (!port.empty() && !port.starts_with(':')) return wrong;
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  if (host.empty()) return wrong;
  SocketAddress address{std::string(host), kDefaultPort};
  if (port.empty()) return address;
  port.remove_prefix(1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port == 0) return wrong;
  return address;
}

Task<void> WatchSignals(Signals* signals, ClientSession* session) {
  for (;;) {
    absl::StatusOr<int> signal = co_await signals->Next();
    if (!signal.ok()) co_return;
    // The first was not heard: a name is being looked up, perhaps. Nothing here needs an orderly
    // end.
    if (session->interrupted) std::_Exit(kExitInterrupted);
    session->interrupted = true;
    session->on_interrupt();
  }
}

Task<void> RunSession(RealWorld* world, KafkaClientOptions options, Duration timeout,
                      ClientVerb* verb, int* exit_status) {
  Env& env = world->env(ShardId(0));
  IoPort& port = world->port(ShardId(0));
  absl::StatusOr<std::unique_ptr<Signals>> signals = Signals::Create(port);
  if (!signals.ok()) {
    PrintError(signals.status());
    co_return;
  }
  KafkaClient client(env, std::move(options));
  ClientSession session{env, port, client, timeout, false, {}};
  session.on_interrupt = [&client] { client.Shutdown(); };
  TaskScope scope(env.reactor);
  scope.Spawn(WatchSignals(signals->get(), &session));
  *exit_status = co_await (*verb)(&session);
  (*signals)->Shutdown();
  co_await scope.Stop();
  co_await client.Stop();
}

}  // namespace

absl::StatusOr<std::vector<SocketAddress>> ParseServers(std::string_view text) {
  std::vector<SocketAddress> servers;
  for (;;) {
    const size_t comma = text.find(',');
    absl::StatusOr<SocketAddress> server = ParseServer(text.substr(0, comma));
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
    if (comma == std::string_view::npos) return servers;
    text.remove_prefix(comma + 1);
  }
}

std::string CheckOutputFormat(const std::string& text) {
  if (text == "text" || text == "json") return {};
  return fmt::format("'{}' is no output format: text and json are accepted", text);
}

void AddClientOptions(Command& verb, ClientArguments& arguments) {
  verb.AddOption("-b,--bootstrap-server", arguments.bootstrap,
                 "Servers to begin with: HOST:PORT,...")
      .Environment("MILLRACE_BOOTSTRAP_SERVER")
      .TypeName("SERVERS")
      .ShowDefault()
      .Check([](const std::string& text) {
        return std::string(ParseServers(text).status().message());
      });
  verb.AddOption("--timeout", arguments.timeout, "How long to try: 500ms, 30s, 2m")
      .TypeName("TIME")
      .ShowDefault()
      .Check([](const std::string& text) {
        return ParseDuration(text).has_value()
                   ? std::string()
                   : fmt::format("'{}' is no time: 500ms, 30s and 2m are accepted", text);
      });
  verb.AddOption("-o,--output", arguments.output, "text or json")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
}

int RunClientVerb(const ClientArguments& arguments, ClientVerb verb) {
  KafkaClientOptions options;
  options.bootstrap = *ParseServers(arguments.bootstrap);  // Checked by the parser.
  options.identity = {"millrace", VersionText()};
  Signals::Block();
  SpdlogLogger logger(LogLevel::kError);
  absl::StatusOr<std::unique_ptr<RealWorld>> world = RealWorld::Create({}, logger);
  if (!world.ok()) {
    PrintError(world.status());
    return kExitFailed;
  }
  int exit_status = kExitFailed;
  (*world)->Run(RunSession(world->get(), std::move(options), *ParseDuration(arguments.timeout),
                           &verb, &exit_status));
  return exit_status;
}

void PrintError(std::string_view text) {
  std::fflush(stdout);
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

void PrintError(const absl::Status& status) {
  const std::string text(status.message());
  PrintError(std::string_view(text));
  if (absl::IsUnavailable(status) && text.starts_with("cannot reach") &&
      text.find("refused") != std::string::npos) {
    PrintError(
        "Is the node running? `millrace server` starts one; --bootstrap-server names another.");
  }
}

bool PrintOutput(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

}  // namespace millrace

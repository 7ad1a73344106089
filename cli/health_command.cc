// `millrace health`: asks a node's admin endpoint, and answers with its exit status: what a
// container's health check runs, which has no curl.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/quiet_shard.h"
#include "common/config/listener.h"
#include "common/http/http_response.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kAnswerBytesMax = size_t{1} << 20;
constexpr Duration kTimeout = seconds(5);

struct HealthArguments {
  std::string admin = "127.0.0.1:9644";
  bool live = false;
  std::string output = "text";
};

class GiveUp final : private Timer {
 public:
  GiveUp(Reactor& reactor, Connection& connection, Instant deadline)
      : reactor_(reactor), connection_(connection) {
    reactor_.Arm(*this, deadline);
  }
  ~GiveUp() {
    if (armed()) reactor_.Disarm(*this);
  }

 private:
  void Fire() override { connection_.Shutdown(); }
  Reactor& reactor_;
  Connection& connection_;
};

Task<absl::StatusOr<std::string>> Exchange(Connection* connection, std::string request) {
  MR_CO_RETURN_IF_ERROR(co_await connection->Send(Chain(Slice::Copy(request))));
  std::string answer;
  for (;;) {
    absl::StatusOr<Slice> more = co_await connection->ReceiveSome(kAnswerBytesMax - answer.size());
    if (!more.ok()) co_return more.status();
    if (more->empty()) co_return answer;
    answer += more->view();
    if (answer.size() == kAnswerBytesMax) co_return absl::OutOfRangeError("the answer is too long");
  }
}

// The status and body of one page.
Task<absl::StatusOr<HttpAnswer>> Get(Env* env, SocketAddress address, std::string path) {
  const Instant deadline = env->reactor.Now() + kTimeout;
  MR_CO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                         co_await env->network.Connect(address, deadline));
  absl::StatusOr<std::string> answer;
  {
    GiveUp timer(env->reactor, *connection, deadline);
    answer = co_await Exchange(
        connection.get(), fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                                      path, address.ToString()));
  }
  connection->Shutdown();
  co_await connection->Close();
  if (!answer.ok()) co_return answer.status();
  co_return ParseHttpAnswer(*answer);
}

Task<void> Ask(Env* env, const HealthArguments* arguments, int* exit_status) {
  *exit_status = kExitFailed;
  const HostPort at = *ParseHostPort(arguments->admin);  // Checked by the parser.
  const bool json = arguments->output == "json";
  const std::string path = json ? "/status" : arguments->live ? "/livez" : "/readyz";
  absl::StatusOr<HttpAnswer> answer = co_await Get(env, {at.host, at.port}, path);
  if (!answer.ok()) {
    PrintError(fmt::format("{}: {}", arguments->admin, std::string(answer.status().message())));
    co_return;
  }
  PrintOutput(answer->body);
  const bool ready =
      json ? answer->body.find("\"ready\":true") != std::string::npos : answer->status == 200;
  if (answer->status == 200 && (ready || arguments->live)) *exit_status = kExitOk;
}

int RunHealth(const HealthArguments& arguments) {
  return RunOnQuietShard(
      [&](Env* env, int* exit_status) { return Ask(env, &arguments, exit_status); });
}

}  // namespace

void AddHealthCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<HealthArguments>();
  Command verb = program.AddVerb(
      "health", "Ask a node whether clients may be sent to it; exit status 0 if so");
  verb.AddOption("--admin", arguments->admin, "Its admin endpoint")
      .TypeName("HOST:PORT")
      .ShowDefault()
      .Check([](const std::string& text) {
        auto address = ParseHostPort(text);
        return address.has_value() ? std::string() : address.error();
      });
  verb.AddFlag("--live", arguments->live, "Ask only whether it runs");
  verb.AddOption("-o,--output", arguments->output, "text, or json: all that it says of itself")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
  verb.OnChosen([arguments, &chosen] { chosen = [arguments] { return RunHealth(*arguments); }; });
}

}  // namespace millrace

// What every verb that talks to a cluster shares: the options that say which one and how long to
// wait, a world of one quiet shard, a client on it, and Ctrl-C.
//
// Shard:  the process's only one. Errors: printed to stderr by the verbs, with PrintError().
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client/kafka_client.h"
#include "cli/command_parser.h"
#include "common/runtime/task.h"
#include "common/sys/io_operation.h"

namespace millrace {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;  // As a shell counts a program that SIGINT ended.

struct ClientArguments {
  std::string bootstrap = "127.0.0.1:9092";
  std::string timeout = "30s";
  std::string output = "text";

  bool json() const { return output == "json"; }
};

// --bootstrap-server (or MILLRACE_BOOTSTRAP_SERVER), --timeout, -o text|json. `arguments` must live
// as long as `verb`.
void AddClientOptions(Command& verb, ClientArguments& arguments);

// What is wrong with a value of -o, or nothing.
std::string CheckOutputFormat(const std::string& text);

// "host:port,[::1]:9092,host"; without a port: 9092. kInvalidArgument: a sentence.
absl::StatusOr<std::vector<SocketAddress>> ParseServers(std::string_view text);

struct ClientSession {
  Env& env;
  IoPort& port;
  KafkaClient& client;
  Duration timeout;
  bool interrupted = false;
  // What the first SIGINT or SIGTERM does: by default every call of the client ends. A second one
  // ends the process.
  std::move_only_function<void()> on_interrupt;

  Instant Deadline() const { return env.reactor.Now() + timeout; }
};

// A verb's work, from a session that outlives the task to an exit status.
using ClientVerb = std::function<Task<int>(ClientSession*)>;

int RunClientVerb(const ClientArguments& arguments, ClientVerb verb);

// A verb below `parent` that takes the options of a client and does `action`; what the verb adds to
// `arguments` has a member `client`.
template <typename Arguments>
Command AddClientVerb(Command& parent, std::function<int()>& chosen, const char* name,
                      const char* what,
                      Task<int> (*action)(ClientSession*, std::shared_ptr<Arguments>),
                      std::shared_ptr<Arguments> arguments) {
  Command verb = parent.AddVerb(name, what);
  AddClientOptions(verb, arguments->client);
  verb.OnChosen([arguments, action, &chosen] {
    chosen = [arguments, action] {
      return RunClientVerb(arguments->client, [arguments, action](ClientSession* session) {
        return action(session, arguments);
      });
    };
  });
  return verb;
}

// One line on stderr. Where the cause is a server that cannot be reached, also what to do about it.
void PrintError(std::string_view text);
void PrintError(const absl::Status& status);

// Writes to stdout, and flushes; false when nobody reads it any more.
bool PrintOutput(std::string_view text);

}  // namespace millrace

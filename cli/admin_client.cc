#include "cli/admin_client.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "common/config/listener.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kAnswerBytesMax = size_t{16} << 20;
constexpr Duration kTimeout = seconds(5);

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

}  // namespace

Task<absl::StatusOr<HttpAnswer>> AskAdmin(Env* env, SocketAddress address, std::string path) {
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

std::string CheckAdminAddress(const std::string& text) {
  auto address = ParseHostPort(text);
  return address.has_value() ? std::string() : address.error();
}

}  // namespace millrace

#include "controller/grpc/grpc_streams.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/sys/real_contract_world.h"
#include "controller/transport/stream_contract_suite.h"

namespace millrace {
namespace {

StreamMakers Grpc(ContractWorld& world) {
  IoPort& port = static_cast<RealContractWorld&>(world).port();
  return {std::make_unique<GrpcDialer>(world.env(), port),
          std::make_unique<GrpcAcceptor>(world.env(), port,
                                         GrpcAcceptorOptions{.hello_max = kBenchHelloMax})};
}

// Counts the pings among the frames of one direction of HTTP/2 (RFC 9113, 4.1: nine bytes of head, the
// first three the length of what follows, the fourth the type).
class PingCount {
 public:
  explicit PingCount(size_t preface_bytes) : skip_(preface_bytes) {}
  void Feed(std::string_view bytes) {
    for (const char byte : bytes) {
      if (skip_ > 0) {
        --skip_;
        continue;
      }
      head_.push_back(byte);
      if (head_.size() < 9) continue;
      const auto at = [this](size_t i) { return static_cast<uint8_t>(head_[i]); };
      skip_ = size_t{at(0)} << 16 | size_t{at(1)} << 8 | at(2);
      ++frames_;
      if (at(3) == 6) ++pings_;
      head_.clear();
    }
  }
  int frames() const { return frames_; }
  int pings() const { return pings_; }

 private:
  size_t skip_;
  std::string head_;
  int frames_ = 0;
  int pings_ = 0;
};

Task<void> TalksWithoutPings(StreamBench* bench, stream_contract::Story* story) {
  PingCount there(std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").size());
  PingCount back(0);
  bench->relay->Tap(
      [&](bool dialed, std::string_view bytes) { (dialed ? there : back).Feed(bytes); });
  constexpr int kRounds = 20;
  stream_contract::StreamPair pair = co_await stream_contract::Connected(bench);
  for (int i = 0; i < kRounds; ++i) {
    (co_await pair.dialed->Send("a heartbeat")).IgnoreError();
    (co_await pair.accepted->Receive()).IgnoreError();
    (co_await pair.accepted->Send("its answer")).IgnoreError();
    (co_await pair.dialed->Receive()).IgnoreError();
  }
  bench->relay->Tap({});
  const bool counted = there.frames() >= kRounds && back.frames() >= kRounds;
  story->push_back(fmt::format("{}, {} pings", counted ? "counted" : "not understood",
                               there.pings() + back.pings()));
  co_await stream_contract::CloseBoth(&pair);
}

Task<void> IsHeardInSilence(StreamBench* bench, stream_contract::Story* story) {
  int answers = 0;
  bench->relay->Tap([&](bool dialed, std::string_view) { answers += dialed ? 0 : 1; });
  constexpr int kRounds = 200;
  stream_contract::StreamPair pair = co_await stream_contract::Connected(bench);
  int received = 0;
  for (int i = 0; i < kRounds; ++i) {
    (co_await pair.dialed->Send("a message")).IgnoreError();
    received += (co_await pair.accepted->Receive()).ok() ? 1 : 0;
  }
  bench->relay->Tap({});
  story->push_back(fmt::format("{} received, {} answered", received,
                               answers < kRounds / 4 ? "few of them" : fmt::to_string(answers)));
  co_await stream_contract::CloseBoth(&pair);
}

}  // namespace

std::vector<StreamWorldKind> StreamWorlds() {
  return {
      {"io_uring",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kUring);
       },
       &Grpc},
      {"epoll",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kEpoll);
       },
       &Grpc},
  };
}

TEST_CASE("GrpcStreams: a line that says little is not measured with pings") {
  stream_contract::InEveryStreamWorld(&TalksWithoutPings, {"counted, 0 pings"});
}

TEST_CASE("GrpcStreams: who only listens says nothing to each message") {
  stream_contract::InEveryStreamWorld(&IsHeardInSilence, {"200 received, few of them answered"});
}

TEST_CASE("GrpcAcceptor: tells its connections by the first bytes") {
  RealContractWorld world(IoBackend::kEpoll);
  GrpcAcceptor acceptor(world.env(), world.port());
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  CHECK(acceptor.IsOurs("") == std::nullopt);
  CHECK(acceptor.IsOurs("PRI ") == std::nullopt);
  CHECK(acceptor.IsOurs(preface) == true);
  CHECK(acceptor.IsOurs(preface + "more") == true);
  CHECK(acceptor.IsOurs(std::string("\0\0\0\x10", 4)) == false);
  CHECK(acceptor.IsOurs("PRIX") == false);
}

}  // namespace millrace

#include "controller/grpc/grpc_streams.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
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

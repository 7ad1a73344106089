#include "controller/transport/framed_streams.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_contract_world.h"
#include "common/sys/real_contract_world.h"
#include "controller/transport/control_frames.h"
#include "controller/transport/stream_contract_suite.h"

namespace millrace {
namespace {

StreamMakers Framed(ContractWorld& world) {
  return {std::make_unique<FramedDialer>(world.env()),
          std::make_unique<FramedAcceptor>(world.env(),
                                           FramedAcceptorOptions{.hello_max = kBenchHelloMax})};
}

}  // namespace

std::vector<StreamWorldKind> StreamWorlds() {
  return {
      {"io_uring",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kUring);
       },
       &Framed},
      {"epoll",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kEpoll);
       },
       &Framed},
      {"sim",
       []() -> std::unique_ptr<ContractWorld> { return std::make_unique<SimContractWorld>(1); },
       &Framed},
      {"sim, another seed",
       []() -> std::unique_ptr<ContractWorld> { return std::make_unique<SimContractWorld>(99); },
       &Framed},
  };
}

TEST_CASE("FramedAcceptor: tells its connections by the first bytes") {
  SimContractWorld world(1);
  FramedAcceptor acceptor(world.env());
  CHECK(acceptor.IsOurs("") == std::nullopt);
  CHECK(acceptor.IsOurs("\xffMR") == std::nullopt);
  CHECK(acceptor.IsOurs(kControlPreface) == true);
  CHECK(acceptor.IsOurs(std::string(kControlPreface) + "more") == true);
  CHECK(acceptor.IsOurs(std::string("\0\0\0\x10", 4)) == false);
  CHECK(acceptor.IsOurs("\xffMX") == false);
  CHECK(acceptor.IsOurs("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == false);
}

}  // namespace millrace

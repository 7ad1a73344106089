#include "common/sys/real_world.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <thread>
#include <utility>

#include "common/check.h"
#include "common/runtime/epoll/epoll_reactor.h"
#include "common/runtime/uring/uring_reactor.h"
#include "common/sys/real_clock.h"
#include "common/sys/real_disk.h"
#include "common/sys/real_helper_pool.h"
#include "common/sys/real_network.h"
#include "common/sys/real_random.h"

namespace millrace {

std::optional<IoBackend> ParseIoBackend(std::string_view name) {
  if (name == "auto") return IoBackend::kAuto;
  if (name == "io_uring") return IoBackend::kUring;
  if (name == "epoll") return IoBackend::kEpoll;
  return std::nullopt;
}

struct RealWorld::Seat {
  Seat(std::unique_ptr<RealReactor> own_reactor, HelperThreads& threads, WritesBy writes_by,
       Logger& logger)
      : reactor(std::move(own_reactor)),
        helpers(*reactor, threads),
        disk(*reactor, helpers, writes_by),
        network(*reactor, helpers),
        env{*reactor, clock, random, disk, network, helpers, logger} {}

  std::unique_ptr<RealReactor> reactor;
  RealClock clock;
  RealRandom random;
  RealHelperPool helpers;
  RealDisk disk;
  RealNetwork network;
  Env env;
};

namespace {

using MadeReactor = absl::StatusOr<std::unique_ptr<RealReactor>>;

MadeReactor MakeUring(const RealReactorOptions& options, Logger& logger) {
  absl::StatusOr<std::unique_ptr<UringReactor>> reactor =
      UringReactor::Create(options, UringOptions(), logger);
  if (!reactor.ok()) return reactor.status();
  return *std::move(reactor);
}

MadeReactor MakeEpoll(const RealReactorOptions& options, HelperThreads& helpers, Logger& logger) {
  absl::StatusOr<std::unique_ptr<EpollReactor>> reactor =
      EpollReactor::Create(options, helpers, logger);
  if (!reactor.ok()) return reactor.status();
  return *std::move(reactor);
}

// Binds the calling thread to the shard-th of `allowed`.
void PinToCpu(const cpu_set_t& allowed, size_t shard) {
  const auto count = static_cast<size_t>(CPU_COUNT(&allowed));
  if (count == 0) return;
  size_t skip = shard % count;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof(one), &one);
    return;
  }
}

}  // namespace

RealWorld::RealWorld(RealWorldOptions options)
    : options_(options),
      helper_threads_(std::make_unique<HelperThreads>(options.helper_threads_max)) {}

absl::StatusOr<std::unique_ptr<RealWorld>> RealWorld::Create(RealWorldOptions options,
                                                             Logger& logger) {
  MR_CHECK(options.shards > 0);
  MR_CHECK(options.helper_threads_max > 0);
  std::unique_ptr<RealWorld> world(new RealWorld(options));
  IoBackend io = options.io;
  std::vector<Reactor*> reactors;
  for (size_t i = 0; i < options.shards; ++i) {
    RealReactorOptions reactor_options{
        .loop = {.shard = ShardId(static_cast<uint32_t>(i)), .inbox_max = options.inbox_max},
        .spin = options.spin,
        .stalls = options.stalls};
    MadeReactor made = absl::UnknownError("not tried");
    if (io != IoBackend::kEpoll) {
      made = MakeUring(reactor_options, logger);
      if (!made.ok() && (io == IoBackend::kUring || i > 0)) return made.status();
      if (!made.ok()) {
        logger.Warning("{}; using epoll", std::string(made.status().message()));
        io = IoBackend::kEpoll;
      }
    }
    if (io == IoBackend::kEpoll) {
      made = MakeEpoll(reactor_options, *world->helper_threads_, logger);
      if (!made.ok()) return made.status();
    }
    reactors.push_back(made->get());
    world->seats_.push_back(std::make_unique<Seat>(*std::move(made), *world->helper_threads_,
                                                   options.buffered_writes_by, logger));
  }
  world->shards_ = std::make_unique<Shards>(reactors);
  return world;
}

RealWorld::~RealWorld() {
  shards_.reset();
  // A helper may still be leaving a reactor's inbox whose last job has already run.
  helper_threads_.reset();
}

std::string_view RealWorld::io_name() const { return seats_.front()->reactor->io_name(); }

RealWorld::Seat& RealWorld::seat(ShardId shard) {
  MR_CHECK(shard.value() < seats_.size());
  return *seats_[shard.value()];
}

Env& RealWorld::env(ShardId shard) { return seat(shard).env; }
IoPort& RealWorld::port(ShardId shard) { return *seat(shard).reactor; }

Task<void> RealWorld::ServeUntilStopped(Shards* shards, ShardId shard, Event* stop) {
  co_await stop->Wait();
  co_await shards->JoinServed(shard);
}

Task<void> RealWorld::RunFirst(Task<void> task, Shards* shards) {
  {
    Task<void> body = std::move(task);
    co_await body;
  }
  co_await shards->JoinServed(ShardId(0));
}

void RealWorld::Run(Task<void> task) {
  MR_CHECK(!ran_ || seats_.size() == 1);
  ran_ = true;
  std::vector<std::unique_ptr<Event>> stops;
  std::vector<std::thread> threads;
  for (size_t i = 1; i < seats_.size(); ++i) {
    Event* stop = stops.emplace_back(std::make_unique<Event>(*seats_[i]->reactor)).get();
    threads.emplace_back([this, i, stop] {
      ::pthread_setname_np(::pthread_self(), fmt::format("shard-{}", i).c_str());
      if (options_.pin) PinToCpu(helper_threads_->cpus(), i);
      const ShardId shard(static_cast<uint32_t>(i));
      seats_[i]->reactor->Run(ServeUntilStopped(shards_.get(), shard, stop));
    });
  }
  if (options_.pin) PinToCpu(helper_threads_->cpus(), 0);
  seats_.front()->reactor->Run(RunFirst(std::move(task), shards_.get()));
  for (size_t i = 1; i < seats_.size(); ++i) {
    Event* stop = stops[i - 1].get();
    while (!seats_[i]->reactor->Post([stop] { stop->Set(); })) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace millrace

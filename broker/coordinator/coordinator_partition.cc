#include "broker/coordinator/coordinator_partition.h"

#include <algorithm>
#include <utility>

#include "common/error_kind.h"

namespace millrace {
namespace {

// Between two lives.
constexpr Duration kReloadPauseMin = milliseconds(200);
constexpr Duration kReloadPauseMax = seconds(30);
// What time brings about waits this long while it could not be written.
constexpr Duration kUnwritablePause = milliseconds(500);

}  // namespace

CoordinatorPartition::CoordinatorPartition(Env& env, PartitionTable& partitions, LogStore& store,
                                           const CoordinatorParts& make, TopicPartitionId id,
                                           std::string name, LeaderEpoch epoch)
    : id_(id),
      epoch_(epoch),
      name_(std::move(name)),
      env_(env),
      partitions_(partitions),
      store_(store),
      make_(make),
      changed_(env.reactor),
      scope_(env.reactor) {}

void CoordinatorPartition::Start() { scope_.Spawn(Run()); }

Task<void> CoordinatorPartition::Stop() {
  changed_.Pulse();
  if (life_ != nullptr) life_->log->Fail(absl::CancelledError("the coordinator stops"));
  co_await scope_.Stop();
}

std::expected<CoordinatorPartition::Inside, CoordinatorRefusal> CoordinatorPartition::Enter(
    bool to_write) {
  if (life_ == nullptr || !active_) {
    return std::unexpected(scope_.stopping() ? CoordinatorRefusal::kNotCoordinator
                                             : CoordinatorRefusal::kLoading);
  }
  // What it has applied is not true any more.
  if (!life_->log->failure().ok()) return std::unexpected(CoordinatorRefusal::kNotCoordinator);
  if (to_write && life_->log->full()) return std::unexpected(CoordinatorRefusal::kUnwritable);
  const absl::Status may = life_->log->CanWrite();
  if (KindOf(may) == ErrorKind::kNotEnoughReplicas) {
    if (to_write) return std::unexpected(CoordinatorRefusal::kUnwritable);
  } else if (!may.ok()) {
    return std::unexpected(CoordinatorRefusal::kNotCoordinator);
  }
  Gate::Holder holder = life_->gate.TryEnter();
  if (!holder) return std::unexpected(CoordinatorRefusal::kNotCoordinator);
  return Inside{life_, std::move(holder)};
}

void CoordinatorPartition::Carry(const Inside& inside, std::vector<CoordinatorRecord> records) {
  inside.log().Append(std::move(records));
  if (inside.life == life_ && inside.machine().deadline() < wake_) changed_.Pulse();
}

void CoordinatorPartition::OnTopicsDeleted(const std::vector<DeletedTopic>& topics) {
  deleted_topics_.insert(deleted_topics_.end(), topics.begin(), topics.end());
  changed_.Pulse();
}

void CoordinatorPartition::TellDeletedTopics() {
  if (deleted_topics_.empty()) return;
  life_->log->Append(life_->machine->OnTopicsDeleted(std::exchange(deleted_topics_, {}), Time()));
}

void CoordinatorPartition::OnTime() {
  if (life_->machine->deadline() > env_.reactor.Now()) return;
  life_->log->Append(life_->machine->OnTime(Time()));
}

Task<void> CoordinatorPartition::KeepTime() {
  const CancellationToken stop = scope_.token();
  while (life_->log->failure().ok() && !stop.cancelled()) {
    if (life_->log->CanWrite().ok() && !life_->log->full()) {
      TellDeletedTopics();
      OnTime();
      wake_ = life_->machine->deadline();
    } else {
      wake_ = env_.reactor.Now() + kUnwritablePause;
    }
    // A round of many groups goes on turn by turn.
    if (wake_ <= env_.reactor.Now()) {
      co_await Yield(env_.reactor);
    } else {
      co_await changed_.Wait(wake_, stop);
    }
  }
}

Task<absl::Status> CoordinatorPartition::Live() {
  const Instant begun = env_.reactor.Now();
  life_ = std::make_shared<Life>(env_.reactor);
  life_->machine = make_.machine(id_, Time());
  life_->log = make_.log(env_, partitions_, store_, id_, epoch_, [this] { changed_.Pulse(); });
  absl::Status loaded = co_await life_->log->Load(life_->machine.get(), scope_.token());
  if (!loaded.ok()) co_return loaded;
  life_->machine->OnLoaded(Time());
  active_ = lived_ = true;
  const Duration took = env_.reactor.Now() - begun;
  env_.logger.Info("coordinating {} in epoch {}: loaded in {} ms", name_, epoch_,
                   std::chrono::duration_cast<milliseconds>(took).count());
  co_await KeepTime();
  active_ = false;
  co_return life_->log->failure();
}

Task<void> CoordinatorPartition::EndLife() {
  life_->log->Fail(absl::CancelledError("the coordinator stops"));
  life_->machine->Dismiss();
  co_await life_->gate.Close();
  co_await life_->log->Stop();
  life_.reset();
}

Task<void> CoordinatorPartition::Run() {
  const CancellationToken stop = scope_.token();
  Duration pause = kReloadPauseMin;
  while (!stop.cancelled()) {
    lived_ = false;
    const absl::Status why = co_await Live();
    co_await EndLife();
    if (stop.cancelled()) break;
    // Not a leader any more: the metadata that says so ends this coordinator.
    if (KindOf(why) != ErrorKind::kNotLeaderOrFollower) {
      env_.logger.Warning("coordinating {} in epoch {} begins anew: {}", name_, epoch_,
                          std::string(why.message()));
    }
    // A log that cannot be read is not read over and over.
    pause = lived_ ? kReloadPauseMin : std::min(2 * pause, kReloadPauseMax);
    co_await Sleep(env_.reactor, pause, stop);
  }
}

}  // namespace millrace

#include "replication/leader_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "common/check.h"
#include "common/connection_refused.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "replication/replication_shard.h"

namespace millrace {
namespace {

// So many small batches in one turn, and the others get theirs.
constexpr int kBatchesPerTurn = 256;
// A frame that could not be appended is not asked for again at once.
constexpr Duration kAfterTrouble = seconds(1);
// It may have room again by the time the metadata says that it is outside the ISR for want of it.
constexpr Duration kFullLately = seconds(60);

absl::Status Broken(std::string what) {
  return absl::InvalidArgumentError(fmt::format("replication stream: {}", what));
}

}  // namespace

LeaderLink::LeaderLink(Env& env, LogStore& store, const ReplicationOptions& options,
                       const ReplicationPeers& peers, ReplicationMetrics& metrics,
                       ReplicationShard& shard, BrokerId leader, ShardId leader_shard)
    : leader_(leader),
      leader_shard_(leader_shard),
      name_(fmt::format("replica stream from broker {}/{}", leader, leader_shard)),
      env_(env),
      store_(store),
      options_(options),
      peers_(peers),
      metrics_(metrics),
      shard_(shard),
      scope_(env.reactor),
      wake_(env.reactor),
      hurry_(env.reactor) {}

LeaderLink::~LeaderLink() { MR_CHECK(stream_ == nullptr); }

Task<void> LeaderLink::Stop() {
  Fail(absl::CancelledError("the broker is stopping"));
  co_await scope_.Stop();
}

// --- What is followed ----------------------------------------------------------------------------

void LeaderLink::Follow(Partition& partition) {
  auto [at, added] = followed_.try_emplace(
      partition.id(),
      Followed{.epoch = partition.leader_epoch(), .number = 0, .told = partition.ends()});
  if (!added) Release(*at);
  at->second.epoch = partition.leader_epoch();
  at->second.number = next_number_++;
  at->second.phase = Phase::kIdle;
  at->second.again = Duration(0);
  at->second.in_isr = !IsOutside(partition);
  asking_.push_back(at->first);
  wake_.Pulse();
  hurry_.Pulse();
}

void LeaderLink::Unfollow(const TopicPartitionId& id) {
  auto found = followed_.find(id);
  if (found == followed_.end()) return;
  Release(*found);
  followed_.erase(found);
}

std::vector<TopicPartitionId> LeaderLink::TakeAll() {
  std::vector<TopicPartitionId> all;
  all.reserve(followed_.size());
  for (Entry& entry : followed_) {
    Release(entry);
    all.push_back(entry.first);
  }
  followed_.clear();
  return all;
}

void LeaderLink::Release(Entry& entry) {
  if (!entry.second.handle.has_value()) return;
  if (stream_ != nullptr) {
    stream_->out.Add(StreamUnsubscribe{*entry.second.handle});
    wake_.Pulse();
  }
  DropHandle(entry);
}

void LeaderLink::DropHandle(Entry& entry) {
  if (!entry.second.handle.has_value()) return;
  Settle(entry);
  if (stream_ != nullptr) stream_->handles.erase(*entry.second.handle);
  entry.second.handle.reset();
}

void LeaderLink::MarkProgress(const TopicPartitionId& id, bool urgent) {
  auto found = followed_.find(id);
  if (found == followed_.end() || found->second.phase != Phase::kFollowing) return;
  if (!std::exchange(found->second.progress, true)) progress_.push_back(id);
  if (urgent) wake_.Pulse();
}

void LeaderLink::Hurry() { hurry_.Pulse(); }

bool LeaderLink::AskEcho(uint64_t number) {
  if (stream_ == nullptr || !(stream_->features & kReplicationEcho)) return false;
  if (!stream_->failure.ok()) return !scope_.stopping();  // on_loss is about to be called.
  stream_->out.Add(StreamEcho{number});
  wake_.Pulse();
  return true;
}

LeaderLink::Entry* LeaderLink::Find(StreamHandle handle) {
  auto named = stream_->handles.find(handle);
  if (named == stream_->handles.end()) return nullptr;
  auto found = followed_.find(named->second);
  MR_CHECK(found != followed_.end());
  return &*found;
}

Partition* LeaderLink::PartitionOf(const Entry& entry) {
  Partition* partition = shard_.FindPartition(entry.first);
  if (partition == nullptr || !partition->follows() ||
      partition->leader_epoch() != entry.second.epoch) {
    return nullptr;
  }
  return partition;
}

// --- The stream ----------------------------------------------------------------------------------

Duration LeaderLink::Backoff(Duration before) {
  return std::clamp(before * 2, options_.again_min, options_.again_max);
}

Duration LeaderLink::Shortened(Duration wait) {
  const auto half = static_cast<uint64_t>(wait.count() / 2);
  return wait - Duration(static_cast<int64_t>(env_.random.Next() % (half + 1)));
}

Task<void> LeaderLink::Run() {
  Duration wait{0};
  absl::Status told;
  while (!scope_.stopping()) {
    if (followed_.empty() || !peers_.EpochOf(options_.self) || !peers_.AddressOf(leader_)) {
      co_await hurry_.Wait(std::nullopt, scope_.token());
      continue;
    }
    const Instant began = env_.reactor.Now();
    absl::Status ended = co_await Session();
    if (scope_.stopping()) break;
    // One that held for a while is worth trying again at once.
    if (env_.reactor.Now() - began >= options_.again_max) wait = Duration(0);
    wait = Backoff(wait);
    if (ended.code() != told.code()) {
      env_.logger.Info("{}: {}; trying again", name_, std::string(ended.message()));
      told = ended;
    }
    co_await hurry_.Wait(env_.reactor.Now() + Shortened(wait), scope_.token());
  }
}

Task<absl::Status> LeaderLink::Session() {
  std::optional<BrokerEpoch> epoch = peers_.EpochOf(leader_);
  absl::StatusOr<std::unique_ptr<Connection>> connected = co_await env_.network.Connect(
      *peers_.AddressOf(leader_), env_.reactor.Now() + options_.connect_max);
  if (!connected.ok()) {
    if (!scope_.stopping() && options_.on_loss) {
      const bool refused = WasRefused(connected.status());
      options_.on_loss(leader_, epoch, refused ? StreamLoss::kRefused : StreamLoss::kSilent);
    }
    co_return connected.status();
  }
  const size_t data_bytes_max = kStreamStateBytes + options_.batch_bytes_max;
  stream_ = std::make_unique<Stream>(env_, *std::move(connected), data_bytes_max);
  if (scope_.stopping()) Fail(absl::CancelledError("the broker is stopping"));
  ArmTimer();
  absl::Status ended = co_await SayHello();
  const bool established = ended.ok();
  if (established) {
    epoch = stream_->leader_epoch;  // Of the life that was spoken with.
    stream_->tasks.Spawn(Write(), SchedClass::kReplication);
    ended = co_await Read();
  }
  Fail(ended);
  co_await stream_->tasks.Stop();
  env_.reactor.Disarm(*this);
  co_await stream_->connection->Close();
  ended = stream_->failure;
  stream_.reset();
  asking_.clear();
  progress_.clear();
  again_.clear();
  for (Entry& entry : followed_) {
    DropHandle(entry);
    entry.second.progress = false;
    if (entry.second.phase != Phase::kCutting) entry.second.phase = Phase::kIdle;
  }
  if (established) {
    metrics_.streams_lost.Add();
    lost_since_ = env_.reactor.Now();
  }
  const bool silent = absl::IsDeadlineExceeded(ended);
  if (!scope_.stopping() && options_.on_loss && (established || silent)) {
    options_.on_loss(leader_, epoch, silent ? StreamLoss::kSilent : StreamLoss::kBroken);
  }
  co_return ended;
}

Task<absl::Status> LeaderLink::SayHello() {
  const std::optional<BrokerEpoch> epoch = peers_.EpochOf(options_.self);
  if (!epoch.has_value()) co_return absl::UnavailableError("this broker is not registered");
  const Slice hello = EncodeReplicationHello({.cluster_id = options_.cluster_id,
                                              .broker = options_.self,
                                              .broker_epoch = *epoch,
                                              .shard = env_.reactor.shard(),
                                              .leader = leader_,
                                              .leader_shard = leader_shard_});
  MR_CO_RETURN_IF_ERROR(co_await stream_->connection->Send(Chain(hello)));
  absl::StatusOr<Slice> answer = co_await stream_->reader.NextKafkaFrame(kHelloBytesMax);
  if (!answer.ok()) co_return answer.status();
  absl::StatusOr<ReplicationWelcome> welcome = ParseReplicationWelcome(answer->span());
  if (!welcome.ok()) co_return welcome.status();
  shard_.OnShardCount(leader_, welcome->shards);
  if (welcome->verdict != ReplicationVerdict::kWelcome) {
    co_return absl::FailedPreconditionError(
        fmt::format("broker {} refuses: {}", leader_, welcome->reason));
  }
  env_.logger.Debug("{}: follows {} partitions", name_, followed_.size());
  if (options_.on_stream) options_.on_stream(leader_, welcome->broker_epoch);
  stream_->ready = true;
  stream_->leader_epoch = welcome->broker_epoch;
  lost_since_.reset();
  stream_->features = welcome->features & kReplicationFeatures;
  stream_->credit = static_cast<int64_t>(options_.credit_bytes);
  stream_->out.Add(StreamCredit{static_cast<uint32_t>(options_.credit_bytes)});
  asking_.clear();
  for (Entry& entry : followed_) {
    entry.second.again = Duration(0);
    if (entry.second.phase == Phase::kIdle) asking_.push_back(entry.first);
  }
  co_return absl::OkStatus();
}

void LeaderLink::Fail(absl::Status why) {
  if (stream_ == nullptr || !stream_->failure.ok()) return;
  stream_->failure = std::move(why);
  stream_->cancel.Cancel();
  stream_->connection->Shutdown();
  wake_.Pulse();
}

void LeaderLink::ArmTimer() {
  if (stream_ == nullptr || !stream_->failure.ok()) return;
  Instant next = env_.reactor.Now() + options_.keep_alive;
  if (!again_.empty()) next = std::min(next, again_.begin()->first);
  env_.reactor.Arm(*this, next);
}

void LeaderLink::Fire() {
  const Instant now = env_.reactor.Now();
  const std::optional<Duration> silence = stream_->reader.Silence();
  const Duration most = stream_->ready ? options_.silence_max : options_.connect_max;
  if (silence.has_value() && *silence >= most) {
    Fail(absl::DeadlineExceededError("the leader is silent"));
    return;
  }
  if (stream_->ready && now - stream_->last_sent >= options_.keep_alive) {
    stream_->out.Add(StreamKeepAlive());
    wake_.Pulse();
  }
  for (; !again_.empty() && again_.begin()->first <= now; again_.erase(again_.begin())) {
    asking_.push_back(again_.begin()->second);
    wake_.Pulse();
  }
  ArmTimer();
}

// --- What is sent --------------------------------------------------------------------------------

Task<void> LeaderLink::Write() {
  while (stream_->failure.ok()) {
    Chain out = Gather();
    if (out.empty()) {
      co_await wake_.Wait(std::nullopt, stream_->cancel.token());
      continue;
    }
    stream_->last_sent = env_.reactor.Now();
    absl::Status sent = co_await stream_->connection->Send(std::move(out));
    if (!sent.ok()) Fail(std::move(sent));
  }
}

Chain LeaderLink::Gather() {
  for (const TopicPartitionId& id : std::exchange(asking_, {})) {
    auto found = followed_.find(id);
    if (found != followed_.end() && found->second.phase == Phase::kIdle) Ask(*found);
  }
  std::vector<StreamProgress::Entry> moved;
  for (const TopicPartitionId& id : std::exchange(progress_, {})) {
    auto found = followed_.find(id);
    if (found == followed_.end()) continue;
    found->second.progress = false;
    const Partition* partition =
        found->second.phase == Phase::kFollowing ? PartitionOf(*found) : nullptr;
    if (partition == nullptr) continue;
    const ReplicaEnds ends = partition->ends();
    if (ends == found->second.told) continue;
    found->second.told = ends;
    moved.push_back({*found->second.handle, ends});
  }
  stream_->out.Add(moved);
  // With other news, or when a good part of it is used up.
  if (stream_->owed > 0 && (!stream_->out.empty() || stream_->owed >= options_.credit_bytes / 4)) {
    stream_->out.Add(StreamCredit{static_cast<uint32_t>(stream_->owed)});
    stream_->credit += static_cast<int64_t>(std::exchange(stream_->owed, 0));
  }
  return stream_->out.Take();
}

void LeaderLink::Ask(Entry& entry) {
  Partition* partition = PartitionOf(entry);
  if (partition == nullptr) return;  // The metadata is about to say something else.
  if (IsOutside(*partition) && !partition->log().has_room()) {
    AskLater(entry);
    return;
  }
  std::optional<FollowerHello> hello = partition->Hello();
  if (!hello.has_value()) {
    if (partition->failure().ok()) AskLater(entry);  // It is being cut, or its start is moving.
    return;
  }
  const StreamHandle handle(++stream_->last_handle);
  stream_->handles.emplace(handle, entry.first);
  entry.second.handle = handle;
  entry.second.phase = Phase::kAsked;
  entry.second.told = hello->ends;
  stream_->out.Add(StreamSubscribe{handle, entry.first, *hello});
  // Nothing is claimed before there is something to come.
  if (IsHeldBack(*partition)) Allow(entry, 0);
}

bool LeaderLink::IsOutside(const Partition& partition) const {
  const AssignedReplica* own = partition.assignment().Find(options_.self);
  return own != nullptr && !own->in_isr;
}

void LeaderLink::Reconsider(const TopicPartitionId& id) {
  auto found = followed_.find(id);
  if (found == followed_.end()) return;
  const Partition* partition = PartitionOf(*found);
  if (found->second.in_isr && partition != nullptr && IsOutside(*partition)) {
    // It has left. Where that is for want of room, its subscription says nothing any more.
    found->second.in_isr = false;
    const std::optional<Instant> full = partition->log().last_full();
    if (found->second.handle.has_value() && full.has_value() &&
        env_.reactor.Now() - *full < kFullLately) {
      Release(*found);
      AskLater(*found);
      return;
    }
  } else if (partition != nullptr) {
    found->second.in_isr = !IsOutside(*partition);
  }
  Meter(*found);
}

void LeaderLink::AskLater(Entry& entry) {
  entry.second.phase = Phase::kIdle;
  entry.second.again = Backoff(entry.second.again);
  if (stream_ == nullptr || !stream_->failure.ok()) return;  // The next stream asks for all.
  again_.emplace(env_.reactor.Now() + entry.second.again, entry.first);
  ArmTimer();
}

// --- What the leader says ------------------------------------------------------------------------

Task<absl::Status> LeaderLink::Read() {
  while (stream_->failure.ok()) {
    absl::StatusOr<StreamReader::Frame> frame = co_await stream_->reader.Next();
    if (!frame.ok()) co_return frame.status();
    absl::StatusOr<LeaderFrame> parsed =
        ParseLeaderFrame(frame->head, frame->bytes.span(), frame->body());
    if (!parsed.ok()) co_return parsed.status();
    if (const auto* data = std::get_if<StreamDataHead>(&*parsed); data != nullptr) {
      MR_CO_RETURN_IF_ERROR(co_await OnData(*data));
    } else if (const auto* accepted = std::get_if<StreamAccepted>(&*parsed); accepted != nullptr) {
      co_await OnAccepted(*accepted);
    } else {
      OnFrame(*parsed);
    }
  }
  co_return stream_->failure;
}

void LeaderLink::OnFrame(const LeaderFrame& frame) {
  if (const auto* diverged = std::get_if<StreamDiverged>(&frame)) {
    BeginCut(diverged->handle, diverged->answer);
  } else if (const auto* outside = std::get_if<StreamOutside>(&frame)) {
    BeginCut(outside->handle, outside->answer);
  } else if (const auto* refused = std::get_if<StreamRefused>(&frame)) {
    OnEnd(refused->handle, refused->why);
  } else if (const auto* ended = std::get_if<StreamEnded>(&frame)) {
    OnEnd(ended->handle, ended->why);
  } else if (const auto* states = std::get_if<StreamState>(&frame)) {
    for (const StreamState::Entry& state : states->entries) OnState(state);
  } else if (const auto* echo = std::get_if<StreamEcho>(&frame)) {
    if (options_.on_echo) options_.on_echo(leader_, echo->number);
  }
}

void LeaderLink::OnState(const StreamState::Entry& state) {
  Entry* entry = Find(state.handle);
  Partition* partition = entry == nullptr ? nullptr : PartitionOf(*entry);
  if (partition == nullptr || entry->second.phase != Phase::kFollowing) {
    metrics_.frames_dropped.Add();
    return;
  }
  partition->OnLeaderOffsets(entry->second.epoch, state.high_watermark, state.log_start)
      .IgnoreError();  // It is not of this epoch any more: the metadata is ahead.
}

Task<void> LeaderLink::OnAccepted(StreamAccepted frame) {
  Entry* entry = Find(frame.state.handle);
  Partition* partition = entry == nullptr ? nullptr : PartitionOf(*entry);
  if (partition == nullptr || entry->second.phase != Phase::kAsked) co_return;
  // Where the logs meet nothing has to be done, so this does not wait.
  absl::StatusOr<bool> agreed =
      co_await partition->OnHelloAnswer(entry->second.epoch, LogsMeet{entry->second.told.log_end});
  entry = Find(frame.state.handle);
  partition = entry == nullptr ? nullptr : PartitionOf(*entry);
  if (partition == nullptr) co_return;
  if (!agreed.ok() || !*agreed) {
    Release(*entry);
    AskLater(*entry);
    co_return;
  }
  entry->second.phase = Phase::kFollowing;
  entry->second.again = Duration(0);
  partition->OnLeaderOffsets(entry->second.epoch, frame.state.high_watermark, frame.state.log_start)
      .IgnoreError();
  MarkProgress(entry->first, true);  // Something may have become durable since it asked.
  Meter(*entry);
}

void LeaderLink::OnEnd(StreamHandle handle, StreamEnd why) {
  Entry* entry = Find(handle);
  if (entry == nullptr) return;
  DropHandle(*entry);
  env_.logger.Debug("{}: a subscription ended for reason {}", name_, static_cast<int>(why));
  AskLater(*entry);
}

// --- Cutting -------------------------------------------------------------------------------------

void LeaderLink::BeginCut(StreamHandle handle, LogMatch answer) {
  Entry* entry = Find(handle);
  if (entry == nullptr || entry->second.phase != Phase::kAsked) return;
  DropHandle(*entry);
  entry->second.phase = Phase::kCutting;
  scope_.Spawn(Cut(entry->first, entry->second.number, answer), SchedClass::kReplication);
}

Task<void> LeaderLink::Cut(TopicPartitionId id, uint64_t number, LogMatch answer) {
  auto found = followed_.find(id);
  if (found == followed_.end() || found->second.number != number) co_return;
  Partition* partition = PartitionOf(*found);
  if (partition == nullptr) co_return;
  metrics_.truncations.Add();
  // The partition waits for its own coroutines before it goes.
  absl::StatusOr<bool> cut =
      co_await partition->OnHelloAnswer(found->second.epoch, std::move(answer));
  found = followed_.find(id);
  if (found == followed_.end() || found->second.number != number) co_return;
  found->second.phase = Phase::kIdle;
  if (!cut.ok()) {
    GiveUp(*found, cut.status());
    co_return;
  }
  asking_.push_back(id);
  wake_.Pulse();
}

void LeaderLink::GiveUp(Entry& entry, const absl::Status& why) {
  Release(entry);
  env_.logger.Warning("{}: {} of topic {}: {}", name_, entry.first.partition,
                      entry.first.topic_id.ToString(), std::string(why.message()));
  entry.second.again = std::max(entry.second.again, kAfterTrouble);
  AskLater(entry);
}

// --- Data ----------------------------------------------------------------------------------------

Task<absl::Status> LeaderLink::OnData(const StreamDataHead& head) {
  if (stream_->credit <= 0) co_return Broken("data beyond the credit");
  stream_->credit -= static_cast<int64_t>(head.batches_bytes);
  metrics_.bytes_in.Add(head.batches_bytes);
  // Memory first: while there is none, nothing is read and no credit goes back.
  std::optional<Admission> admission = store_.TryAdmit(head.batches_bytes);
  if (!admission.has_value()) {
    std::vector<TopicPartitionId> into;
    if (const Entry* entry = Find(head.state.handle); entry != nullptr) into = {entry->first};
    absl::StatusOr<Admission> admitted =
        co_await store_.AdmitInto(std::move(into), head.batches_bytes, stream_->cancel.token());
    if (!admitted.ok()) co_return admitted.status();
    admission = *std::move(admitted);
  }
  absl::StatusOr<Slice> batches = co_await stream_->reader.TakeBatches(head.batches_bytes);
  if (!batches.ok()) co_return batches.status();
  MR_CO_RETURN_IF_ERROR(
      co_await Append(head.state.handle, *std::move(batches), *std::move(admission)));
  Account(head.state.handle, head.batches_bytes);
  OnState(head.state);
  stream_->owed += head.batches_bytes;
  if (stream_->owed >= options_.credit_bytes / 4) wake_.Pulse();
  co_return absl::OkStatus();
}

Task<absl::Status> LeaderLink::Append(StreamHandle handle, Slice batches, Admission admission) {
  BatchReader reader(batches);
  for (int count = 1;; ++count) {
    if (count % kBatchesPerTurn == 0) co_await Yield(env_.reactor);
    Entry* entry = Find(handle);
    Partition* partition = entry == nullptr ? nullptr : PartitionOf(*entry);
    if (partition == nullptr || entry->second.phase != Phase::kFollowing) {
      metrics_.frames_dropped.Add();
      co_return absl::OkStatus();
    }
    absl::StatusOr<std::optional<BatchView>> batch = reader.Next();
    absl::Status taken = batch.status();
    if (taken.ok() && !batch->has_value()) {
      if (reader.position() == batches.size()) co_return absl::OkStatus();
      taken = MakeError(ErrorKind::kCorruptMessage, "a batch is cut off");
    }
    if (taken.ok()) taken = (*batch)->CheckCrc();
    if (!taken.ok()) {
      metrics_.corrupt.Add();
    } else {
      if (partition->BeginsInside((*batch)->header())) {
        // It is empty, so nothing was agreed on that this could undo. Seldom: the others wait.
        absl::Status begun =
            co_await partition->BeginAt(entry->second.epoch, (*batch)->header().base_offset);
        entry = Find(handle);
        partition = entry == nullptr ? nullptr : PartitionOf(*entry);
        if (partition == nullptr || entry->second.phase != Phase::kFollowing) continue;
        taken = std::move(begun);
      }
      if (taken.ok()) {
        taken = partition->AppendFromLeader(entry->second.epoch, **std::move(batch), admission);
      }
    }
    if (!taken.ok()) {
      GiveUp(*entry, taken);
      co_return absl::OkStatus();
    }
  }
}

}  // namespace millrace

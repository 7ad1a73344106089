#include "replication/follower_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "replication/replication_shard.h"

namespace millrace {
namespace {

// More than any follower of ours grants: whoever does counts wrongly.
constexpr int64_t kCreditMax = int64_t{1} << 30;

StreamEnd EndFor(const absl::Status& why) {
  switch (KindOf(why).value_or(ErrorKind::kStorageError)) {
    case ErrorKind::kNotLeaderOrFollower:
      return StreamEnd::kNotLeader;
    case ErrorKind::kFencedLeaderEpoch:
      return StreamEnd::kFencedEpoch;
    case ErrorKind::kUnknownLeaderEpoch:
      return StreamEnd::kUnknownEpoch;
    case ErrorKind::kUnknownTopicOrPartition:
      return StreamEnd::kNoSuchPartition;
    case ErrorKind::kStaleBrokerEpoch:
      return StreamEnd::kStaleBroker;
    case ErrorKind::kInvalidRequest:
      return StreamEnd::kInvalid;
    default:
      return StreamEnd::kStorage;
  }
}

absl::Status Broken(std::string what) {
  return absl::InvalidArgumentError(fmt::format("replication stream: {}", what));
}

}  // namespace

FollowerFeed::FollowerFeed(Env& env, const ReplicationOptions& options, ReplicationMetrics& metrics,
                           ReplicationShard& shard, ReplicationHello hello,
                           std::unique_ptr<Connection> connection)
    : hello_(std::move(hello)),
      name_(fmt::format("replica stream to broker {}/{}", hello_.broker, hello_.shard)),
      env_(env),
      options_(options),
      metrics_(metrics),
      shard_(shard),
      connection_(std::move(connection)),
      reader_(env.reactor, *connection_, StreamSide::kFollower, 0),
      scope_(env.reactor),
      wake_(env.reactor),
      wake_behind_(env.reactor),
      last_sent_(env.reactor.Now()) {}

FollowerFeed::~FollowerFeed() { MR_CHECK(by_handle_.empty()); }

Task<absl::Status> FollowerFeed::Serve() {
  env_.reactor.Arm(*this, env_.reactor.Now() + options_.keep_alive);
  scope_.Spawn(Write(), SchedClass::kReplication);
  scope_.Spawn(ReadBehind(), SchedClass::kCatchUp);
  Fail(co_await Read());
  co_await scope_.Stop();
  env_.reactor.Disarm(*this);
  env_.reactor.Disarm(state_timer_);
  changed_.clear();
  stated_.clear();
  while (!by_handle_.empty()) Forget(by_handle_.begin());
  co_await connection_->Close();
  co_return failure_;
}

void FollowerFeed::Shutdown(std::string why) { Fail(absl::CancelledError(std::move(why))); }

void FollowerFeed::Fail(absl::Status why) {
  if (!failure_.ok()) return;
  failure_ = std::move(why);
  connection_->Shutdown();
  wake_.Pulse();
  wake_behind_.Pulse();
}

void FollowerFeed::Fire() {
  const std::optional<Duration> silence = reader_.Silence();
  if (silence.has_value() && *silence >= options_.silence_max) {
    Fail(absl::DeadlineExceededError("the follower is silent"));
    return;
  }
  if (env_.reactor.Now() - last_sent_ >= options_.keep_alive) {
    answers_.Add(StreamKeepAlive());
    wake_.Pulse();
  }
  env_.reactor.Arm(*this, env_.reactor.Now() + options_.keep_alive);
}

FeedSubscription* FollowerFeed::Find(StreamHandle handle) {
  auto found = by_handle_.find(handle);
  return found == by_handle_.end() || found->second->ended ? nullptr : found->second.get();
}

// --- What the follower says ----------------------------------------------------------------------

Task<absl::Status> FollowerFeed::Read() {
  while (failure_.ok()) {
    absl::StatusOr<StreamReader::Frame> frame = co_await reader_.Next();
    if (!frame.ok()) co_return frame.status();
    absl::StatusOr<FollowerFrame> parsed =
        ParseFollowerFrame(frame->head, frame->bytes.span(), frame->body());
    if (!parsed.ok()) co_return parsed.status();
    MR_CO_RETURN_IF_ERROR(OnFrame(*parsed));
  }
  co_return failure_;
}

absl::Status FollowerFeed::OnFrame(const FollowerFrame& frame) {
  return std::visit(
      [this](const auto& said) -> absl::Status {
        using Frame = std::decay_t<decltype(said)>;
        if constexpr (std::is_same_v<Frame, StreamSubscribe>) {
          return OnSubscribe(said);
        } else if constexpr (std::is_same_v<Frame, StreamProgress>) {
          return OnProgress(said);
        } else if constexpr (std::is_same_v<Frame, StreamUnsubscribe>) {
          OnUnsubscribe(said);
        } else if constexpr (std::is_same_v<Frame, StreamCredit>) {
          credit_ += said.bytes;
          if (credit_ > kCreditMax) return Broken("more credit than there can be");
          if (std::exchange(starved_, false)) wake_.Pulse();
          wake_behind_.Pulse();
        } else if constexpr (std::is_same_v<Frame, StreamAllow>) {
          return OnAllow(said);
        } else if constexpr (std::is_same_v<Frame, StreamEcho>) {
          echo_ = said;
          wake_.Pulse();
        } else {
          static_assert(std::is_same_v<Frame, StreamKeepAlive>);
        }
        return absl::OkStatus();
      },
      frame);
}

absl::Status FollowerFeed::OnSubscribe(const StreamSubscribe& frame) {
  if (frame.handle.value() <= last_handle_) return Broken("a handle is used twice");
  last_handle_ = frame.handle.value();
  if (auto before = by_partition_.find(frame.id); before != by_partition_.end()) {
    Forget(by_handle_.find(before->second));
  }
  wake_.Pulse();
  Partition* partition = shard_.FindPartition(frame.id);
  if (partition == nullptr) {
    answers_.Add(StreamRefused{frame.handle, StreamEnd::kNoSuchPartition});
    return absl::OkStatus();
  }
  absl::StatusOr<LogMatch> match =
      partition->OnFollowerHello(hello_.broker, hello_.broker_epoch, frame.hello);
  if (!match.ok()) {
    Refuse(frame.handle, match.status());
  } else if (const auto* diverge = std::get_if<LogsDiverge>(&*match)) {
    answers_.Add(StreamDiverged{frame.handle, *diverge});
  } else if (const auto* outside = std::get_if<OutsideLog>(&*match)) {
    answers_.Add(StreamOutside{frame.handle, *outside});
  } else {
    const Offset start = partition->log().start_offset();
    auto subscription = std::make_unique<FeedSubscription>(
        FeedSubscription{.feed = *this,
                         .handle = frame.handle,
                         .epoch = frame.hello.leader_epoch,
                         .partition = partition,
                         .next = std::get<LogsMeet>(*match).from,
                         .high_watermark = partition->high_watermark(),
                         .log_start = start});
    answers_.Add(
        StreamAccepted{{frame.handle, subscription->high_watermark, subscription->log_start}});
    FeedSubscription& added = *subscription;
    by_handle_.emplace(frame.handle, std::move(subscription));
    by_partition_.emplace(frame.id, frame.handle);
    shard_.Attach(*partition, added);
    MarkChanged(added);
  }
  return absl::OkStatus();
}

void FollowerFeed::OnUnsubscribe(const StreamUnsubscribe& frame) {
  auto found = by_handle_.find(frame.handle);
  if (found == by_handle_.end()) return;
  Partition* partition = found->second->partition;
  const LeaderEpoch epoch = found->second->epoch;
  Forget(found);
  if (partition != nullptr) {
    partition->OnFollowerGone(hello_.broker, hello_.broker_epoch, epoch);
  }
}

void FollowerFeed::Refuse(StreamHandle handle, const absl::Status& why) {
  env_.logger.Debug("{}: refuses a subscription: {}", name_, std::string(why.message()));
  answers_.Add(StreamRefused{handle, EndFor(why)});
}

absl::Status FollowerFeed::OnProgress(const StreamProgress& frame) {
  for (const StreamProgress::Entry& entry : frame.entries) {
    FeedSubscription* subscription = Find(entry.handle);
    if (subscription == nullptr) {
      metrics_.frames_dropped.Add();
      continue;
    }
    if (entry.ends.log_end > subscription->next) return Broken("progress beyond what was sent");
    if (catch_up_window_.OnDurable(entry.handle, entry.ends.durable_end, env_.reactor.Now())) {
      wake_behind_.Pulse();
    }
    // May tell who waits for the commit, and mark this very subscription.
    absl::Status taken = subscription->partition->OnFollowerProgress(
        hello_.broker, hello_.broker_epoch, subscription->epoch, entry.ends);
    if (!taken.ok()) {
      End(*subscription, EndFor(taken));
    } else {
      Reconsider(*subscription);
    }
  }
  return absl::OkStatus();
}

absl::Status FollowerFeed::OnAllow(const StreamAllow& frame) {
  FeedSubscription* subscription = Find(frame.handle);
  if (subscription == nullptr) {
    metrics_.frames_dropped.Add();
    return absl::OkStatus();
  }
  if (frame.bytes == StreamAllow::kUnbounded) {
    subscription->allowed.reset();
  } else {
    subscription->allowed = subscription->allowed.value_or(0) + frame.bytes;
    if (*subscription->allowed > kCreditMax) return Broken("more is allowed than there can be");
  }
  MarkChanged(*subscription);
  return absl::OkStatus();
}

// --- What changed --------------------------------------------------------------------------------

void FollowerFeed::MarkChanged(FeedSubscription& subscription) {
  if (subscription.queued) return;
  subscription.queued = true;
  changed_.push_back(&subscription);
  news_ = true;
  wake_.Pulse();
}

void FollowerFeed::MarkState(FeedSubscription& subscription, Duration wait) {
  if (subscription.queued) return;
  if (!std::exchange(subscription.stated, true)) stated_.push_back(&subscription);
  const Instant due = env_.reactor.Now() + wait;
  if (!state_timer_.armed() || due < state_timer_.deadline()) env_.reactor.Arm(state_timer_, due);
}

void FollowerFeed::StateTimer::Fire() {
  feed_.states_due_ = true;
  feed_.wake_.Pulse();
}

void FollowerFeed::Unlink(FeedSubscription& subscription) {
  if (catch_up_window_.Forget(subscription.handle)) wake_behind_.Pulse();
  if (subscription.queued) std::erase(changed_, &subscription);
  if (subscription.stated) std::erase(stated_, &subscription);
  GiveBack(subscription);
}

void FollowerFeed::End(FeedSubscription& subscription, StreamEnd why) {
  if (subscription.ended.has_value()) return;
  subscription.ended = why;
  if (catch_up_window_.Forget(subscription.handle)) wake_behind_.Pulse();
  GiveBack(subscription);
  auto named = by_partition_.find(subscription.partition->id());
  if (named != by_partition_.end() && named->second == subscription.handle) {
    by_partition_.erase(named);
  }
  shard_.Detach(*std::exchange(subscription.partition, nullptr), subscription);
  MarkChanged(subscription);
}

void FollowerFeed::Forget(Subscriptions::iterator at) {
  FeedSubscription& subscription = *at->second;
  if (subscription.partition != nullptr) {
    by_partition_.erase(subscription.partition->id());
    shard_.Detach(*subscription.partition, subscription);
  }
  Unlink(subscription);
  by_handle_.erase(at);
}

int64_t FollowerFeed::LagMax() const {
  int64_t most = 0;
  for (const auto& [handle, subscription] : by_handle_) {
    if (subscription->partition == nullptr) continue;
    most =
        std::max(most, (subscription->partition->log().end_offset() - subscription->next).value());
  }
  return most;
}

Duration FollowerFeed::LagTimeMax() const {
  Duration most{0};
  for (const auto& [handle, subscription] : by_handle_) {
    if (subscription->partition == nullptr || !subscription->partition->leads()) continue;
    for (const PartitionLeader::View& view : subscription->partition->InSyncFollowers()) {
      if (view.broker == hello_.broker) most = std::max(most, view.behind);
    }
  }
  return most;
}

// --- What is sent --------------------------------------------------------------------------------

Task<void> FollowerFeed::Write() {
  while (failure_.ok()) {
    Chain out = Gather();
    if (out.empty()) {
      // Gathering itself may bring news: a subscription that turns out to have ended.
      if (news_) continue;
      co_await wake_.Wait(std::nullopt, scope_.token());
      continue;
    }
    metrics_.bytes_out.Add(out.size());
    last_sent_ = env_.reactor.Now();
    absl::Status sent = co_await connection_->Send(std::move(out));
    if (!sent.ok()) Fail(std::move(sent));
  }
}

Chain FollowerFeed::Gather() {
  news_ = false;
  StreamFrameWriter out = std::exchange(answers_, StreamFrameWriter());
  if (echo_.has_value()) out.Add(*std::exchange(echo_, std::nullopt));
  std::vector<StreamState::Entry> states;
  // Each at most once, so that a busy one does not keep the others waiting; it is put back behind.
  for (size_t left = changed_.size(); left > 0 && out.size() < options_.send_bytes_max; --left) {
    FeedSubscription& subscription = *changed_.front();
    changed_.pop_front();
    subscription.queued = false;
    if (subscription.ended.has_value()) {
      out.Add(StreamEnded{subscription.handle, *subscription.ended});
      Unlink(subscription);
      by_handle_.erase(subscription.handle);
      continue;
    }
    const bool more = !subscription.behind && !subscription.claim.has_value() &&
                      subscription.next < subscription.partition->log().end_offset() &&
                      GatherFrom(subscription, out);
    if (more) {
      subscription.queued = true;
      changed_.push_back(&subscription);
    }
    if (!subscription.ended.has_value()) AddState(subscription, states);
  }
  GatherPiece(out);
  if (!out.empty() || !states.empty() || states_due_) {
    for (FeedSubscription* subscription : std::exchange(stated_, {})) {
      subscription->stated = false;
      if (!subscription->ended.has_value()) AddState(*subscription, states);
    }
    states_due_ = false;
    env_.reactor.Disarm(state_timer_);
  }
  out.Add(states);
  return out.Take();
}

bool FollowerFeed::GatherFrom(FeedSubscription& subscription, StreamFrameWriter& out) {
  Log& log = subscription.partition->log();
  if (credit_ <= 0) {
    starved_ = true;
    return true;
  }
  if (!MayGo(subscription)) return false;
  absl::StatusOr<std::optional<LogRead>> read = log.TryReadCached(
      subscription.next,
      {Most(subscription, options_.data_bytes_max), log.end_offset(), /*at_least_one_batch=*/true});
  if (!read.ok()) {
    // The only way to lose what comes next: the log's start moved beyond it.
    const bool moved = KindOf(read.status()) == ErrorKind::kOffsetOutOfRange;
    End(subscription, moved ? StreamEnd::kMoved : StreamEnd::kStorage);
    return false;
  }
  if (!read->has_value()) {
    PutBehind(subscription);
    return false;
  }
  LogRead& batches = **read;
  if (batches.batches.empty()) return false;
  credit_ -= static_cast<int64_t>(batches.batches.size());
  Account(subscription, batches.batches.size());
  subscription.next = batches.next_offset;
  subscription.high_watermark = subscription.partition->high_watermark();
  subscription.log_start = log.start_offset();
  out.AddData({subscription.handle, subscription.high_watermark, subscription.log_start},
              std::move(batches.batches));
  return subscription.next < log.end_offset();
}

void FollowerFeed::AddState(FeedSubscription& subscription,
                            std::vector<StreamState::Entry>& states) {
  const Offset high_watermark = subscription.partition->high_watermark();
  const Offset log_start = subscription.partition->log().start_offset();
  if (high_watermark == subscription.high_watermark && log_start == subscription.log_start) return;
  subscription.high_watermark = high_watermark;
  subscription.log_start = log_start;
  states.push_back({subscription.handle, high_watermark, log_start});
}

void FollowerFeed::GatherPiece(StreamFrameWriter& out) {
  if (!piece_.has_value()) return;
  if (credit_ <= 0) {
    starved_ = true;
    return;
  }
  Piece piece = *std::exchange(piece_, std::nullopt);
  wake_behind_.Pulse();
  FeedSubscription* subscription = Find(piece.handle);
  if (subscription == nullptr || subscription->next != piece.from) return;
  credit_ -= static_cast<int64_t>(piece.batches.size());
  catch_up_window_.OnSent(piece.handle, piece.next, piece.batches.size(), env_.reactor.Now());
  Account(*subscription, piece.batches.size());
  metrics_.catch_up_bytes.Add(piece.batches.size());
  subscription->next = piece.next;
  subscription->behind = false;
  subscription->high_watermark = subscription->partition->high_watermark();
  subscription->log_start = subscription->partition->log().start_offset();
  out.AddData({piece.handle, subscription->high_watermark, subscription->log_start},
              std::move(piece.batches));
  // Perhaps the rest is in memory.
  MarkChanged(*subscription);
}

// --- Throttles -----------------------------------------------------------------------------------

bool FollowerFeed::IsThrottled(const FeedSubscription& subscription) const {
  return shard_.leader_throttle().limited() && subscription.partition->throttled();
}

bool FollowerFeed::MayGo(FeedSubscription& subscription) {
  const bool bounded = subscription.allowed.has_value() && *subscription.allowed <= 0;
  if (!bounded && (subscription.granted.has_value() || !IsThrottled(subscription))) return true;
  // The follower cannot know as soon as we do that commits wait for it.
  if (subscription.partition->Awaits(hello_.broker)) return true;
  if (bounded) return false;
  subscription.granted = shard_.leader_throttle().TryTake();
  if (subscription.granted.has_value()) return true;
  subscription.claim = shard_.leader_throttle().Claim(&subscription);
  return false;
}

size_t FollowerFeed::Most(const FeedSubscription& subscription, size_t usual) {
  size_t most = std::min(usual, subscription.granted.value_or(usual));
  if (subscription.allowed.has_value() && *subscription.allowed > 0) {
    most = std::min(most, static_cast<size_t>(*subscription.allowed));
  }
  return most;
}

void FollowerFeed::Account(FeedSubscription& subscription, size_t bytes) {
  if (subscription.allowed.has_value()) *subscription.allowed -= static_cast<int64_t>(bytes);
  const std::optional<size_t> granted = std::exchange(subscription.granted, std::nullopt);
  if (!granted.has_value() && !IsThrottled(subscription)) return;
  metrics_.throttled_bytes_out.Add(bytes);
  if (granted.has_value()) {
    shard_.leader_throttle().Settle(*granted, bytes);
  } else {
    shard_.leader_throttle().Note(bytes);
  }
}

void FollowerFeed::GiveBack(FeedSubscription& subscription) {
  if (subscription.claim.has_value()) shard_.leader_throttle().Withdraw(*subscription.claim);
  if (subscription.granted.has_value()) shard_.leader_throttle().Settle(*subscription.granted, 0);
  subscription.claim.reset();
  subscription.granted.reset();
}

void FollowerFeed::OnGrant(FeedSubscription& subscription, size_t bytes) {
  subscription.claim.reset();
  subscription.granted = bytes;
  MarkChanged(subscription);
}

void FollowerFeed::Reconsider(FeedSubscription& subscription) {
  if (subscription.ended.has_value()) return;
  if (subscription.claim.has_value()) {
    // Who still has to wait keeps its place.
    if (IsThrottled(subscription) && !subscription.partition->Awaits(hello_.broker)) return;
    GiveBack(subscription);
  } else if (!subscription.allowed.has_value() || *subscription.allowed > 0) {
    return;
  }
  MarkChanged(subscription);
}

// --- Followers that are behind -------------------------------------------------------------------

void FollowerFeed::PutBehind(FeedSubscription& subscription) {
  subscription.behind = true;
  behind_.push_back(subscription.handle);
  wake_behind_.Pulse();
}

Task<void> FollowerFeed::ReadBehind() {
  while (failure_.ok()) {
    catch_up_window_.Expire(env_.reactor.Now());
    if (behind_.empty() || piece_.has_value() || credit_ <= 0 || !catch_up_window_.has_room()) {
      co_await wake_behind_.Wait(catch_up_window_.expires(), scope_.token());
      continue;
    }
    if (behind_next_ > env_.reactor.Now()) {
      co_await Sleep(env_.reactor, behind_next_, scope_.token());
      continue;
    }
    const StreamHandle handle = behind_.front();
    behind_.pop_front();
    // A throttle may have come meanwhile.
    if (FeedSubscription* next = Find(handle); next != nullptr && !MayGo(*next)) {
      next->behind = false;
      continue;
    }
    absl::Status read = co_await ReadOne(handle);
    FeedSubscription* subscription = Find(handle);
    if (read.ok() || subscription == nullptr) continue;
    const bool moved = KindOf(read) == ErrorKind::kOffsetOutOfRange;
    if (!moved) {
      env_.logger.Error("{}: cannot read {}-{}: {}", name_, subscription->partition->topic(),
                        subscription->partition->id().partition, std::string(read.message()));
    }
    End(*subscription, moved ? StreamEnd::kMoved : StreamEnd::kStorage);
  }
}

Task<absl::Status> FollowerFeed::ReadOne(StreamHandle handle) {
  FeedSubscription* subscription = Find(handle);
  if (subscription == nullptr) co_return absl::OkStatus();
  const Offset from = subscription->next;
  Log& log = subscription->partition->log();
  // The log's own read is safe from its deletion; ours looks everything up anew.
  absl::StatusOr<LogRead> read =
      co_await log.Read(from, {Most(*subscription, options_.catch_up_read_bytes), log.end_offset(),
                               /*at_least_one_batch=*/true});
  if (!read.ok()) co_return read.status();
  if (options_.catch_up_bytes_per_second > 0) {
    const Duration takes(
        static_cast<int64_t>(static_cast<double>(read->batches.size()) * 1e9 /
                             static_cast<double>(options_.catch_up_bytes_per_second)));
    behind_next_ = std::max(behind_next_, env_.reactor.Now()) + takes;
  }
  subscription = Find(handle);
  if (subscription == nullptr) co_return absl::OkStatus();
  if (read->batches.empty()) {
    subscription->behind = false;
    MarkChanged(*subscription);
    co_return absl::OkStatus();
  }
  piece_ = Piece{handle, from, read->next_offset, std::move(read->batches)};
  wake_.Pulse();
  co_return absl::OkStatus();
}

}  // namespace millrace

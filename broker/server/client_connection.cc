#include "broker/server/client_connection.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

// Replies are sent in pieces, so that a slow client is told from one that does not read: of the
// first size, and of the second to a client that is fast enough.
constexpr size_t kSendPieceBytes = size_t{32} << 10;
constexpr size_t kSendFastPieceBytes = size_t{256} << 10;
constexpr size_t kSendWholeBytes = size_t{64} << 10;  // In one piece.
// Of what is coming in or going out; an idle connection is looked at more rarely.
constexpr Duration kLookAtProgress = seconds(1);

}  // namespace

ClientConnection::ClientConnection(Env& env, std::unique_ptr<Connection> connection,
                                   std::string listener, RequestHandler& handler,
                                   RequestBudget& request_budget, ClientConnectionOptions options,
                                   StreamAcceptor* acceptor, ListenerKind kind)
    : options_(options),
      env_(env),
      handler_(handler),
      budget_(request_budget),
      replies_(request_budget.replies()),
      acceptor_(acceptor),
      connection_(std::move(connection)),
      context_(std::make_shared<ConnectionContext>()),
      frames_(env.reactor, *connection_, request_budget, options.frame_bytes_max),
      requests_(env.reactor),
      changed_(env.reactor),
      last_progress_(env.reactor.Now()),
      frame_progress_(env.reactor.Now()) {
  context_->kind = kind;
  context_->listener = std::move(listener);
  context_->local = connection_->local();
  context_->peer = connection_->peer();
}

ClientConnection::~ClientConnection() {
  if (armed()) env_.reactor.Disarm(*this);
}

Task<void> ClientConnection::Serve() {
  ArmIdleTimer();
  if (acceptor_ != nullptr && co_await IsForAcceptor()) {
    co_await HandOver();
    co_return;
  }
  requests_.Spawn(ReadRequests());
  co_await WriteReplies();
  // Whoever still waits (for the network, for budget, for a commit) is told to end; the writer has
  // nothing to send.
  if (take_ == nullptr) Shutdown("");
  co_await requests_.Stop();
  Forget(reply_bytes_);
  holds_.clear();
  if (armed()) env_.reactor.Disarm(*this);
  if (take_ != nullptr && !cancel_.cancelled() && frames_.empty()) {
    co_await take_(std::move(connection_));
    co_return;
  }
  co_await connection_->Close();
  env_.logger.Debug("connection {} closed: {}", context_->peer.ToString(), close_reason_);
}

Task<bool> ClientConnection::IsForAcceptor() {
  size_t wanted = 1;
  while (wanted <= kReadAheadBytes && !cancel_.cancelled()) {
    absl::StatusOr<Slice> first = co_await frames_.Peek(wanted);
    if (!first.ok()) co_return false;  // ReadRequests() meets the same, and says so.
    std::optional<bool> ours = acceptor_->IsOurs(first->view());
    if (ours.has_value()) co_return *ours && !cancel_.cancelled();
    wanted = first->size() + 1;
  }
  co_return false;
}

Task<void> ClientConnection::HandOver() {
  env_.reactor.Disarm(*this);
  std::unique_ptr<Connection> connection = std::move(connection_);
  co_await acceptor_->Serve(std::move(connection), frames_.TakeAhead());
}

Task<void> ClientConnection::ReadRequests() {
  while (!draining_ && !cancel_.cancelled()) {
    while (!cancel_.cancelled() && IsMuted()) {
      co_await changed_.Wait(std::nullopt, cancel_.token());
    }
    absl::StatusOr<Slice> frame = co_await frames_.Next(cancel_.token());
    if (!frame.ok()) {
      if (close_reason_.empty()) close_reason_ = std::string(frame.status().message());
      break;
    }
    // Came in too late: the client will send it again elsewhere. (The scope takes no tasks any
    // more.)
    if (draining_ || cancel_.cancelled()) break;
    last_progress_ = env_.reactor.Now();
    auto order = std::make_shared<RequestOrder>(env_.reactor);
    auto pending = std::make_shared<Pending>(order, std::nullopt);
    pending_.push_back(pending);
    if (!sending_) TellFront();
    requests_.Spawn(RunRequest(*std::move(frame), order, pending));
    co_await order->Released();
  }
  reading_ended_ = true;
  // Nobody may be there any more to read an answer: what is in flight ends soon, long polls at
  // once.
  drain_.Cancel();
  changed_.Pulse();
}

Task<void> ClientConnection::RunRequest(Slice frame, std::shared_ptr<RequestOrder> order,
                                        std::shared_ptr<Pending> pending) {
  ApiReply reply =
      co_await handler_.Handle(std::move(frame), context_, order, cancel_.token(), drain_.token());
  ReplyBytes made;
  made.Add(reply);
  reply_bytes_.Add(reply);
  replies_.Add(made.counted);
  // What came behind a request that closes the connection has no effect any more.
  if (reply.action == ApiReply::Action::kClose || reply.action == ApiReply::Action::kTake) {
    draining_ = true;
  }
  pending->reply = std::move(reply);
  order->Release();
  changed_.Pulse();
}

Task<void> ClientConnection::WriteReplies() {
  for (;;) {
    while ((pending_.empty() || !pending_.front()->reply.has_value()) && !cancel_.cancelled() &&
           !(reading_ended_ && pending_.empty())) {
      co_await changed_.Wait(std::nullopt, cancel_.token());
    }
    if (cancel_.cancelled() || pending_.empty()) co_return;

    // All replies that are ready leave in one send.
    Chain out;
    bool close = false;
    ReplyBytes taken;
    size_t sent_replies = 0;
    while (!pending_.empty() && pending_.front()->reply.has_value() && !close && take_ == nullptr) {
      ApiReply reply = *std::move(pending_.front()->reply);
      pending_.pop_front();
      ++sent_replies;
      taken.Add(reply);
      if (reply.action == ApiReply::Action::kSend) out.Append(std::move(reply.body));
      if (reply.hold != nullptr) holds_.push_back(std::move(reply.hold));
      if (reply.action == ApiReply::Action::kClose) {
        close = true;
        close_reason_ = reply.reason;
      }
      if (reply.action == ApiReply::Action::kTake) take_ = std::move(reply.take);
    }
    if (!out.empty()) {
      absl::Status sent = co_await SendAll(std::move(out));
      if (!sent.ok()) {
        if (close_reason_.empty()) close_reason_ = std::string(sent.message());
        co_return;
      }
    }
    Forget(taken);
    holds_.clear();
    if (sent_replies > 0) last_progress_ = env_.reactor.Now();
    if (take_ != nullptr) co_return;
    if (close) {
      env_.logger.Info("closing connection {}: {}", context_->peer.ToString(), close_reason_);
      co_return;
    }
    TellFront();
    changed_.Pulse();
  }
}

bool ClientConnection::SendingIsTooSlow() const {
  if (!sending_) return false;
  const bool held =
      std::ranges::any_of(holds_, [](const auto& hold) { return hold->holds_up_others(); });
  const bool full = reply_bytes_.counted > 0 && replies_.full();
  if (!held && !full) return false;
  // Who fills the account alone keeps nobody but itself waiting.
  const bool others = held || replies_.used() > reply_bytes_.counted;
  return Stalls(sent_) || (others && IsLate(sent_));
}

bool ClientConnection::IsMuted() const {
  return static_cast<int64_t>(pending_.size()) >= options_.requests_in_flight_max ||
         reply_bytes_.all >= options_.reply_bytes_max ||
         (reply_bytes_.counted > 0 && replies_.full());
}

void ClientConnection::Forget(ReplyBytes sent) {
  reply_bytes_.all -= sent.all;
  reply_bytes_.counted -= sent.counted;
  replies_.Remove(sent.counted);
}

void ClientConnection::TellFront() {
  if (!pending_.empty()) pending_.front()->order->ReachFront();
}

Task<absl::Status> ClientConnection::SendAll(Chain out) {
  sending_ = true;
  sent_ = {env_.reactor.Now(), env_.reactor.Now(), 0, 0};
  absl::Status sent;
  Chain piece;
  size_t piece_bytes = out.size() <= kSendWholeBytes ? kSendWholeBytes : kSendPieceBytes;
  for (const Slice& slice : out.slices()) {
    for (size_t at = 0; sent.ok() && at < slice.size();) {
      const size_t length = std::min(slice.size() - at, piece_bytes - piece.size());
      piece.Append(slice.Sub(at, length));
      at += length;
      if (piece.size() < piece_bytes) continue;
      sent_.piece = piece_bytes;
      sent = co_await connection_->Send(std::exchange(piece, Chain()));
      last_progress_ = env_.reactor.Now();
      const bool fast = sent_.Add(kSendFastPieceBytes, last_progress_);
      piece_bytes = fast ? kSendFastPieceBytes : kSendPieceBytes;
    }
  }
  if (sent.ok() && !piece.empty()) sent = co_await connection_->Send(std::move(piece));
  sending_ = false;
  co_return sent;
}

void ClientConnection::ArmIdleTimer() {
  const bool busy = sending_ || frames_.mid_frame();
  const Duration step =
      busy ? kLookAtProgress : std::min(options_.frame_max, options_.contended_piece_max);
  env_.reactor.Arm(*this, env_.reactor.Now() + std::min(step, options_.idle_max.value_or(step)));
}

bool ClientConnection::Stalls(const PieceProgress& progress) const {
  const int times = progress.piece > kSendWholeBytes ? 2 : 1;
  return env_.reactor.Now() - progress.latest >= times * options_.contended_piece_max;
}

bool ClientConnection::IsLate(const PieceProgress& progress) const {
  const auto more = milliseconds(1000 * progress.bytes / options_.contended_bytes_per_second);
  return env_.reactor.Now() - progress.begun >= options_.contended_whole_max + more;
}

void ClientConnection::MakeRoom(const char* why) {
  budget_.CountClosed();
  env_.logger.Warning("closing connection {}: {}", context_->peer.ToString(), why);
  Shutdown(why);
}

void ClientConnection::Fire() {
  if (frames_.progress() != progress_before_) {
    progress_before_ = frames_.progress();
    frame_progress_ = last_progress_ = env_.reactor.Now();
  }
  const Duration quiet = env_.reactor.Now() - last_progress_;
  // Replies to what came before do not make the frame come on.
  const Duration send_quiet = env_.reactor.Now() - sent_.latest;
  const Duration frame_quiet = env_.reactor.Now() - frame_progress_;
  if (frames_.mid_frame() && frame_quiet >= options_.frame_max) {
    Shutdown("a frame was begun and not finished in time");
  } else if (frames_.holds_up_others() &&
             (Stalls(frames_.body_progress()) || IsLate(frames_.body_progress()))) {
    MakeRoom("its request comes in too slowly while others wait for the memory");
  } else if (sending_ && send_quiet >= options_.frame_max) {
    Shutdown("the client does not read its replies");
  } else if (SendingIsTooSlow()) {
    MakeRoom("it reads its replies too slowly while others wait for the memory");
  } else if (reading_ended_ && !draining_ && quiet >= options_.frame_max) {
    Shutdown("the client left, and its last requests do not end");
  } else if (pending_.empty() && options_.idle_max.has_value() && quiet >= *options_.idle_max) {
    Shutdown("idle for longer than connections.max.idle.ms");
  } else {
    ArmIdleTimer();
  }
}

void ClientConnection::Drain() {
  if (handed_over()) return;
  draining_ = true;
  if (pending_.empty() && !sending_) {
    Shutdown("the broker is stopping");
  } else {
    // The reader is in ReceiveSome or waiting for room; once the last reply is out, WriteReplies
    // sees no more.
    reading_ended_ = true;
    drain_.Cancel();
    changed_.Pulse();
  }
}

void ClientConnection::Shutdown(std::string why) {
  if (handed_over()) return;
  if (close_reason_.empty()) close_reason_ = std::move(why);
  connection_->Shutdown();
  drain_.Cancel();
  cancel_.Cancel();
  changed_.Pulse();
}

}  // namespace millrace

// ControllerLink: this broker's side of its session with the active controller, whoever that is at
// the moment.
//
//   looking      dials what it knows (a redirect, this node's own quorum, the configured
//                controllers in turn), with a growing, jittered pause between rounds
//   registering  a controller took the stream; Register was sent
//   linked       Registered came: heartbeats, metadata, requests
//   → looking    the stream broke, the controller said Redirect, or was silent for too long
//
// The broker goes on serving with its last image meanwhile. Its registration is kept over changes
// of the controller: the same incarnation keeps its epoch.
//
// Shard:    shard 0.
// Lifetime: `broker`, `dialer` and the Env outlive it. Stop() must have finished before
//           destruction.
// Errors:   Ask(): kUnavailable: the session ended while a question that may not be asked twice was
//           under way: it may have had its effect or not. kDeadlineExceeded with kNotController: no
//           controller answered in time: without effect, unless it may be asked repeatedly.
//           The same where it answered that it has too many of this broker's questions already.
//           kCancelled: Stop(). kInvalidArgument: the question is larger than a session carries
//           (kForwardedBytesMax); nothing was sent.
// Bound:    `asks_max` questions under way; further ones wait.
// Source:   docs/architecture.md, Control plane; KIP-631 (registration, fencing), KIP-590.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "controller/session/session_message.h"
#include "controller/transport/message_stream.h"

namespace millrace {

// Where a controller may be found.
struct ControllerPlace {
  std::optional<BrokerId> id;  // Not known of bootstrap servers.
  SocketAddress address;
  friend bool operator==(const ControllerPlace&, const ControllerPlace&) = default;
};

// The rest of the broker, as the link sees it. Called on shard 0.
class LinkedBroker {
 public:
  virtual ~LinkedBroker() = default;

  virtual session::Register Registration() const = 0;
  // The metadata that every shard has applied.
  virtual std::optional<RaftIndex> Applied() const = 0;

  // The active controller as this node's own quorum knows it; nothing without one, or while it
  // knows nobody.
  virtual std::optional<BrokerId> KnownController() const = 0;
  // A stream to this node's own controller, which is the active one; null when it is not any more.
  virtual std::unique_ptr<MessageStream> DialSelf(StreamHello hello) = 0;

  // A session ended, and its controller was last heard then; nothing: one has begun.
  virtual void OnController(std::optional<Instant>) {}
  // The controller has answered a heartbeat that left then: this broker is not fenced.
  virtual void OnHeartbeat(Instant /*sent*/) {}

  // What the feed brings, if it was asked for. An error ends the session.
  virtual absl::Status OnEntries(const session::Entries& entries) = 0;
  virtual absl::Status OnSnapshot(RaftIndex index, std::vector<std::string> pieces) = 0;
};

struct ControllerLinkOptions {
  BrokerId self{0};
  std::string cluster_id;
  std::optional<DirectoryId> directory;     // Of metadata.log.dir, where it has one.
  std::vector<ControllerPlace> candidates;  // Not this node.
  std::string controller_listener;          // Which of a redirect's endpoints to dial.
  Duration heartbeat_interval = milliseconds(1000);
  // Nothing was heard of a controller for so long: it is looked for elsewhere.
  Duration silence_max = milliseconds(3000);
  Duration dial_max = milliseconds(1000);
  Duration backoff_min = milliseconds(20);
  Duration backoff_max = milliseconds(500);
  // A question that was sent is waited for so long at least, or as long as the session holds.
  Duration answer_max = seconds(30);
  // Higher: more requests of clients wait in the controller's line at once; it refuses what goes
  // beyond its own bound.
  size_t asks_max = session::kRequestsMax;
};

// May a question be asked again when it is not known whether it had its effect?
enum class Asking : uint8_t { kOnce, kRepeatedly };

class ControllerLink {
 public:
  ControllerLink(Env& env, LinkedBroker& broker, StreamDialer& dialer,
                 ControllerLinkOptions options);
  ~ControllerLink();

  void Start() { scope_.Spawn(Run()); }
  Task<void> Stop();

  // --- What the controller has said. `changed()` pulses with each change.
  std::optional<BrokerEpoch> epoch() const { return epoch_; }
  bool linked() const { return linked_; }
  bool fenced() const { return fenced_; }
  bool may_shut_down() const { return may_shut_down_; }
  // Why this broker will not be registered, when asking again does not help.
  const absl::Status& refusal() const { return refusal_; }
  std::optional<BrokerId> controller() const { return controller_; }
  Event& changed() { return changed_; }

  // --- What the controller is told, with a heartbeat that leaves at once.
  void Serve();         // Ready: wants to be unfenced. Before: wants to be fenced.
  void WantShutdown();  // Controlled shutdown has begun.
  void LostPeer(BrokerId peer);
  void FoundPeer(BrokerId peer);  // Nothing is told of one that was not lost.
  void SetOfflineDirectories(std::vector<DirectoryId> offline);
  void SetMarkedDirectories(std::vector<DirectoryId> full, std::vector<DirectoryId> slow);
  // Something else of a heartbeat has changed (what is applied, who leads the quorum).
  void Poke();

  // Gives an answer that is no kNotController. The id that `request` goes by is given here.
  Task<absl::StatusOr<session::Response>> Ask(const session::Request& request,
                                              Asking asking,  // Borrowed: awaited in place.
                                              Instant deadline);

 private:
  struct Pending {
    explicit Pending(Reactor& reactor) : ended(reactor) {}
    std::optional<session::Response> response;  // Nothing: the session ended.
    Event ended;
  };
  struct Target {
    ControllerPlace place;
    bool self = false;
  };

  Task<void> Run();
  Target NextTarget();
  // From dialing to the end of the stream.
  Task<absl::Status> OneSession(Target target);
  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(Target target);
  Task<absl::Status> ReceiveAll(MessageStream* stream);
  // Ends the session (with a Status) or goes on.
  absl::Status Take(session::ToBroker message);
  absl::Status On(const session::Redirect& message);
  absl::Status On(const session::Refused& message);
  absl::Status On(const session::Registered& message);
  absl::Status On(const session::HeartbeatReply& message);
  absl::Status On(const session::Entries& message);
  absl::Status On(session::SnapshotPiece message);
  absl::Status On(session::Response message);
  session::Heartbeat NextHeartbeat();
  Task<void> Watch(MessageStream* stream, CancellationToken token);
  void EndSession();
  // Nothing: answered by nobody, ask again if that is allowed.
  Task<std::optional<session::Response>> AskOnce(session::Request request, Instant deadline);

  // Constant after construction.
  const ControllerLinkOptions options_;
  // Borrowed.
  Env& env_;
  LinkedBroker& broker_;
  StreamDialer& dialer_;
  // State.
  TaskScope scope_;
  Event changed_;
  std::optional<ControllerPlace> redirect_;
  size_t next_candidate_ = 0;
  uint64_t generation_ = 0;  // Of sessions.
  MessageStream* stream_ = nullptr;
  Instant last_heard_{0};
  bool linked_ = false;
  std::optional<BrokerId> controller_;
  std::optional<BrokerEpoch> epoch_;
  bool fenced_ = true;
  bool may_shut_down_ = false;
  absl::Status refusal_;
  // Heartbeats.
  Event beat_;
  bool beat_due_ = false;
  uint64_t sequence_ = 0;
  std::map<uint64_t, Instant> beats_;  // Under way in this session: when each left.
  bool serves_ = false;
  bool wants_shutdown_ = false;
  struct Testimony {
    bool lost;                                // Or found again.
    std::optional<uint64_t> carried_by = {};  // The heartbeat.
  };
  // Kept until that heartbeat is answered, and told again to the next controller.
  std::map<BrokerId, Testimony> testimony_;
  std::set<BrokerId> lost_peers_;  // Of which the latest testimony is that they are lost.
  std::vector<DirectoryId> offline_;
  std::vector<DirectoryId> full_;
  std::vector<DirectoryId> slow_;
  // A snapshot that is coming in.
  std::vector<std::string> pieces_;
  // Questions.
  uint64_t next_request_ = 1;
  int64_t sending_ = 0;  // Questions that are being sent on stream_.
  Event sent_;
  std::map<uint64_t, Pending*> pending_;
};

}  // namespace millrace

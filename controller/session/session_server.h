// SessionServer: the controller's side of the brokers' sessions (proto/control/session.proto): one
// session per stream of kind kBroker. On the active controller it registers brokers, takes their
// heartbeats, feeds metadata to those that have no replica of it, and runs their requests; on
// another one it tells them who is active.
//
//   a stream comes → Register is awaited → active?  no: the leader is awaited a little → Redirect
//                                                   yes: Registered → messages, until it breaks
//
// What a broken stream means is the Controller's to decide (broker_liveness.h). This file brings it
// the evidence: streams that break, what brokers say of each other, and whether a listener still
// accepts when it is dialled.
//
// Shard:    shard 0.
// Lifetime: everything lent outlives it. Stop() must have finished before destruction.
// Bound:    one session per broker id (a newer one takes the place of an older one), and
//           `sessions_max` streams in all; requests_max requests of one session at once. The stream
//           is read meanwhile, because heartbeats come over it: what goes beyond is refused with
//           kNotController, so that the broker asks again after a pause. Brokers do not go beyond it
//           (session::kRequestsMax), but for what they have ceased to wait for.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "controller/controller.h"
#include "controller/session/fed_brokers.h"
#include "controller/session/metadata_feed.h"
#include "controller/session/session_message.h"
#include "controller/transport/message_stream.h"

namespace millrace {

// Runs the requests that come over sessions. Implemented where the APIs are.
class SessionRequests {
 public:
  virtual ~SessionRequests() = default;
  virtual Task<session::Response> Answer(session::Request request) = 0;
};

// Who leads the quorum, as far as this node knows.
class ActiveController {
 public:
  virtual ~ActiveController() = default;
  virtual std::optional<RaftTerm> leading_term() const = 0;
  virtual std::optional<BrokerId> leader() const = 0;
  virtual std::vector<BrokerEndpoint> EndpointsOf(BrokerId controller) const = 0;
};

struct SessionServerOptions {
  BrokerId self{0};
  std::string probed_listener;  // Which of a broker's endpoints is dialed to see whether it lives.
  Duration probe_max = milliseconds(500);
  // An accepted dial that the other side ends within this is none: the kernel goes on accepting for
  // a moment for a process that was killed, and then resets what it accepted.
  Duration probe_hold = milliseconds(20);
  // How long a broker that comes while nobody leads is kept before it is sent away again: it saves
  // it from asking around during an election.
  Duration election_wait = milliseconds(1000);
  Duration register_max = milliseconds(5000);  // From the stream's begin to Register.
  size_t sessions_max = 4096;
  size_t requests_max = session::kRequestsMax;
};

class SessionServer final : public BrokerProber {
 public:
  SessionServer(Env& env, Controller& controller, MetadataFeed& feed, ActiveController& active,
                SessionRequests& requests, SessionServerOptions options);
  ~SessionServer() override;

  // Takes over a stream of kind kBroker.
  void Accept(std::unique_ptr<MessageStream> stream);
  // The same for the broker of this process: its end of a stream without a network.
  std::unique_ptr<MessageStream> DialSelf(StreamHello hello);

  // Who leads has changed. Sessions of a controller that is no longer active end with a Redirect.
  void OnLeadership();

  // The brokers that are fed here, and how far they are; of the active controller.
  std::vector<FedBroker> Fed() { return fed_.List(env_.reactor.Now()); }

  // BrokerProber.
  void Probe(BrokerId broker) override;

  // Ends all sessions; streams that come from now on are closed at once.
  Task<void> Stop();
  // Those are closed too. After the acceptor has stopped.
  Task<void> Join() { return closing_.Join(); }

 private:
  struct Session {
    Session(Reactor& reactor, std::unique_ptr<MessageStream> its_stream)
        : stream(std::move(its_stream)), scope(reactor), changed(reactor) {}
    std::unique_ptr<MessageStream> stream;
    TaskScope scope;                              // Requests, heartbeats, the feed.
    Event changed;                                // heartbeat.
    std::optional<BrokerEpoch> epoch;             // Once registered.
    bool fed = false;                             // It asked for the metadata.
    bool ended_by_us = false;                     // Its break is no evidence.
    std::optional<session::Heartbeat> heartbeat;  // The newest that was not looked at.
    size_t requests = 0;                          // Under way.
    BrokerId id() const { return stream->hello().from; }
  };
  using Sessions = std::list<std::unique_ptr<Session>>;

  static Task<void> CloseNow(std::unique_ptr<MessageStream> stream);
  bool IsActive() const { return active_.leading_term().has_value(); }
  Task<void> Serve(Sessions::iterator session);
  Task<absl::Status> Run(Session* session);
  Task<absl::StatusOr<session::Register>> AwaitRegister(Session* session);
  Task<absl::Status> RegisterBroker(Session* session, session::Register message);
  Task<absl::Status> ReceiveAll(Session* session);
  Task<void> Send(Session* session, session::ToBroker message);
  Task<void> SendRedirect(Session* session);

  Task<void> TakeHeartbeats(Session* session);
  void NotePosition(const Session& session, RaftIndex applied);
  Task<void> AnswerRequest(Session* session, session::Request request);
  Task<void> RefuseRequest(Session* session, uint64_t id);
  Task<void> Feed(Session* session, std::optional<RaftIndex> applied);
  Task<std::optional<RaftIndex>> SendImage(Session* session);

  Task<void> Dial(BrokerId broker, SocketAddress address);
  void Tell(BrokerId broker, EvidenceKind answer);
  // Whether a connection that was accepted stays so.
  Task<bool> Holds(Connection* connection);

  const SessionServerOptions options_;
  Env& env_;
  Controller& controller_;
  MetadataFeed& feed_;
  ActiveController& active_;
  SessionRequests& requests_;
  TaskScope scope_;
  TaskScope closing_;
  Event leadership_;
  Sessions sessions_;
  std::map<BrokerId, Session*> by_broker_;  // Registered ones.
  FedBrokers fed_;
  std::set<BrokerId> probed_;  // Being dialed now.
};

}  // namespace millrace

// LifeSigns: asks the leaders that this shard follows whether they are still there, for who must know
// it better than by what has been noticed so far. A client whose leader was killed may have lost its
// connection, and ask for metadata, before the broker that it asks has lost its own stream: it would
// be told the dead leader again, and be silent for a second (librdkafka), or five (franz-go). A leader's
// answer to a question that was sent after the client's says that it was alive when the client asked.
//
//   HearFrom ──► Echo(n) over a replication stream ──► Echo(n): it lives
//                                                  ──► the stream breaks: BrokerDoubts knows it now
//                                                  ──► neither, in time: silent; it is not waited
//                                                      for, and asked until it answers in time again
//
// Shard:    one.
// Lifetime: nobody waits when it is destroyed (CHECKed): the connections of clients have ended.
// Cost:     a round trip between brokers for who asks. One question to a broker is under way at a
//           time; those who come meanwhile share the next one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

class LifeSigns {
 public:
  // Long for an answer, also behind a full send of data.
  static constexpr Duration kPatience = milliseconds(200);

  // Asks the broker to say the number again; false where there is no stream to ask over.
  using Ask = std::function<bool(BrokerId, uint64_t number)>;

  LifeSigns(Reactor& reactor, Ask ask) : reactor_(reactor), ask_(std::move(ask)), news_(reactor) {}

  // Until each of `brokers` that can be asked has said something since this was called, or was lost;
  // kPatience at most, or `cancel`.
  Task<void> HearFrom(std::vector<BrokerId> brokers, CancellationToken cancel);

  void OnEcho(BrokerId broker, uint64_t number);
  // A stream to it is lost, perhaps the one it was asked over: no answer will come for sure.
  void OnLost(BrokerId broker);

 private:
  struct Peer {
    uint64_t asked = 0;    // The last question,
    uint64_t heard = 0;    // and the last that was answered, or will not be.
    bool another = false;  // Somebody waits for the question after `asked`.
    bool silent = false;   // The last one was not answered in time.
    Instant asked_at{0};
  };
  // False: it cannot be asked.
  bool AskNext(BrokerId broker, Peer& peer);
  // The question whose answer was sent after now; nothing: it cannot be asked, or is silent.
  std::optional<uint64_t> AskAfter(BrokerId broker, Peer& peer);
  bool IsLate(const Peer& peer) const { return reactor_.Now() - peer.asked_at >= kPatience; }

  Reactor& reactor_;
  const Ask ask_;
  std::map<BrokerId, Peer> peers_;  // As many as there are brokers.
  Event news_;
};

}  // namespace millrace

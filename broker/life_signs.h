// LifeSigns: asks the leaders that this shard follows whether they are still there, for who must know
// it better than by what has been noticed so far. A client whose leader was killed may have lost its
// connection, and ask for metadata, before the broker that it asks has lost its own stream: it would
// be told the dead leader again, and be silent for a second (librdkafka), or five (franz-go). A leader's
// answer to a question that was sent after the client's says that it was alive when the client asked.
//
//   HearFrom ──► Echo(n) over a replication stream ──► Echo(n): it lives
//                                                  ──► the stream breaks: BrokerDoubts knows it now
//                                                  ──► neither, in time: silent; it is not waited for
//                                                      again before it has said something
//
// Shard:    one.
// Lifetime: nobody waits when it is destroyed (CHECKed): the connections of clients have ended.
// Cost:     a round trip between brokers for who asks. One question to a broker is under way at a
//           time; those who come meanwhile share the next one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

class LifeSigns {
 public:
  // Asks the broker to say the number again; false where there is no stream to ask over.
  using Ask = std::function<bool(BrokerId, uint64_t number)>;

  LifeSigns(Reactor& reactor, Ask ask) : ask_(std::move(ask)), news_(reactor) {}

  // Until each of `brokers` that can be asked has said something since this was called, or was lost;
  // at most until `until`.
  Task<void> HearFrom(std::vector<BrokerId> brokers, Instant until);

  void OnEcho(BrokerId broker, uint64_t number);
  // A stream to it broke.
  void OnLost(BrokerId broker);

 private:
  struct Peer {
    uint64_t asked = 0;    // The last question,
    uint64_t heard = 0;    // and the last that was answered, or will not be.
    bool another = false;  // Somebody waits for the question after `asked`.
    bool silent = false;
  };
  // The question whose answer was sent after now; nothing: it cannot be asked, or is silent.
  bool AskAfter(BrokerId broker, Peer& peer, uint64_t* number);

  const Ask ask_;
  std::map<BrokerId, Peer> peers_;
  Event news_;
};

}  // namespace millrace

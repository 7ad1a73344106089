// BrokerDoubts: brokers to which a replication stream of this shard has just broken. Whether they
// are dead the controller finds out within a moment (docs/replication.md, What a kill -9 costs);
// until then clients are not sent to them. A client that lost the same broker asks for metadata at
// once, and one that is told the dead leader again is content and looks no further for a second
// (librdkafka), or five (franz-go). "Nobody leads" makes librdkafka ask again soon, but not
// franz-go: so the answer waits for the election, as long as those take, before it says that.
//
// Shard:    one.
// Bound:    a doubt ends with what the image says of that registration, and after kDoubtMax
//           anyhow: a broker that lives is back before.
#pragma once

#include <algorithm>
#include <map>

#include "common/ids.h"
#include "common/time.h"
#include "controller/image/metadata_image.h"

namespace millrace {

class BrokerDoubts {
 public:
  static constexpr Duration kDoubtMax = milliseconds(800);

  void OnBroken(BrokerId broker, BrokerEpoch epoch, Instant now) {
    broken_.insert_or_assign(broker, Broken{epoch, now});
  }
  // A stream with it stands: it lives, unless it has registered anew.
  void OnStream(BrokerId broker, BrokerEpoch epoch) {
    const auto found = broken_.find(broker);
    if (found != broken_.end() && found->second.epoch == epoch) broken_.erase(found);
  }
  bool HasAny(Instant now) const {
    return std::ranges::any_of(broken_,
                               [&](const auto& one) { return now - one.second.when < kDoubtMax; });
  }
  // A broker that is being shut down has handed over what it led.
  bool IsDoubtful(const BrokerImage& broker, Instant now) const {
    const auto found = broken_.find(broker.id);
    if (found == broken_.end() || now - found->second.when >= kDoubtMax) return false;
    return broker.epoch == found->second.epoch && !broker.in_controlled_shutdown;
  }

 private:
  struct Broken {
    BrokerEpoch epoch;
    Instant when;
  };
  std::map<BrokerId, Broken>
      broken_;  // The last time of each, by id: as many as there are brokers.
};

}  // namespace millrace

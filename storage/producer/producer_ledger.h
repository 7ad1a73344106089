// ProducerLedger: how many producers the logs of one shard remember together, and which of them has
// been silent for longest. One more than it has room for, and that one is forgotten, whichever log
// remembers it, as if it had expired: rule 1.36 says what its client meets then.
//
//   not in it --- first batch of a producer, or found at start ---> last in line
//   in line ----- another batch ----------------------------------> last in line
//   in line ----- a transaction begins ---------------------------> counted, out of line
//   counted ----- the transaction has ended ----------------------> last in line
//   in line ----- first of too many ------------------------------> forgotten
//
// A log alone is bounded as well (producer_state.h); a flood over many partitions is not, by that.
// Each replica forgets for itself, as with expiry: its state follows from the log, and what a
// leader has accepted its followers take, whatever they remember.
//
// Shard:    one, that of its logs. Every operation is O(1).
// Lifetime: outlives every ProducerState that is in it.
// Bounds:   `producers_max`, and those beyond it that have a transaction open.
// Source:   docs/storage.md, Producers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/ids.h"
#include "common/intrusive_list.h"

namespace millrace {

class ProducerLedger;
class ProducerState;

// A producer's place, which lies in its entry: whoever drops the entry gives the place up. The
// fields are the ledger's.
struct ProducerPlace {
  ProducerPlace() = default;
  // The copy of an entry is in no ledger, and an entry that is assigned to stays where it is.
  ProducerPlace(const ProducerPlace&) {}
  ProducerPlace& operator=(const ProducerPlace&) { return *this; }
  ~ProducerPlace();

  ProducerLedger* ledger = nullptr;
  ProducerState* owner = nullptr;
  ProducerId id{0};
  ListHook<ProducerPlace> hook = {};
};

class ProducerLedger {
 public:
  // REQUIRES: producers_max > 0.
  explicit ProducerLedger(size_t producers_max);
  // REQUIRES: nobody is in it.
  ~ProducerLedger();
  ProducerLedger(const ProducerLedger&) = delete;
  ProducerLedger& operator=(const ProducerLedger&) = delete;

  // `owner` remembers `id`, and has just heard of it. May make other states, and this one, forget
  // others; never this one.
  void Heard(ProducerPlace& place, ProducerState& owner, ProducerId id, bool in_transaction);
  // No-op when it is in none.
  void Leave(ProducerPlace& place);

  size_t producers() const { return producers_; }
  size_t producers_max() const { return producers_max_; }
  // How often one had to go.
  uint64_t evicted() const { return evicted_; }

 private:
  const size_t producers_max_;
  size_t producers_ = 0;
  uint64_t evicted_ = 0;
  // Those that may go, the longest silent first.
  IntrusiveList<ProducerPlace, &ProducerPlace::hook> line_;
};

}  // namespace millrace

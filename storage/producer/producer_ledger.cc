#include "storage/producer/producer_ledger.h"

#include "common/check.h"
#include "storage/producer/producer_state.h"

namespace millrace {

ProducerPlace::~ProducerPlace() {
  if (ledger != nullptr) ledger->Leave(*this);
}

ProducerLedger::ProducerLedger(size_t producers_max) : producers_max_(producers_max) {
  MR_CHECK(producers_max > 0);
}

ProducerLedger::~ProducerLedger() { MR_CHECK(producers_ == 0); }

void ProducerLedger::Heard(ProducerPlace& place, ProducerState& owner, ProducerId id,
                           bool in_transaction) {
  if (place.ledger == nullptr) {
    place.ledger = this;
    place.owner = &owner;
    place.id = id;
    ++producers_;
  }
  MR_CHECK(place.ledger == this);
  MR_CHECK(place.owner == &owner);
  line_.Remove(place);
  if (!in_transaction) line_.PushBack(place);
  while (producers_ > producers_max_ && !line_.empty() && &line_.front() != &place) {
    const ProducerPlace& oldest = line_.front();
    ++evicted_;
    oldest.owner->Forget(oldest.id);
  }
}

void ProducerLedger::Leave(ProducerPlace& place) {
  if (place.ledger == nullptr) return;
  MR_CHECK(place.ledger == this);
  line_.Remove(place);
  place.ledger = nullptr;
  --producers_;
}

}  // namespace millrace

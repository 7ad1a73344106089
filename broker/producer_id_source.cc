#include "broker/producer_id_source.h"

namespace millrace {

Task<absl::StatusOr<ProducerId>> ProducerIdSource::Next() {
  while (next_ == end_) {
    if (refilling_) {
      co_await refilled_.Wait();
      continue;
    }
    refilling_ = true;
    absl::StatusOr<ProducerIdBlock> block = co_await controller_.AllocateProducerIds();
    refilling_ = false;
    refilled_.Pulse();
    if (!block.ok()) co_return block.status();
    next_ = block->first;
    end_ = block->first + block->size;
  }
  co_return ProducerId(next_++);
}

}  // namespace millrace

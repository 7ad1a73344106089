#include "storage/record/shard_validator.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

// No job counts as less: so many at most are with the helpers at a time, whatever their size.
constexpr size_t kJobsMax = 16;

// What validating may hold beside the codecs' contexts: a block that comes out whole (snappy), and
// the batch that is written anew, twice while it is put together.
size_t MemoryFor(const ValidationJob& job) {
  const size_t batch_bytes = job.batch.header().size_bytes;
  size_t bytes = kDecompressChunkBytes;
  if (job.batch.header().attributes.compression() == Compression::kSnappy) {
    bytes += std::min(kSnappyExpansionMax * batch_bytes, UncompressedBytesMax(batch_bytes));
  }
  return bytes + 2 * std::min(job.rules.message_bytes_max, UncompressedBytesMax(batch_bytes));
}

}  // namespace

Task<absl::StatusOr<ValidationOutcome>> ShardValidator::Validate(ValidationJob job,
                                                                 CancellationToken cancel) {
  const size_t bytes = std::max(MemoryFor(job), memory_.bytes_max() / kJobsMax);
  MR_CO_RETURN_IF_ERROR(co_await memory_.Acquire(bytes, cancel));
  // The helper's own validator: its contexts go with it, and no other thread knows them.
  std::move_only_function<ValidationOutcome()> work = [job = std::move(job)] {
    return BatchValidator().Validate(job.batch, job.rules, job.origin, job.partition, job.now);
  };
  ValidationOutcome outcome = co_await helpers_.Compute<ValidationOutcome>(std::move(work));
  memory_.Release(bytes);
  co_return outcome;
}

}  // namespace millrace

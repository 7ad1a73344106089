// Any bytes as an offset index and as a time index: a look-up answers with an entry of the file, or
// with nothing, also where the file is no index; and one that passes its check orders its answers.
//
// The first 16 bytes are what is looked for and how much log there is.
#include <cstdint>
#include <cstring>
#include <span>

#include "common/check.h"
#include "storage/segment/offset_index.h"
#include "storage/segment/time_index.h"

namespace millrace {
namespace {

constexpr Offset kBase(1000);

void LookUpOffsets(std::span<const uint8_t> file, int64_t wanted, uint64_t log_bytes) {
  if (wanted >= INT64_MAX - 1) return;  // No log ends there, so nobody looks for it.
  OffsetIndexView index(file, kBase);
  const bool sound = index.Check(log_bytes).ok();
  auto found = index.Lookup(Offset(wanted));
  auto later = index.Lookup(Offset(wanted + 1));
  if (!sound) return;
  MR_CHECK(!found.has_value() || found->offset <= Offset(wanted));
  MR_CHECK(!found.has_value() || found->position < log_bytes);
  MR_CHECK(!found.has_value() || later.has_value());
  MR_CHECK(!found.has_value() || found->position <= later->position);
}

void LookUpTimes(std::span<const uint8_t> file, int64_t wanted, int64_t end) {
  TimeIndexView index(file, kBase);
  const bool sound = index.Check(Offset(end)).ok();
  auto found = index.LookupBefore(Timestamp(wanted));
  if (!sound || !found.has_value()) return;
  MR_CHECK(found->offset >= kBase);
  MR_CHECK(found->offset < Offset(end));
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int64_t numbers[2];
  if (size < sizeof(numbers)) return 0;
  std::memcpy(numbers, data, sizeof(numbers));
  std::span<const uint8_t> file(data + sizeof(numbers), size - sizeof(numbers));
  millrace::LookUpOffsets(file, numbers[0], static_cast<uint64_t>(numbers[1]));
  millrace::LookUpTimes(file, numbers[0], numbers[1]);
  return 0;
}

// Any bytes as one of the small files beside segments: what is read can be written and read again
// to the same.
//
// The first byte chooses the file. Checksums are made right, or the fuzzer would never get past
// them.
#include <cstdint>
#include <span>
#include <string_view>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/check.h"
#include "common/config/bootstrap_file.h"
#include "common/config/meta_properties.h"
#include "storage/leader_epoch_cache.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/producer/producer_snapshot.h"

namespace millrace {
namespace {

void ReadProducerSnapshot(Slice bytes) {
  constexpr size_t kCoveredFrom = 6;
  constexpr Timestamp kNow(1'700'000'000'000);
  if (bytes.size() > kCoveredFrom) {
    StoreBig<uint16_t>(bytes.Patch(), 1);
    StoreBig<uint32_t>(bytes.Patch() + 2, Crc32c(bytes.span().subspan(kCoveredFrom)));
  }
  auto state = DecodeProducerSnapshot(bytes.span(), kNow);
  if (!state.ok()) return;
  auto again = DecodeProducerSnapshot(EncodeProducerSnapshot(*state).span(), kNow);
  MR_CHECK(again.ok());
  MR_CHECK(again->entries() == state->entries());
}

void ReadEpochs(std::string_view text) {
  auto epochs = LeaderEpochCache::Decode(text);
  if (!epochs.ok()) return;
  auto again = LeaderEpochCache::Decode(epochs->Encode());
  MR_CHECK(again.ok());
  MR_CHECK(again->Encode() == epochs->Encode());
}

void ReadPartitionMetadata(std::string_view text) {
  auto id = ParsePartitionMetadata(text);
  if (!id.ok()) return;
  auto again = ParsePartitionMetadata(FormatPartitionMetadata(*id));
  MR_CHECK(again.ok());
  MR_CHECK(*again == *id);
}

void ReadOffsetCheckpoint(std::string_view text) {
  auto entries = ParseOffsetCheckpoint(text);
  if (!entries.ok()) return;
  auto again = ParseOffsetCheckpoint(FormatOffsetCheckpoint(*entries));
  MR_CHECK(again.ok());
  MR_CHECK(*again == *entries);
}

void ReadMetaProperties(std::string_view text) {
  auto meta = ParseMetaProperties(text);
  if (!meta.ok()) return;
  auto again = ParseMetaProperties(PrintMetaProperties(*meta));
  MR_CHECK(again.ok());
  MR_CHECK(PrintMetaProperties(*again) == PrintMetaProperties(*meta));
}

void ReadBootstrapFile(std::string_view text) {
  auto file = ParseBootstrapFile(text);
  if (!file.ok()) return;
  auto again = ParseBootstrapFile(PrintBootstrapFile(*file));
  MR_CHECK(again.ok());
  MR_CHECK(*again == *file);
}

void ReadLogCheckpoint(std::string_view bytes) {
  auto checkpoint = DecodeLogCheckpoint(bytes);
  if (!checkpoint.ok()) return;
  auto again = DecodeLogCheckpoint(EncodeLogCheckpoint(*checkpoint));
  MR_CHECK(again.ok());
  MR_CHECK(*again == *checkpoint);
}

void ReadNames(std::string_view name) {
  if (auto offset = ParseSegmentFileName(name, ".log"); offset.has_value()) {
    MR_CHECK(SegmentFileName(*offset, ".log") == name);
  }
  if (auto directory = ParsePartitionDirectoryName(name); directory.has_value()) {
    MR_CHECK(PartitionDirectoryName(directory->topic, directory->partition) == name);
  }
  (void)IsDeletedDirectoryName(name);
  (void)IsStrayDirectoryName(name);
  (void)ParseLogCheckpointKey(name);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      millrace::ReadProducerSnapshot(millrace::Slice::Copy(text));
      break;
    case 1:
      millrace::ReadEpochs(text);
      break;
    case 2:
      millrace::ReadPartitionMetadata(text);
      break;
    case 3:
      millrace::ReadOffsetCheckpoint(text);
      break;
    case 4:
      millrace::ReadMetaProperties(text);
      break;
    case 5:
      millrace::ReadLogCheckpoint(text);
      break;
    case 6:
      millrace::ReadBootstrapFile(text);
      break;
    default:
      millrace::ReadNames(text);
  }
  return 0;
}

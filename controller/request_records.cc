#include "controller/request_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "common/error_kind.h"

namespace millrace {

absl::Status RequestRecords::Add(MetadataRecords records) {
  size_t bytes = bytes_;
  for (const MetadataRecord& record : records) bytes += EncodedBytesMax(record);
  if (records_.size() + records.size() > kRecordsPerRequestMax ||
      bytes > kRecordBytesPerRequestMax) {
    return MakeError(
        ErrorKind::kPolicyViolation,
        fmt::format("Unable to perform excessively large batch operation: a request may bring "
                    "about {} records of {} bytes together.",
                    kRecordsPerRequestMax, kRecordBytesPerRequestMax));
  }
  bytes_ = bytes;
  std::ranges::move(records, std::back_inserter(records_));
  return absl::OkStatus();
}

}  // namespace millrace

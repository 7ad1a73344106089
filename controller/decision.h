// Decision: what a pure decision comes to: records to commit, and what to answer once they are.
// Nothing changes before the records are applied.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <vector>

#include "controller/image/metadata_record.h"

namespace millrace {

using MetadataRecords = std::vector<MetadataRecord>;

// About many things, each with an answer of its own.
template <typename Reply>
struct Decision {
  MetadataRecords records;
  std::vector<Reply> replies;  // One per item of the request, in its order.
};

// About one thing: either it is refused, without records, or this is the answer.
template <typename Reply>
struct SingleDecision {
  MetadataRecords records;
  absl::StatusOr<Reply> reply;
};

// The same where there is nothing to say but yes or no.
struct Verdict {
  MetadataRecords records;
  absl::Status status;
};

}  // namespace millrace

// How `log dump` shows what a segment and its indexes hold: in the layout of kafka-dump-log, which
// people grep, and as JSON.
//
// Shard:  any; pure. Errors: of what the records decompress to, or are.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>

#include "common/json/json_writer.h"
#include "storage/record/record_batch.h"
#include "storage/segment/offset_index.h"
#include "storage/segment/time_index.h"

namespace millrace {

// One line, with the position the batch has in its file.
std::string BatchLine(const BatchView& batch, uint64_t position);
// One line per record, with keys and values, appended to `text`; what was readable before an error
// is there.
absl::Status RecordLines(const BatchView& batch, std::string& text);

// One object; `with_records`: and its records, in "records".
absl::Status BatchJson(const BatchView& batch, uint64_t position, bool with_records,
                       JsonWriter& json);

std::string IndexLine(const OffsetIndexEntry& entry);
std::string IndexLine(const TimeIndexEntry& entry);

}  // namespace millrace

// Whether two entries of the metadata log say the same, field for field: what is proposed and what
// others read of it. For checks and tests; nothing that decides compares records.
//
// Pure.
#pragma once

#include "controller/image/metadata_record.h"

namespace millrace {

bool SameEntry(const MetadataEntry& a, const MetadataEntry& b);

}  // namespace millrace

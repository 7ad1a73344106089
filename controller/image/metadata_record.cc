#include "controller/image/metadata_record.h"

namespace millrace {

MetadataRecord::MetadataRecord(const MetadataRecord& other) = default;
MetadataRecord::MetadataRecord(MetadataRecord&& other) noexcept = default;
MetadataRecord& MetadataRecord::operator=(const MetadataRecord& other) = default;
MetadataRecord& MetadataRecord::operator=(MetadataRecord&& other) noexcept = default;
MetadataRecord::~MetadataRecord() = default;

}  // namespace millrace

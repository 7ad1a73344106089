// From our errors to Kafka's codes: the only place where they meet.
//
// Total: a new ErrorKind does not compile until it is mapped. A Status without a kind is translated
// by its canonical code; UNKNOWN_SERVER_ERROR never goes to a producer for what may succeed on a
// retry (KAFKA-14034).
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>

#include "common/error_kind.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

kafka::KafkaError ToKafkaError(ErrorKind kind);
kafka::KafkaError ToKafkaError(const absl::Status& status);

// The code as the wire has it.
int16_t ErrorCode(kafka::KafkaError error);
int16_t ErrorCode(const absl::Status& status);
// What to say beside the code; nothing for OK, or where the code says it all.
std::optional<std::string> ErrorMessage(const absl::Status& status);

}  // namespace millrace

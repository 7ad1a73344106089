// Kafka's command line tools, by the names and flags that health checks, scripts and test frameworks
// call them with, as command lines of ours. The image has /opt/kafka/bin/kafka-topics.sh and others
// as links to this binary, which looks at the name it was called by.
//
// What is understood is what such callers use; anything else is refused by name: Kafka's own tools
// work against a Millrace cluster too.
//
// Pure. Errors: kInvalidArgument: a sentence for people.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// "topics" for "/opt/kafka/bin/kafka-topics.sh" and "kafka-topics"; nothing for any other name.
std::optional<std::string> KafkaToolOf(std::string_view program);

// The arguments of `millrace` that do what `tool` would with `arguments`.
absl::StatusOr<std::vector<std::string>> TranslateKafkaTool(std::string_view tool,
                                                            std::vector<std::string> arguments);

}  // namespace millrace

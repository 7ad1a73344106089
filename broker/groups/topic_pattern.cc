#include "broker/groups/topic_pattern.h"

#include <absl/status/status.h>
#include <fmt/format.h>
#include <re2/re2.h>

#include <utility>

namespace millrace {
namespace {

RE2::Options PatternOptions() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(TopicPattern::kMemoryMax);
  // Names of topics are ASCII; matching bytes keeps `.` from becoming a program of its own.
  options.set_encoding(RE2::Options::EncodingLatin1);
  return options;
}

}  // namespace

struct TopicPattern::Compiled {
  explicit Compiled(std::string_view expression)
      : regex(re2::StringPiece(expression.data(), expression.size()), PatternOptions()) {}
  RE2 regex;
};

absl::StatusOr<TopicPattern> TopicPattern::Compile(std::string_view expression) {
  if (expression.size() > kLengthMax) {
    return absl::InvalidArgumentError(
        fmt::format("the regular expression is longer than {} bytes", kLengthMax));
  }
  auto compiled = std::make_unique<const Compiled>(expression);
  if (!compiled->regex.ok()) return absl::InvalidArgumentError(compiled->regex.error());
  if (compiled->regex.ProgramSize() > kProgramSizeMax) {
    return absl::InvalidArgumentError("the regular expression is too large");
  }
  return TopicPattern(std::move(compiled));
}

TopicPattern::TopicPattern(std::unique_ptr<const Compiled> compiled)
    : compiled_(std::move(compiled)) {}
TopicPattern::TopicPattern(TopicPattern&&) noexcept = default;
TopicPattern& TopicPattern::operator=(TopicPattern&&) noexcept = default;
TopicPattern::~TopicPattern() = default;

bool TopicPattern::Matches(std::string_view topic) const {
  return RE2::FullMatch(re2::StringPiece(topic.data(), topic.size()), compiled_->regex);
}

uint64_t TopicPattern::Cost(std::string_view topic) const {
  return (topic.size() + 1) * static_cast<uint64_t>(compiled_->regex.ProgramSize());
}

}  // namespace millrace

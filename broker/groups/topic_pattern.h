// TopicPattern: a regular expression for names of topics, in the syntax of RE2, as the broker
// resolves it for members of consumer groups (rule 8.14). The name as a whole has to match.
//
// RE2 takes time linear in the name and bounded memory for any expression; long and large ones are
// refused besides, so that the cost of one name is bounded as well.
//
// Shard:  any; immutable.
// Errors: Compile(): kInvalidArgument, with what is wrong for a person.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace millrace {

class TopicPattern {
 public:
  static constexpr size_t kLengthMax = 4096;         // Bytes of the expression.
  static constexpr int kProgramSizeMax = 2000;       // Instructions it compiles to.
  static constexpr int64_t kMemoryMax = 512 * 1024;  // Bytes, compiled and while matching.

  static absl::StatusOr<TopicPattern> Compile(std::string_view expression);
  TopicPattern(TopicPattern&&) noexcept;
  TopicPattern& operator=(TopicPattern&&) noexcept;
  ~TopicPattern();

  bool Matches(std::string_view topic) const;
  // What matching that name may take at worst, in steps.
  uint64_t Cost(std::string_view topic) const;

 private:
  struct Compiled;
  explicit TopicPattern(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace millrace

#include "common/plain_format.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace {

PlainFormatter::Iterator PlainFormatter::Write(std::string_view text,
                                               fmt::format_context& context) {
  return std::ranges::copy(text, context.out()).out;
}

PlainFormatter::Iterator PlainFormatter::WriteSigned(int64_t number, fmt::format_context& context) {
  const fmt::format_int text(number);
  return Write(std::string_view(text.data(), text.size()), context);
}

PlainFormatter::Iterator PlainFormatter::WriteUnsigned(uint64_t number,
                                                       fmt::format_context& context) {
  const fmt::format_int text(number);
  return Write(std::string_view(text.data(), text.size()), context);
}

}  // namespace millrace

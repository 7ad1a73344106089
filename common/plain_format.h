// PlainFormatter: the base of fmt's formatters of our value types. They take "{}" and no
// specification; with one it does not compile.
//
// Deriving from fmt::formatter<int64_t> instead lets every source that prints an offset compile all
// of fmt's handling of specifications anew: a fifth of what such a source takes.
#pragma once

#include <fmt/core.h>

#include <concepts>
#include <cstdint>
#include <string_view>

namespace millrace {

class PlainFormatter {
 public:
  constexpr const char* parse(fmt::format_parse_context& context) { return context.begin(); }

 protected:
  using Iterator = fmt::format_context::iterator;
  static Iterator Write(std::signed_integral auto number, fmt::format_context& context) {
    return WriteSigned(number, context);
  }
  static Iterator Write(std::unsigned_integral auto number, fmt::format_context& context) {
    return WriteUnsigned(number, context);
  }
  static Iterator Write(std::string_view text, fmt::format_context& context);

 private:
  static Iterator WriteSigned(int64_t number, fmt::format_context& context);
  static Iterator WriteUnsigned(uint64_t number, fmt::format_context& context);
};

}  // namespace millrace

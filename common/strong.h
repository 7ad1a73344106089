// StrongId<Tag, Rep>: a number with a name. No implicit conversion either way, no default value; a
// type that wants arithmetic declares the operations that mean something (see ids.h).
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <utility>

#include "common/plain_format.h"

namespace millrace {

template <typename Tag, typename Rep>
class StrongId {
 public:
  using rep = Rep;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

  template <typename H>
  friend H AbslHashValue(H state, StrongId id) {
    return H::combine(std::move(state), id.value_);
  }

 private:
  Rep value_;
};

}  // namespace millrace

template <typename Tag, typename Rep>
struct std::hash<millrace::StrongId<Tag, Rep>> {
  size_t operator()(millrace::StrongId<Tag, Rep> id) const { return std::hash<Rep>()(id.value()); }
};

template <typename Tag, typename Rep>
struct fmt::formatter<millrace::StrongId<Tag, Rep>> : millrace::PlainFormatter {
  static auto format(millrace::StrongId<Tag, Rep> id, fmt::format_context& context) {
    return Write(id.value(), context);
  }
};

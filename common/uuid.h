// Uuid: 16 bytes, as Kafka uses them for topic, cluster, directory and incarnation ids.
//
// Text form: base64url without padding, 22 characters (Kafka's Uuid.toString). All-zero means
// "none" on the wire, which becomes std::nullopt at the edge.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/plain_format.h"

namespace millrace {

class Uuid {
 public:
  constexpr Uuid(uint64_t high, uint64_t low) : high_(high), low_(low) {}
  constexpr uint64_t high() const { return high_; }
  constexpr uint64_t low() const { return low_; }
  constexpr bool is_zero() const { return high_ == 0 && low_ == 0; }
  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;

  // 22 characters of [A-Za-z0-9_-].
  std::string ToString() const;

  // Nothing unless `text` is exactly 22 characters of that alphabet with zero trailing bits.
  static std::optional<Uuid> Parse(std::string_view text);

  template <typename H>
  friend H AbslHashValue(H state, const Uuid& id) {
    return H::combine(std::move(state), id.high_, id.low_);
  }

 private:
  uint64_t high_;
  uint64_t low_;
};

}  // namespace millrace

template <>
struct std::hash<millrace::Uuid> {
  size_t operator()(const millrace::Uuid& id) const {
    return std::hash<uint64_t>()(id.high() * 0x9E3779B97F4A7C15ULL ^ id.low());
  }
};

template <>
struct fmt::formatter<millrace::Uuid> : millrace::PlainFormatter {
  static auto format(const millrace::Uuid& id, fmt::format_context& context) {
    return Write(id.ToString(), context);
  }
};

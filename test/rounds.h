// How many seeds a random test plays.
//
// Source: ours.
#pragma once

#include <cstdint>

namespace millrace {

// A fifth of `all` under a sanitizer, where a round costs five times as much: memory and undefined behaviour are
// looked for there, rare orders of events in the release build. What a test counts over its rounds scales alike.
template <typename Integer>
constexpr Integer Rounds(Integer all) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return all / 5;
#else
  return all;
#endif
}

}  // namespace millrace

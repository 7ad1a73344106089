// StableHash: 64 mixed bits of a value, the same in every process and version.
//
// Not against adversaries: whoever chooses the values can choose their hashes. Nothing whose cost or
// shape depends on them may be built on it.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

inline uint64_t StableHash(std::string_view value) {  // FNV-1a and a finaliser.
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : value) hash = (hash ^ c) * 0x100000001b3ULL;
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}
inline uint64_t StableHash(int64_t value) {
  uint64_t hash = static_cast<uint64_t>(value) * 0x9E3779B97F4A7C15ULL;
  return (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
}

}  // namespace millrace

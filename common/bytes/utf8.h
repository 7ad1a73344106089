// Whether bytes are well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstdint>
#include <span>

namespace millrace {

bool IsValidUtf8(std::span<const uint8_t> bytes);

}  // namespace millrace

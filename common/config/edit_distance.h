// How far one name is from another, for "did you mean ...?".
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace millrace {

// The least number of insertions, deletions, replacements and swaps of neighbours that turn `a`
// into `b`, where no piece is edited twice (restricted Damerau-Levenshtein). Time: |a| * |b|.
size_t EditDistance(std::string_view a, std::string_view b);

// The name nearest to `name`, the first of equals; nothing if even that one differs in more than a
// quarter of `name`'s characters (but one may always differ), or if `name` is longer than any
// sensible key (200).
std::optional<std::string_view> NearestName(std::string_view name,
                                            std::span<const std::string_view> names);

}  // namespace millrace

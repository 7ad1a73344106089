#include "common/config/edit_distance.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace millrace {

size_t EditDistance(std::string_view a, std::string_view b) {
  // Rows of the usual table: distances between a prefix of `a` and every prefix of `b`.
  std::vector<size_t> two_above(b.size() + 1);
  std::vector<size_t> above(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, above[j] + 1, row[j - 1] + 1});
      bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], two_above[j - 2] + 1);
    }
    std::swap(two_above, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::optional<std::string_view> NearestName(std::string_view name,
                                            std::span<const std::string_view> names) {
  constexpr size_t kNameLengthMax = 200;
  if (name.size() > kNameLengthMax) return std::nullopt;
  size_t nearest_distance = std::max<size_t>(1, name.size() / 4) + 1;
  std::optional<std::string_view> nearest;
  for (std::string_view candidate : names) {
    size_t distance = EditDistance(name, candidate);
    if (distance < nearest_distance) {
      nearest_distance = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace millrace

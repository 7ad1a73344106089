// LineSplitter: cuts a stream of chunks into lines.
//
// Shard:  any; pure.
// Bounds: holds one line; above line_bytes_max it is given up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

class LineSplitter {
 public:
  explicit LineSplitter(size_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}

  // Every line that is complete with `chunk`, without its line break; `on_line` takes a std::string
  // and answers nothing. False when a line is too long.
  template <typename OnLine>
  bool Feed(std::string_view chunk, OnLine on_line) {
    for (;;) {
      const size_t end = chunk.find('\n');
      if (held_.size() + std::min(end, chunk.size()) > line_bytes_max_) return false;
      if (end == std::string_view::npos) break;
      held_ += chunk.substr(0, end);
      on_line(std::move(held_));
      held_.clear();
      chunk.remove_prefix(end + 1);
    }
    held_ += chunk;
    return true;
  }

  // At the end of the stream: what stands behind the last line break, if anything does.
  std::optional<std::string> TakeRest() {
    if (held_.empty()) return std::nullopt;
    std::string rest = std::move(held_);
    held_.clear();
    return rest;
  }

 private:
  const size_t line_bytes_max_;
  std::string held_;
};

}  // namespace millrace

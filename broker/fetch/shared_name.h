// SharedName: a topic's name that many things of one request or session refer to: a copy costs a
// reference, however long the name. Compares by what it says.
//
// Shard:    any; immutable.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

// Kafka's limit: a folder "<name>-<partition>" must fit 255 bytes. No topic has a longer name, and a
// request that says one may have it in it once, but not in each thing that is made of the request.
inline constexpr size_t kTopicNameBytesMax = 249;

class SharedName {
 public:
  SharedName() = default;  // Empty.
  explicit SharedName(std::string text)
      : text_(text.empty() ? nullptr : std::make_shared<const std::string>(std::move(text))) {}

  const std::string& text() const {
    static const std::string empty;
    return text_ == nullptr ? empty : *text_;
  }
  size_t size() const { return text_ == nullptr ? 0 : text_->size(); }
  bool may_exist() const { return size() <= kTopicNameBytesMax; }

  friend bool operator==(const SharedName& a, const SharedName& b) {
    return a.text_ == b.text_ || a.text() == b.text();
  }
  friend std::strong_ordering operator<=>(const SharedName& a, const SharedName& b) {
    if (a.text_ == b.text_) return std::strong_ordering::equal;
    return std::string_view(a.text()) <=> std::string_view(b.text());
  }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace millrace

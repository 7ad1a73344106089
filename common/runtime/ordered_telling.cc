#include "common/runtime/ordered_telling.h"

#include <utility>

namespace millrace {

void OrderedTelling::Tell(std::string subject, std::move_only_function<void()> what) {
  if (scope_.stopping()) return;
  std::erase_if(waiting_, [&subject](const News& news) { return news.subject == subject; });
  waiting_.push_back({std::move(subject), std::move(what)});
  if (telling_) return;
  telling_ = true;
  scope_.Spawn(TellAll());
}

Task<void> OrderedTelling::TellAll() {
  CancellationToken token = scope_.token();
  while (!waiting_.empty() && !token.cancelled()) {
    std::move_only_function<void()> next = std::move(waiting_.front().what);
    waiting_.pop_front();
    if (from_ == to_) {
      next();
    } else {
      co_await shards_.Tell(from_, to_, std::move(next));
    }
  }
  telling_ = false;
}

}  // namespace millrace

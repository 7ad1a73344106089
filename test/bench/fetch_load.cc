#include "test/bench/fetch_load.h"

#include <algorithm>
#include <cerrno>

namespace millrace::bench {
namespace {

// Room for an answer of one partition: what was asked for, and a first batch that is larger.
constexpr size_t kAnswerRoom = size_t{2} << 20;

}  // namespace

FetchLoad::FetchLoad(const LoadOptions& options) : options_(options), meter_(options.pids) {
  lanes_.resize(static_cast<size_t>(options.partitions));
  for (Lane& lane : lanes_) {
    lane.connection = std::make_unique<LoadConnection>(
        options.port, MonotonicNs(), static_cast<size_t>(options.fetch_bytes) + kAnswerRoom);
    lane.request = EncodeFetch(options.topic, static_cast<int32_t>(&lane - lanes_.data()),
                               options.fetch_bytes);
    polls_.push_back({lane.connection->fd(), POLLIN, 0});
  }
}

void FetchLoad::Ask(Lane& lane, int64_t offset) {
  lane.next = offset;
  lane.since = MonotonicNs();
  SetFetchOffset(lane.request, offset);
  lane.connection->Queue(lane.request);
  lane.connection->Send();
  if (lane.connection->unsent() > 0) Fail("a fetch request does not fit into the socket");
}

void FetchLoad::Answered(Lane& lane, std::span<const uint8_t> answer) {
  const FetchedRecords got = ReadFetch(answer);
  if (got.error != 0) Fail("fetch: error " + std::to_string(got.error));
  if (got.bytes == 0 && lane.next == 0) Fail("fetch: a partition is empty");
  meter_.Answered(lane.since, got.bytes);
  const int64_t next = got.bytes == 0 ? lane.next : got.next_offset;
  const bool at_end = next >= got.high_watermark;
  if (at_end && options_.once) {
    lane.done = true;
    --running_;
    return;
  }
  Ask(lane, at_end ? 0 : next);
}

void FetchLoad::Run() {
  const int64_t start = MonotonicNs();
  const int64_t measure_at = start + static_cast<int64_t>(options_.warm_up * kSecondNs);
  const int64_t end_at = measure_at + static_cast<int64_t>(options_.seconds * kSecondNs);
  running_ = lanes_.size();
  for (Lane& lane : lanes_) Ask(lane, 0);
  for (int64_t now = start; now < end_at && running_ > 0; now = MonotonicNs()) {
    if (!meter_.begun() && now >= measure_at) meter_.Begin();
    const int64_t left = end_at - now;
    const timespec timeout{left / kSecondNs, left % kSecondNs};
    if (ppoll(polls_.data(), polls_.size(), &timeout, nullptr) < 0 && errno != EINTR) Fail("poll");
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if (polls_[i].revents == 0 || lanes_[i].done) continue;
      Lane& lane = lanes_[i];
      lane.connection->Receive([&](std::span<const uint8_t> answer) { Answered(lane, answer); });
    }
  }
  meter_.End();
}

}  // namespace millrace::bench

#include "test/bench/fetch_load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

namespace millrace::bench {
namespace {

// Room for an answer of one partition: what was asked for, and a first batch that is larger.
constexpr size_t kAnswerRoom = size_t{2} << 20;

}  // namespace

FetchLoad::FetchLoad(const LoadOptions& options) : options_(options) {
  lanes_.resize(static_cast<size_t>(options.partitions));
  for (Lane& lane : lanes_) {
    lane.connection = std::make_unique<LoadConnection>(
        options.port, MonotonicNs(), static_cast<size_t>(options.fetch_bytes) + kAnswerRoom);
    lane.request = EncodeFetch(options.topic, static_cast<int32_t>(&lane - lanes_.data()),
                               options.fetch_bytes);
    polls_.push_back({lane.connection->fd(), POLLIN, 0});
  }
  latencies_us_.reserve(size_t{1} << 20);
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
  if (measuring_) {
    bytes_ += got.bytes;
    latencies_us_.push_back(static_cast<uint32_t>((MonotonicNs() - lane.since) / 1000));
  }
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
    if (!measuring_ && now >= measure_at) {
      measuring_ = true;
      measure_ns_ = now;
      use_before_ = ProcessUse::Of(options_.pid);
      client_cpu_before_ = ProcessUse::Of(getpid()).cpu_s;
    }
    const int64_t left = end_at - now;
    const timespec timeout{left / kSecondNs, left % kSecondNs};
    if (ppoll(polls_.data(), polls_.size(), &timeout, nullptr) < 0 && errno != EINTR) Fail("poll");
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if (polls_[i].revents == 0 || lanes_[i].done) continue;
      Lane& lane = lanes_[i];
      lane.connection->Receive([&](std::span<const uint8_t> answer) { Answered(lane, answer); });
    }
  }
  end_ns_ = MonotonicNs();
  use_ = ProcessUse::Of(options_.pid);
  client_cpu_ = ProcessUse::Of(getpid()).cpu_s;
  std::sort(latencies_us_.begin(), latencies_us_.end());
}

std::string FetchLoad::Report() const {
  const auto percentile = [&](double part) {
    if (latencies_us_.empty()) return 0.0;
    const auto last = static_cast<double>(latencies_us_.size() - 1);
    return latencies_us_[static_cast<size_t>(last * part)] / 1000.0;
  };
  std::ostringstream out;
  out << "{\"seconds\": " << static_cast<double>(end_ns_ - measure_ns_) / kSecondNs
      << ", \"batches\": " << latencies_us_.size() << ", \"bytes\": " << bytes_
      << ", \"errors\": 0, \"last_error\": 0, \"late\": 0, \"p50_ms\": " << percentile(0.5)
      << ", \"p99_ms\": " << percentile(0.99) << ", \"p999_ms\": " << percentile(0.999)
      << ", \"broker_cpu_s\": " << use_.cpu_s - use_before_.cpu_s
      << ", \"broker_written_bytes\": " << use_.written_bytes - use_before_.written_bytes
      << ", \"client_cpu_s\": " << client_cpu_ - client_cpu_before_ << "}";
  return out.str();
}

}  // namespace millrace::bench

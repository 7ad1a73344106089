#include "test/bench/produce_load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace millrace::bench {
namespace {

constexpr int64_t kReadyWaitNs = 20 * kSecondNs;
constexpr useconds_t kRetryUs = 1000;

}  // namespace

ProduceLoad::ProduceLoad(const LoadOptions& options, LoadConnection& control)
    : options_(options), meter_(options.pid) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t timestamp = int64_t{now.tv_sec} * 1000;
  frames_.reserve(static_cast<size_t>(options.partitions));
  for (int32_t p = 0; p < options.partitions; ++p) {
    const Frame batch = EncodeBatch(options.shape, timestamp, static_cast<uint32_t>(p));
    frames_.push_back(EncodeProduce(options.topic, p, options.acks, batch));
    // A topic just created has its leader a moment later.
    const int64_t give_up = MonotonicNs() + kReadyWaitNs;
    while (int16_t error = ProduceError(control.Call(frames_.back()))) {
      if (MonotonicNs() > give_up) Fail("partition is not served: error " + std::to_string(error));
      usleep(kRetryUs);
    }
  }
  lanes_.resize(static_cast<size_t>(std::min(options.connections, options.partitions)));
  for (size_t i = 0; i < frames_.size(); ++i)
    lanes_[i % lanes_.size()].frames.push_back(&frames_[i]);
  for (Lane& lane : lanes_) {
    lane.connection = std::make_unique<LoadConnection>(options.port, MonotonicNs());
    polls_.push_back({lane.connection->fd(), POLLIN, 0});
  }
}

void ProduceLoad::Offer(int64_t now) {
  if (options_.rate <= 0 || now >= end_ns_) return;
  const double step = static_cast<double>(kSecondNs) / options_.rate;
  while (next_due_ns_ <= static_cast<double>(now)) {
    lanes_[next_lane_].due.push_back(static_cast<int64_t>(next_due_ns_));
    next_lane_ = (next_lane_ + 1) % lanes_.size();
    next_due_ns_ += step;
  }
}

void ProduceLoad::Fill(Lane& lane, int64_t now) {
  while (lane.in_flight.size() < static_cast<size_t>(options_.in_flight) && now < end_ns_) {
    if (options_.rate > 0) {
      if (lane.due.empty()) break;
      lane.in_flight.push_back(lane.due.front());
      lane.due.pop_front();
    } else {
      lane.in_flight.push_back(now);
    }
    lane.connection->Queue(*lane.frames[lane.next]);
    lane.next = (lane.next + 1) % lane.frames.size();
  }
  if (lane.connection->unsent() > 0) lane.connection->Send();
}

void ProduceLoad::Answered(Lane& lane, std::span<const uint8_t> answer) {
  const int64_t since = lane.in_flight.front();
  lane.in_flight.pop_front();
  if (int16_t error = ProduceError(answer); error != 0) {
    meter_.Refused(error);
    return;
  }
  meter_.Answered(since, static_cast<uint64_t>(options_.shape.record_bytes) *
                             static_cast<uint64_t>(options_.shape.records));
}

void ProduceLoad::Wait(int64_t until) {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const bool sending = lanes_[i].connection->unsent() > 0;
    polls_[i].events = static_cast<int16_t>(sending ? POLLIN | POLLOUT : POLLIN);
  }
  const int64_t left = std::max<int64_t>(0, until - MonotonicNs());
  const timespec timeout{left / kSecondNs, left % kSecondNs};
  if (ppoll(polls_.data(), polls_.size(), &timeout, nullptr) < 0 && errno != EINTR) Fail("poll");
}

void ProduceLoad::Run() {
  start_ns_ = MonotonicNs();
  next_due_ns_ = static_cast<double>(start_ns_);
  const int64_t measure_at = start_ns_ + static_cast<int64_t>(options_.warm_up * kSecondNs);
  end_ns_ = measure_at + static_cast<int64_t>(options_.seconds * kSecondNs);
  for (int64_t now = start_ns_; now < end_ns_ && !Filled(); now = MonotonicNs()) {
    if (!meter_.begun() && now >= measure_at) meter_.Begin();
    Offer(now);
    for (Lane& lane : lanes_) Fill(lane, now);
    Wait(options_.rate > 0 ? std::min(end_ns_, static_cast<int64_t>(next_due_ns_)) : end_ns_);
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if ((polls_[i].revents & ~POLLOUT) == 0) continue;
      Lane& lane = lanes_[i];
      lane.connection->Receive([&](std::span<const uint8_t> answer) { Answered(lane, answer); });
    }
  }
  meter_.End();
}

bool ProduceLoad::Filled() const {
  return options_.fill_bytes > 0 && meter_.bytes() >= options_.fill_bytes;
}

std::string ProduceLoad::Report() const {
  size_t late = 0;
  for (const Lane& lane : lanes_) late += lane.due.size();
  return meter_.Report(late);
}

}  // namespace millrace::bench

#include "test/bench/produce_load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>

namespace millrace::bench {
namespace {

constexpr int64_t kReadyWaitNs = 20 * kSecondNs;
constexpr useconds_t kRetryUs = 1000;

// Waits until every partition has a leader.
std::vector<uint16_t> FindLeaders(const LoadOptions& options, LoadConnection& control) {
  const Frame ask = EncodeMetadata(options.topic);
  const int64_t give_up = MonotonicNs() + kReadyWaitNs;
  while (true) {
    if (auto leaders = LeaderPorts(control.Call(ask), options.partitions)) return *leaders;
    if (MonotonicNs() > give_up) Fail("not every partition has a leader");
    usleep(kRetryUs);
  }
}

}  // namespace

ProduceLoad::ProduceLoad(const LoadOptions& options, LoadConnection& control)
    : options_(options), meter_(options.pids) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t timestamp = int64_t{now.tv_sec} * 1000;
  frames_.reserve(static_cast<size_t>(options.partitions));
  for (int32_t p = 0; p < options.partitions; ++p) {
    const Frame batch = EncodeBatch(options.shape, timestamp, static_cast<uint32_t>(p));
    frames_.push_back(EncodeProduce(options.topic, p, options.acks, batch));
  }
  OpenLanes(FindLeaders(options, control));
  for (Lane& lane : lanes_) {
    for (const Frame* frame : lane.frames) {
      // A leader just elected knows it a moment later.
      const int64_t give_up = MonotonicNs() + kReadyWaitNs;
      while (int16_t error = ProduceError(lane.connection->Call(*frame))) {
        if (MonotonicNs() > give_up) {
          Fail("partition is not served: error " + std::to_string(error));
        }
        usleep(kRetryUs);
      }
    }
  }
}

void ProduceLoad::OpenLanes(const std::vector<uint16_t>& leaders) {
  std::map<uint16_t, std::vector<const Frame*>> by_leader;
  for (size_t i = 0; i < frames_.size(); ++i) by_leader[leaders[i]].push_back(&frames_[i]);
  for (const auto& [port, frames] : by_leader) {
    const size_t fair = static_cast<size_t>(options_.connections) / by_leader.size();
    const size_t count = std::clamp<size_t>(fair, 1, frames.size());
    const size_t first = lanes_.size();
    lanes_.resize(first + count);
    for (size_t i = 0; i < frames.size(); ++i) {
      lanes_[first + i % count].frames.push_back(frames[i]);
    }
    for (size_t i = first; i < lanes_.size(); ++i) {
      lanes_[i].connection = std::make_unique<LoadConnection>(port, MonotonicNs());
      polls_.push_back({lanes_[i].connection->fd(), POLLIN, 0});
    }
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

// millrace_load: produces to one broker at full speed or at an offered rate, and reports what the
// client saw and what the broker's process used meanwhile, as one line of JSON.
//
//   millrace_load --port P --topic T [--partitions N] [--record-bytes B] [--batch-records N]
//                 [--acks -1|1|0] [--connections N] [--in-flight N] [--rate BATCHES/S]
//                 [--warm-up S] [--seconds S] [--pid BROKER] [--config NAME=VALUE]...
//   millrace_load --port P --topic T --first-produce      waits for a listener, creates the topic,
//                                                         reports when a produce was accepted
//
// It creates the topic, and deletes it at the end. One thread; requests are encoded before and sent
// as they are (one batch of one partition each, as librdkafka sends them), so that its own cost is
// that of the system calls. With a rate, latency counts from the moment a request was due, not from
// when it could be sent: a broker that stalls pays for all it made wait.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "test/bench/load_connection.h"

namespace millrace::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kStartWaitNs = 60 * kSecondNs;
constexpr int64_t kReadyWaitNs = 20 * kSecondNs;
constexpr useconds_t kRetryUs = 1000;

struct Options {
  uint16_t port = 9092;
  std::string topic;
  int32_t partitions = 6;
  BatchShape shape = {.record_bytes = 1024, .records = 64};
  int16_t acks = -1;
  int connections = 6;
  int in_flight = 5;
  double rate = 0;  // Batches a second; 0: as fast as answers come.
  double warm_up = 1;
  double seconds = 5;
  int pid = 0;
  bool first_produce = false;
  std::vector<std::pair<std::string, std::string>> configs;
};

template <typename T>
T Number(const std::string& name, const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    Fail(name + ": not a number: " + text);
  return value;
}

Options Parse(int count, char** words) {
  Options o;
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    if (name == "--first-produce") {
      o.first_produce = true;
      continue;
    }
    if (++i == count) Fail(name + " needs a value");
    const std::string value = words[i];
    if (name == "--port") {
      o.port = Number<uint16_t>(name, value);
    } else if (name == "--topic") {
      o.topic = value;
    } else if (name == "--partitions") {
      o.partitions = Number<int32_t>(name, value);
    } else if (name == "--record-bytes") {
      o.shape.record_bytes = Number<int32_t>(name, value);
    } else if (name == "--batch-records") {
      o.shape.records = Number<int32_t>(name, value);
    } else if (name == "--acks") {
      o.acks = Number<int16_t>(name, value);
    } else if (name == "--connections") {
      o.connections = Number<int>(name, value);
    } else if (name == "--in-flight") {
      o.in_flight = Number<int>(name, value);
    } else if (name == "--rate") {
      o.rate = Number<double>(name, value);
    } else if (name == "--warm-up") {
      o.warm_up = Number<double>(name, value);
    } else if (name == "--seconds") {
      o.seconds = Number<double>(name, value);
    } else if (name == "--pid") {
      o.pid = Number<int>(name, value);
    } else if (name == "--config") {
      const size_t equals = value.find('=');
      if (equals == std::string::npos) Fail("--config wants NAME=VALUE");
      o.configs.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else {
      Fail("unknown option " + name);
    }
  }
  if (o.topic.empty()) Fail("--topic is missing");
  if (o.acks == 0) Fail("--acks 0 has no answers to count");
  return o;
}

// What a process has used, all of its threads.
struct ProcessUse {
  double cpu_s = 0;
  uint64_t written_bytes = 0;

  static ProcessUse Of(int pid) {
    ProcessUse use;
    if (pid == 0) return use;
    const std::string folder = "/proc/" + std::to_string(pid);
    std::ifstream stat(folder + "/stat");
    std::string line;
    std::getline(stat, line);
    const size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) Fail("no process " + std::to_string(pid));
    std::istringstream fields(line.substr(name_end + 2));
    std::string field;
    for (int skipped = 0; skipped < 11; ++skipped) fields >> field;  // Up to utime, the 14th.
    double user = 0;
    double system = 0;
    fields >> user >> system;
    use.cpu_s = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    std::ifstream io(folder + "/io");
    while (io >> field) {
      if (field == "write_bytes:") io >> use.written_bytes;
    }
    return use;
  }
};

// The load itself: what is due, what is in flight, what has been answered.
class Load {
 public:
  Load(const Options& options, LoadConnection& control);
  void Run();
  std::string Report() const;

 private:
  struct Lane {
    std::unique_ptr<LoadConnection> connection;
    std::deque<int64_t> in_flight;  // Since when, in order: answers come in order.
    std::deque<int64_t> due;        // Since when, of requests that wait for room.
    size_t next = 0;                // Of `frames`.
    std::vector<const Frame*> frames;
  };

  void Offer(int64_t now);
  void Fill(Lane& lane, int64_t now);
  void Answered(Lane& lane, std::span<const uint8_t> answer);
  void Wait(int64_t until);
  void BeginMeasuring(int64_t now);

  const Options& options_;
  std::vector<Frame> frames_;
  std::vector<Lane> lanes_;
  std::vector<pollfd> polls_;
  int64_t start_ns_ = 0;
  int64_t measure_ns_ = 0;
  int64_t end_ns_ = 0;
  double next_due_ns_ = 0;
  size_t next_lane_ = 0;
  bool measuring_ = false;
  uint64_t batches_ = 0;
  uint64_t errors_ = 0;
  int16_t last_error_ = 0;
  std::vector<uint32_t> latencies_us_;
  ProcessUse use_before_;
  ProcessUse use_;
  double client_cpu_before_ = 0;
  double client_cpu_ = 0;
};

Load::Load(const Options& options, LoadConnection& control) : options_(options) {
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
  latencies_us_.reserve(size_t{1} << 20);
}

void Load::Offer(int64_t now) {
  if (options_.rate <= 0 || now >= end_ns_) return;
  const double step = static_cast<double>(kSecondNs) / options_.rate;
  while (next_due_ns_ <= static_cast<double>(now)) {
    lanes_[next_lane_].due.push_back(static_cast<int64_t>(next_due_ns_));
    next_lane_ = (next_lane_ + 1) % lanes_.size();
    next_due_ns_ += step;
  }
}

void Load::Fill(Lane& lane, int64_t now) {
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

void Load::Answered(Lane& lane, std::span<const uint8_t> answer) {
  const int64_t since = lane.in_flight.front();
  lane.in_flight.pop_front();
  if (!measuring_) return;
  if (int16_t error = ProduceError(answer); error != 0) {
    ++errors_;
    last_error_ = error;
    return;
  }
  ++batches_;
  latencies_us_.push_back(static_cast<uint32_t>((MonotonicNs() - since) / 1000));
}

void Load::Wait(int64_t until) {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const bool sending = lanes_[i].connection->unsent() > 0;
    polls_[i].events = static_cast<int16_t>(sending ? POLLIN | POLLOUT : POLLIN);
  }
  const int64_t left = std::max<int64_t>(0, until - MonotonicNs());
  const timespec timeout{left / kSecondNs, left % kSecondNs};
  if (ppoll(polls_.data(), polls_.size(), &timeout, nullptr) < 0 && errno != EINTR) Fail("poll");
}

void Load::BeginMeasuring(int64_t now) {
  measuring_ = true;
  measure_ns_ = now;
  use_before_ = ProcessUse::Of(options_.pid);
  client_cpu_before_ = ProcessUse::Of(getpid()).cpu_s;
}

void Load::Run() {
  start_ns_ = MonotonicNs();
  next_due_ns_ = static_cast<double>(start_ns_);
  const int64_t measure_at = start_ns_ + static_cast<int64_t>(options_.warm_up * kSecondNs);
  end_ns_ = measure_at + static_cast<int64_t>(options_.seconds * kSecondNs);
  for (int64_t now = start_ns_; now < end_ns_; now = MonotonicNs()) {
    if (!measuring_ && now >= measure_at) BeginMeasuring(now);
    Offer(now);
    for (Lane& lane : lanes_) Fill(lane, now);
    Wait(options_.rate > 0 ? std::min(end_ns_, static_cast<int64_t>(next_due_ns_)) : end_ns_);
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if ((polls_[i].revents & ~POLLOUT) == 0) continue;
      Lane& lane = lanes_[i];
      lane.connection->Receive([&](std::span<const uint8_t> answer) { Answered(lane, answer); });
    }
  }
  end_ns_ = MonotonicNs();
  use_ = ProcessUse::Of(options_.pid);
  client_cpu_ = ProcessUse::Of(getpid()).cpu_s;
  std::sort(latencies_us_.begin(), latencies_us_.end());
}

std::string Load::Report() const {
  const double seconds = static_cast<double>(end_ns_ - measure_ns_) / kSecondNs;
  const double payload = static_cast<double>(batches_) * options_.shape.record_bytes *
                         static_cast<double>(options_.shape.records);
  size_t late = 0;
  for (const Lane& lane : lanes_) late += lane.due.size();
  const auto percentile = [&](double part) {
    if (latencies_us_.empty()) return 0.0;
    const auto last = static_cast<double>(latencies_us_.size() - 1);
    return latencies_us_[static_cast<size_t>(last * part)] / 1000.0;
  };
  std::ostringstream out;
  out << "{\"seconds\": " << seconds << ", \"batches\": " << batches_
      << ", \"bytes\": " << static_cast<uint64_t>(payload) << ", \"errors\": " << errors_
      << ", \"last_error\": " << last_error_ << ", \"late\": " << late
      << ", \"p50_ms\": " << percentile(0.5) << ", \"p99_ms\": " << percentile(0.99)
      << ", \"p999_ms\": " << percentile(0.999)
      << ", \"broker_cpu_s\": " << use_.cpu_s - use_before_.cpu_s
      << ", \"broker_written_bytes\": " << use_.written_bytes - use_before_.written_bytes
      << ", \"client_cpu_s\": " << client_cpu_ - client_cpu_before_ << "}";
  return out.str();
}

void FirstProduce(const Options& options, LoadConnection& control) {
  const Frame batch = EncodeBatch(options.shape, 0, 0);
  const Frame request = EncodeProduce(options.topic, 0, options.acks, batch);
  while (ProduceError(control.Call(request)) != 0) usleep(kRetryUs);
  std::printf("{\"accepted_ns\": %lld}\n", static_cast<long long>(MonotonicNs()));
}

int Main(int count, char** words) {
  const Options options = Parse(count, words);
  LoadConnection control(options.port, MonotonicNs() + kStartWaitNs);
  const Frame create = EncodeCreateTopic(options.topic, options.partitions, options.configs);
  while (int16_t error = CreateTopicError(control.Call(create))) {
    if (!options.first_produce) Fail("the topic was not created: error " + std::to_string(error));
    usleep(kRetryUs);
  }
  if (options.first_produce) {
    FirstProduce(options, control);
    return 0;
  }
  {
    Load load(options, control);
    load.Run();
    std::printf("%s\n", load.Report().c_str());
  }
  if (int16_t error = CreateTopicError(control.Call(EncodeDeleteTopic(options.topic))))
    Fail("the topic was not deleted: error " + std::to_string(error));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }

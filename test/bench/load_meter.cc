#include "test/bench/load_meter.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "test/bench/load_connection.h"
#include "test/bench/load_options.h"

namespace millrace::bench {

LoadMeter::LoadMeter(std::vector<int> pids) : pids_(std::move(pids)) {
  latencies_us_.reserve(size_t{1} << 20);
}

void LoadMeter::Begin() {
  begun_ = true;
  begin_ns_ = MonotonicNs();
  broker_before_ = ProcessUse::Of(pids_);
  client_before_ = ProcessUse::Of(getpid());
}

void LoadMeter::Answered(int64_t since_ns, uint64_t bytes) {
  if (!begun_) return;
  bytes_ += bytes;
  latencies_us_.push_back(static_cast<uint32_t>((MonotonicNs() - since_ns) / 1000));
}

void LoadMeter::Refused(int16_t error) {
  if (!begun_) return;
  ++errors_;
  last_error_ = error;
}

void LoadMeter::End() {
  end_ns_ = MonotonicNs();
  broker_ = ProcessUse::Of(pids_);
  client_ = ProcessUse::Of(getpid());
  std::sort(latencies_us_.begin(), latencies_us_.end());
}

std::string LoadMeter::Report(size_t late) const {
  const auto percentile = [&](double part) {
    if (latencies_us_.empty()) return 0.0;
    const auto last = static_cast<double>(latencies_us_.size() - 1);
    return latencies_us_[static_cast<size_t>(last * part)] / 1000.0;
  };
  std::ostringstream out;
  out << "{\"seconds\": " << static_cast<double>(end_ns_ - begin_ns_) / kSecondNs
      << ", \"batches\": " << latencies_us_.size() << ", \"bytes\": " << bytes_
      << ", \"errors\": " << errors_ << ", \"last_error\": " << last_error_
      << ", \"late\": " << late << ", \"p50_ms\": " << percentile(0.5)
      << ", \"p99_ms\": " << percentile(0.99) << ", \"p999_ms\": " << percentile(0.999)
      << ", \"broker_cpu_s\": " << broker_.cpu_s - broker_before_.cpu_s
      << ", \"broker_written_bytes\": " << broker_.written_bytes - broker_before_.written_bytes
      << ", \"broker_read_bytes\": " << broker_.read_bytes - broker_before_.read_bytes
      << ", \"client_cpu_s\": " << client_.cpu_s - client_before_.cpu_s << "}";
  return out.str();
}

}  // namespace millrace::bench

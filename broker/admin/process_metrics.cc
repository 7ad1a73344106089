#include "broker/admin/process_metrics.h"

namespace millrace {
namespace {

MetricSample Sample(const char* name, const char* help, MetricKind kind, double value) {
  return {{name, help}, kind, value};
}

}  // namespace

MetricSnapshot ProcessMetrics(const ProcessUse& use) {
  return {
      Sample("process_cpu_seconds_total", "Processor time, user and system.", MetricKind::kCounter,
             use.cpu_seconds),
      Sample("process_max_fds", "Descriptors that may be open.", MetricKind::kGauge,
             static_cast<double>(use.open_files_max)),
      Sample("process_open_fds", "Descriptors that are open.", MetricKind::kGauge,
             static_cast<double>(use.open_files)),
      Sample("process_resident_memory_bytes", "Memory in use.", MetricKind::kGauge,
             static_cast<double>(use.resident_bytes)),
      Sample("process_start_time_seconds", "When the process was started, since 1970.",
             MetricKind::kGauge, use.start_seconds),
      Sample("process_threads", "Threads.", MetricKind::kGauge, static_cast<double>(use.threads)),
      Sample("process_virtual_memory_bytes", "Address space in use.", MetricKind::kGauge,
             static_cast<double>(use.virtual_bytes)),
  };
}

}  // namespace millrace

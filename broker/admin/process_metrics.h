// What of the process itself is shown with the metrics, by the names Prometheus' own clients use.
#pragma once

#include "common/metrics/metrics.h"
#include "common/process_use.h"

namespace millrace {

MetricSnapshot ProcessMetrics(const ProcessUse& use);

}  // namespace millrace

// Quotas, metrics and client telemetry. Part of the table in config_keys.h, which explains the
// columns.
#pragma once

#include "common/config/keys/config_key.h"

namespace millrace {

inline constexpr std::string_view kBucketInstead =
    "Replication throttles go by a bucket that fills at the rate; there are no samples.";

inline constexpr ConfigKey kServiceKeys[] = {
    {"quota.window.num", ConfigType::kInt, "11", AtLeast(1), UpdateScope::kReadOnly,
     NotYet(kNoQuotasYet), "Samples a client quota is averaged over."},
    {"quota.window.size.seconds", ConfigType::kInt, "1", AtLeast(1), UpdateScope::kReadOnly,
     NotYet(kNoQuotasYet), "Length of one such sample."},
    {"replication.quota.window.num", ConfigType::kInt, "11", AtLeast(1), UpdateScope::kReadOnly,
     NotNeeded(kBucketInstead), "Samples a replication throttle is averaged over."},
    {"replication.quota.window.size.seconds", ConfigType::kInt, "1", AtLeast(1),
     UpdateScope::kReadOnly, NotNeeded(kBucketInstead), "Length of one such sample."},
    {"alter.log.dirs.replication.quota.window.num", ConfigType::kInt, "11", AtLeast(1),
     UpdateScope::kReadOnly, NotYet(kNoQuotasYet), "Samples that rate is averaged over."},
    {"alter.log.dirs.replication.quota.window.size.seconds", ConfigType::kInt, "1", AtLeast(1),
     UpdateScope::kReadOnly, NotYet(kNoQuotasYet), "Length of one such sample."},
    {"controller.quota.window.num", ConfigType::kInt, "11", AtLeast(1), UpdateScope::kReadOnly,
     NotYet(kNoQuotasYet), "Samples that rate is averaged over."},
    {"controller.quota.window.size.seconds", ConfigType::kInt, "1", AtLeast(1),
     UpdateScope::kReadOnly, NotYet(kNoQuotasYet), "Length of one such sample."},
    {"client.quota.callback.class", ConfigType::kClass, kNull, Any(), UpdateScope::kReadOnly,
     NotNeeded("Classes of a JVM cannot be loaded."), "Plug-in that decides quotas."},
    {"leader.replication.throttled.rate", ConfigType::kLong, "9223372036854775807", AtLeast(0),
     UpdateScope::kClusterWide, Used(),
     "Bytes per second sent to throttled replicas that are not in sync."},
    {"follower.replication.throttled.rate", ConfigType::kLong, "9223372036854775807", AtLeast(0),
     UpdateScope::kClusterWide, Used(),
     "Bytes per second fetched by throttled replicas that are not in sync."},
    {"replica.alter.log.dirs.io.max.bytes.per.second", ConfigType::kLong, "9223372036854775807",
     AtLeast(0), UpdateScope::kClusterWide, NotYet(kNoQuotasYet),
     "Bytes per second copied between directories of one node."},
    {"metric.reporters", ConfigType::kList, "org.apache.kafka.common.metrics.JmxReporter", Any(),
     UpdateScope::kClusterWide,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "Plug-ins that publish metrics."},
    {"metrics.num.samples", ConfigType::kInt, "2", AtLeast(1), UpdateScope::kReadOnly,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "Samples a metric is computed over."},
    {"metrics.sample.window.ms", ConfigType::kLong, "30000", AtLeast(1), UpdateScope::kReadOnly,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "Length of one such sample."},
    {"metrics.recording.level", ConfigType::kString, "INFO", Any(), UpdateScope::kReadOnly,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "How detailed metrics are."},
    {"kafka.metrics.reporters", ConfigType::kList, "", Any(), UpdateScope::kReadOnly,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "Plug-ins that publish metrics, older kind."},
    {"kafka.metrics.polling.interval.secs", ConfigType::kInt, "10", AtLeast(1),
     UpdateScope::kReadOnly,
     NotNeeded("Metrics are served over HTTP; there are no reporters to load or samples to keep."),
     "How often those plug-ins are called."},
    {"telemetry.max.bytes", ConfigType::kInt, "1048576", AtLeast(1), UpdateScope::kReadOnly,
     NotYet("Client telemetry is not served yet; the value is checked and has no effect."),
     "Largest telemetry message of a client (KIP-714)."},
};

}  // namespace millrace

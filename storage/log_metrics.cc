#include "storage/log_metrics.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/journal/journal.h"
#include "storage/log_cleaner.h"
#include "storage/log_directory.h"
#include "storage/log_store.h"
#include "storage/producer/producer_ledger.h"
#include "storage/producer/producer_state.h"
#include "storage/store_context.h"

namespace millrace {

void LogMetrics::Register(MetricRegistry& registry) const {
  registry.Add({"millrace_log_append_seconds",
                "From an append until it is durable, logs with millrace.durability=disk."},
               &append);
  registry.Add({"millrace_log_sync_seconds",
                "One durable write (Kafka: LogFlushRateAndTimeMs).",
                {{"of", "journal"}}},
               &journal_sync);
  registry.Add({"millrace_log_sync_seconds",
                "One durable write (Kafka: LogFlushRateAndTimeMs).",
                {{"of", "segment"}}},
               &segment_sync);
  registry.Add({"millrace_log_appended_bytes_total", "Bytes of appended batches."},
               &appended_bytes);
  constexpr const char* kWritten = "Bytes written in the background.";
  registry.Add({"millrace_log_written_bytes_total", kWritten, {{"to", "segment"}}}, &segment_bytes);
  registry.Add({"millrace_log_written_bytes_total", kWritten, {{"to", "move"}}}, &moved_bytes);
  constexpr const char* kReads = "Reads by where the first byte came from.";
  registry.Add({"millrace_log_reads_total", kReads, {{"from", "memory"}}}, &reads_cached);
  registry.Add({"millrace_log_reads_total", kReads, {{"from", "disk"}}}, &reads_cold);
  constexpr const char* kRead = "Bytes read, by where they came from.";
  registry.Add({"millrace_log_read_bytes_total", kRead, {{"from", "memory"}}}, &cached_bytes);
  registry.Add({"millrace_log_read_bytes_total", kRead, {{"from", "disk"}}}, &cold_bytes);
  registry.Add({"millrace_log_scrubbed_bytes_total", "Bytes whose checksums the scrub compared."},
               &scrubbed_bytes);
  registry.Add({"millrace_log_scrub_rounds_total", "Times that the scrub went through all logs."},
               &scrub_rounds);
  registry.Add({"millrace_log_damage_found_total",
                "Places in segments that fail their checksum or cannot be read."},
               &damage_found);
  registry.Add({"millrace_log_cleaner_rounds_total", "Compactions of one log."}, &cleaner_rounds);
  registry.Add({"millrace_log_cleaner_read_bytes_total", "Bytes read to compact."},
               &cleaner_read_bytes);
  registry.Add({"millrace_log_cleaner_written_bytes_total",
                "Bytes written by compaction (Kafka: cleaner-recopy-percent is their share)."},
               &cleaner_written_bytes);
  registry.Add({"millrace_log_cleaner_records_removed_total", "Records that compaction removed."},
               &cleaner_records_removed);
}

namespace {

void RegisterDirectory(LogDirectory* directory, bool first_shard, MetricRegistry& registry) {
  auto name = [directory](std::string text, std::string help) {
    return MetricId{std::move(text), std::move(help), {{"dir", directory->path()}}};
  };
  registry.AddGaugeMax(
      name("millrace_log_journal_fill_ratio", "Share of the journal that waits for segments."),
      [directory] {
        return directory->journal() == nullptr ? 0.0 : directory->journal()->fill_ratio();
      });
  registry.AddCounter(name("millrace_log_journal_bytes_total", "Bytes written to the journal."),
                      [directory] {
                        return directory->journal() == nullptr
                                   ? 0.0
                                   : static_cast<double>(directory->journal()->bytes_written());
                      });
  registry.AddGauge(name("millrace_log_stray_folders",
                         "Logs that were set aside because nobody knows them: those found at the "
                         "start, and since."),
                    [directory] { return static_cast<double>(directory->strays); });
  registry.AddGaugeMax(
      name("millrace_log_directory_full", "1 while appends are refused for lack of room."),
      [directory] { return directory->full() ? 1.0 : 0.0; });
  registry.AddGaugeMax(name("millrace_log_directory_slow",
                            "1 while most durable writes take millrace.disk.slow.ms or more."),
                       [directory] { return directory->pace().slow() ? 1.0 : 0.0; });
  if (!first_shard) return;  // Once, and not once for each shard.
  registry.AddGauge(name("millrace_log_directory_offline",
                         "1 when the directory is offline (Kafka: OfflineLogDirectoryCount)."),
                    [directory] { return directory->failure().ok() ? 0.0 : 1.0; });
}

size_t DamagedLogs(const StoreContext& context) {
  const std::vector<TopicPartitionId> ids = context.list_logs();
  return static_cast<size_t>(std::ranges::count_if(ids, [&context](const TopicPartitionId& id) {
    return !context.find_log(id)->damage().empty();
  }));
}

size_t UncleanableLogs(const StoreContext& context) {
  const std::vector<TopicPartitionId> ids = context.list_logs();
  return static_cast<size_t>(std::ranges::count_if(ids, [&context](const TopicPartitionId& id) {
    return !context.find_log(id)->state().uncleanable.empty();
  }));
}

void RegisterCleaner(StoreContext* store, MetricRegistry& registry) {
  registry.AddGauge({"millrace_log_uncleanable_partitions",
                     "Logs that are not compacted any more because something is wrong with them "
                     "(Kafka: uncleanable-partitions-count)."},
                    [store] { return static_cast<double>(UncleanableLogs(*store)); });
  registry.AddGaugeMax({"millrace_log_cleaner_dirty_ratio_max",
                        "Share of bytes that wait, of the log that waits most (Kafka: "
                        "max-dirty-percent)."},
                       [store] { return store->cleaner->dirty_ratio_max(); });
  registry.AddGauge(
      {"millrace_log_cleaner_waiting_partitions", "Logs whose time to be compacted has come."},
      [store] { return static_cast<double>(store->cleaner->waiting()); });
  registry.AddGaugeMax({"millrace_log_cleaner_seconds_since_look",
                        "Since logs to compact were last looked for (Kafka: "
                        "time-since-last-run-ms)."},
                       [store] { return store->cleaner->seconds_since_look(); });
}

}  // namespace

void RegisterLogMetrics(StoreContext& context, MetricRegistry& registry) {
  context.metrics.Register(registry);
  StoreContext* store = &context;
  registry.AddGauge({"millrace_log_partitions", "Logs of this node."},
                    [store] { return static_cast<double>(store->list_logs().size()); });
  registry.AddGauge(
      {"millrace_log_damaged_partitions", "Logs with damage that waits for a repair."},
      [store] { return static_cast<double>(DamagedLogs(*store)); });
  registry.AddGauge({"millrace_log_pending_bytes", "Appended and not yet in segment files."},
                    [store] { return static_cast<double>(store->pending.used()); });
  registry.AddGauge({"millrace_log_tail_cache_bytes", "Written bytes that are kept for readers."},
                    [store] { return static_cast<double>(store->cache.kept_bytes()); });
  registry.AddGauge({"millrace_log_producers",
                     "Producers that logs remember, each in every partition that it wrote to "
                     "(Kafka: ProducerIdCount)."},
                    [store] { return static_cast<double>(store->producers.producers()); });
  registry.AddCounter({"millrace_log_producers_evicted_total",
                       "Producers forgotten before they expired, because there were too many."},
                      [store] { return static_cast<double>(store->producers.evicted()); });
  registry.AddGauge(
      {"millrace_memory_bytes", "Bytes of a memory budget in use.", {{"budget", "producers"}}},
      [store] { return static_cast<double>(store->producers.producers() * kProducerBytes); });
  registry.AddGauge({"millrace_log_open_files", "Segment and index files that are open."},
                    [store] { return static_cast<double>(store->files.open_files()); });
  RegisterCleaner(store, registry);
  for (LogDirectory* directory : context.directories) {
    RegisterDirectory(directory, context.options.shard == ShardId(0), registry);
  }
}

}  // namespace millrace

#include "broker/node/group_lag.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "broker/coordinator/group_service.h"
#include "broker/lag_meter.h"
#include "broker/node/node_shard.h"
#include "common/runtime/reactor.h"
#include "storage/log_store.h"

namespace millrace {
namespace {

// Each is a few samples with their labels.
constexpr size_t kLinesPerTurn = 256;

using Labels = std::vector<std::pair<std::string, std::string>>;

Task<GroupPositions> PositionsOf(NodeShard* part, size_t max) { co_return part->Positions(max); }
Task<PartitionEnds> EndsOf(NodeShard* part, size_t max) { co_return part->Ends(max); }

Task<std::vector<std::optional<Lag>>> MeasureOn(NodeShard* part,
                                                std::vector<LagQuestion> questions) {
  co_return co_await part->lag_meter().Measure(std::move(questions));
}

MetricSample GaugeOf(const char* name, const char* help, Labels labels, double value) {
  return {{name, help, std::move(labels)}, MetricKind::kGauge, value};
}

Labels LabelsOf(const GroupPosition& position) {
  return {{"group", position.group},
          {"topic", position.topic},
          {"partition", fmt::to_string(position.at.partition.value())}};
}

void AddPosition(const GroupPosition& position, const std::optional<Lag>& lag, Timestamp now,
                 MetricSnapshot& samples) {
  const Labels labels = LabelsOf(position);
  samples.push_back(GaugeOf("millrace_group_offset",
                            "Where a group goes on reading (Kafka's tool: CURRENT-OFFSET).", labels,
                            static_cast<double>(position.committed.value())));
  if (!lag.has_value()) return;
  samples.push_back(GaugeOf("millrace_group_lag",
                            "Records that a group has not read yet (Kafka's tool: LAG).", labels,
                            static_cast<double>(lag->records)));
  if (lag->records > 0 && !lag->oldest.has_value()) return;
  const int64_t behind_ms = lag->records == 0 ? 0 : now.ms() - lag->oldest->ms();
  samples.push_back(GaugeOf("millrace_group_lag_seconds",
                            "How long the oldest record has waited that a group has not read yet.",
                            labels, static_cast<double>(std::max<int64_t>(behind_ms, 0)) / 1000));
}

}  // namespace

Task<MetricSnapshot> GroupLagMetrics(Shards* calls, Reactor* reactor, std::vector<NodeShard*> parts,
                                     Timestamp now) {
  const ShardId here = reactor->shard();
  const auto shards = static_cast<uint32_t>(parts.size());
  MetricSnapshot samples;
  GroupPositions all;
  PartitionEnds ends;
  for (uint32_t i = 0; i < shards; ++i) {
    NodeShard* part = parts[i];
    const size_t positions_max = kGroupPositionsMax - all.positions.size();
    GroupPositions some = co_await calls->Call<GroupPositions>(
        here, ShardId(i), [part, positions_max] { return PositionsOf(part, positions_max); });
    std::ranges::move(some.positions, std::back_inserter(all.positions));
    all.omitted += some.omitted;
    const size_t ends_max = kPartitionEndsMax - ends.ends.size();
    PartitionEnds more = co_await calls->Call<PartitionEnds>(
        here, ShardId(i), [part, ends_max] { return EndsOf(part, ends_max); });
    std::ranges::move(more.ends, std::back_inserter(ends.ends));
    ends.omitted += more.omitted;
  }
  std::vector<std::vector<LagQuestion>> questions(shards);
  for (const GroupPosition& position : all.positions) {
    questions[ShardOf(position.at, shards).value()].push_back({position.at, position.committed});
  }
  std::vector<std::vector<std::optional<Lag>>> answers(shards);
  for (uint32_t i = 0; i < shards; ++i) {
    answers[i] = co_await calls->Call<std::vector<std::optional<Lag>>>(
        here, ShardId(i),
        [part = parts[i], asked = std::move(questions[i])] { return MeasureOn(part, asked); });
  }
  std::vector<size_t> next(shards, 0);
  size_t lines = 0;
  for (const GroupPosition& position : all.positions) {
    const uint32_t shard = ShardOf(position.at, shards).value();
    AddPosition(position, answers[shard][next[shard]++], now, samples);
    if (++lines % kLinesPerTurn == 0) co_await Yield(*reactor);
  }
  samples.push_back(GaugeOf("millrace_group_positions_omitted",
                            "Positions of groups that are left out here: there are too many.", {},
                            static_cast<double>(all.omitted)));
  for (const PartitionEnd& end : ends.ends) {
    samples.push_back(
        GaugeOf("millrace_partition_high_watermark",
                "Where a partition that this node leads ends for consumers.",
                {{"topic", end.topic}, {"partition", fmt::to_string(end.partition.value())}},
                static_cast<double>(end.high_watermark.value())));
    if (++lines % kLinesPerTurn == 0) co_await Yield(*reactor);
  }
  samples.push_back(GaugeOf("millrace_partition_high_watermarks_omitted",
                            "Partitions led here that are left out: there are too many.", {},
                            static_cast<double>(ends.omitted)));
  co_return samples;
}

}  // namespace millrace

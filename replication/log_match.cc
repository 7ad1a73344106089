#include "replication/log_match.h"

#include <algorithm>

namespace millrace {

std::optional<LeaderEpoch> LastRecordEpoch(const LeaderEpochCache& epochs, Offset log_start,
                                           Offset log_end) {
  if (log_end <= log_start) return std::nullopt;
  return epochs.EpochFor(log_end - OffsetDelta(1));
}

std::optional<LogMatch> MatchLogs(const LeaderEpochCache& epochs, Offset log_start, Offset log_end,
                                  std::optional<LeaderEpoch> last_epoch, Offset follower_end) {
  if (last_epoch.has_value()) {
    std::optional<EpochEndOffset> end = epochs.EndOffsetFor(*last_epoch, log_end);
    if (!end.has_value()) return std::nullopt;
    if (end->epoch < *last_epoch || end->end_offset < follower_end) {
      return LogsDiverge{end->epoch, end->end_offset};
    }
  }
  if (follower_end < log_start || follower_end > log_end) return OutsideLog{log_start, log_end};
  return LogsMeet{follower_end};
}

Offset TruncationPoint(const LeaderEpochCache& epochs, Offset log_end, const LogsDiverge& diverge) {
  std::optional<EpochEndOffset> own = epochs.EndOffsetFor(diverge.epoch, log_end);
  // Nothing of ours is of so high an epoch: what we have of lower ones ends where our log does.
  const Offset own_end = own.has_value() ? own->end_offset : log_end;
  return std::min({own_end, diverge.end_offset, log_end});
}

}  // namespace millrace

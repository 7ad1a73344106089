// JournalSurvey: what the journals of a directory say of its logs, before any of it is replayed. For
// logs that are read whole, because their checkpoints are gone or say more than the files have.
//
//   RecoverJournals(disk, log_dir, survey)  ->  LastOf(), Of()
//
// Shard:  one; reads nothing by itself.
// Bounds: what it remembers per incarnation that has an entry: about 100 bytes.
// Errors: kDataLoss: an append is no batch.
// Source: docs/storage.md, Recovery.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/journal/journal_entry.h"
#include "storage/journal/journal_recovery.h"
#include "storage/scanned_batches.h"

namespace millrace {

// Whose an entry is.
std::pair<TopicPartitionId, IncarnationId> OwnerOf(const JournalEntry& entry);

class JournalSurvey final : public JournalVisitor {
 public:
  // How a log was cut.
  struct Cuts {
    size_t count = 0;
    Offset kept_end{0};  // The last one left what lay below.
  };
  struct Said {
    Cuts cuts;
    std::optional<JournaledBases> appended;
  };

  Task<absl::Status> OnJournalEntry(JournalReplay replay) override;

  // The last incarnation that has entries, unless it ended: then nothing is said of whichever came
  // after it.
  std::optional<IncarnationId> LastOf(const TopicPartitionId& partition) const;
  Said Of(const TopicPartitionId& partition, const IncarnationId& incarnation) const;

 private:
  std::map<TopicPartitionId, IncarnationId> last_;
  std::map<std::pair<TopicPartitionId, IncarnationId>, Said> said_;
};

}  // namespace millrace

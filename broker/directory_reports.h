// DirectoryReports: where it is told that a replica of this broker lies in another log directory than
// the metadata says.
//
// Shard:  that of the caller.
// Errors: none. Whoever takes the report sees to it that the controller hears of it
//         (control/directory_reporter.h).
#pragma once

#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

class DirectoryReports {
 public:
  virtual ~DirectoryReports() = default;
  // The replica lies in `directory`, and the metadata says otherwise. Does not wait for the
  // controller.
  virtual Task<void> NoteDirectory(TopicPartitionId id, DirectoryId directory) = 0;
};

}  // namespace millrace

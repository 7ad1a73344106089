// How RocksDB's log files grow: by zeros ahead of the records. RocksDB by itself reserves the space,
// too, but lets the file end with its last record.
//
// Then each sync of a record has to commit the file's new length in the file system's journal, beside
// the record: one more write to the disk, which waits for what others have in that journal. In a file
// that has its length already only the first record of a page does (a page that was never written
// counts as a hole until then).
//
//   grows     by the space that RocksDB would reserve, 1.1 write buffers, before a write that needs it.
//   closed    what was not used is cut off.
//   killed    zeros to the end, also of a log that another one follows: ScanKvWal() and RocksDB's
//             replay take them for the end.
//   no space  (or a file system that reserves none): the file grows as it is written; RocksDB takes no
//             notice. What can be reserved of it is the same as without.
//
// Lifetime: whoever opened a store with it closes that first.
// Source:   RocksDB's comment at PosixFileSystem::OptimizeForLogWrite(): "it's faster if
//           fallocate_with_keep_size is false". Its reader skips zeros without a report.
#pragma once

#include <rocksdb/env.h>

#include <memory>

namespace millrace {

std::unique_ptr<rocksdb::Env> RocksDbEnvWithLogsAhead();

}  // namespace millrace

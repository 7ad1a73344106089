// RocksDbLogger: what RocksDB has to say goes to our log, and not to a file beside its data.
//
// A file of its own ends the process on a full disk: a line that cannot be written leaves the file
// in an error, and the next line meets an assertion (RocksDB 7.8, as Debian builds it, with
// assertions on).
//
// Threads:  RocksDB calls from any, as a Logger may be.
// Lifetime: `logger` must outlive it, and the store that was given it.
#pragma once

#include <rocksdb/env.h>

#include <cstdarg>

#include "common/log/log.h"

namespace millrace {

class RocksDbLogger final : public rocksdb::Logger {
 public:
  // Warnings of RocksDB are worth a line only to who looks for them: what stops a store comes back
  // from it as a status. So they are DEBUG, and its errors WARNING.
  explicit RocksDbLogger(millrace::Logger& logger);

  void LogHeader(const char* format, va_list arguments) override;
  void Logv(const char* format, va_list arguments) override;
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override;
  rocksdb::Status Close() override { return rocksdb::Status::OK(); }

 private:
  millrace::Logger& logger_;
};

}  // namespace millrace

#include "storage/kv/kv_store_rocksdb_files.h"

#include <rocksdb/file_system.h>

namespace millrace {
namespace {

class LogsAhead final : public rocksdb::FileSystemWrapper {
 public:
  LogsAhead() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "millrace.LogsAhead"; }
  rocksdb::FileOptions OptimizeForLogWrite(const rocksdb::FileOptions& options,
                                           const rocksdb::DBOptions& db) const override {
    rocksdb::FileOptions optimized = FileSystemWrapper::OptimizeForLogWrite(options, db);
    optimized.fallocate_with_keep_size = false;
    return optimized;
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> RocksDbEnvWithLogsAhead() {
  return rocksdb::NewCompositeEnv(std::make_shared<LogsAhead>());
}

}  // namespace millrace

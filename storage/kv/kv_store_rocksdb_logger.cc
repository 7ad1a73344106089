#include "storage/kv/kv_store_rocksdb_logger.h"

#include <cstdio>
#include <string>

namespace millrace {
namespace {

constexpr size_t kLineBytesMax = 1024;  // Of longer ones the end is left out.

}  // namespace

RocksDbLogger::RocksDbLogger(millrace::Logger& logger)
    : rocksdb::Logger(logger.Enabled(LogLevel::kDebug) ? rocksdb::InfoLogLevel::WARN_LEVEL
                                                       : rocksdb::InfoLogLevel::ERROR_LEVEL),
      logger_(logger) {}

void RocksDbLogger::LogHeader(const char* /*format*/, va_list /*arguments*/) {}

void RocksDbLogger::Logv(const char* format, va_list arguments) {
  Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
}

void RocksDbLogger::Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) {
  if (level < GetInfoLogLevel() || level == rocksdb::InfoLogLevel::HEADER_LEVEL) return;
  char line[kLineBytesMax];
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  if (length < 0) return;
  std::string text(line);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  logger_.Log(level >= rocksdb::InfoLogLevel::ERROR_LEVEL ? LogLevel::kWarning : LogLevel::kDebug,
              "key-value store: " + text);
}

}  // namespace millrace

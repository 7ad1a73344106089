// A folder of the real file system for a test's RocksDB; gone at the end.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

namespace millrace {

class RocksDbTestFolder {
 public:
  RocksDbTestFolder() : path_("/tmp/millrace-kv-XXXXXX") {
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  RocksDbTestFolder(const RocksDbTestFolder&) = delete;
  RocksDbTestFolder& operator=(const RocksDbTestFolder&) = delete;
  ~RocksDbTestFolder() {
    rocksdb::DestroyDB(store(), rocksdb::Options());
    rmdir(path_.c_str());
  }
  std::string store() const { return path_ + "/kv"; }

 private:
  std::string path_;
};

}  // namespace millrace

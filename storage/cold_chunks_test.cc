#include "storage/cold_chunks.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

Slice Bytes(size_t size) { return Slice::Copy(std::string(size, 'x')); }

ColdPlace At(uint64_t position, uint64_t log = 1) { return {log, 0, Offset(0), position}; }

TEST_CASE("ColdChunks: a reader finds what was read beyond its last read, until its log is cut") {
  ColdChunks chunks(1000);
  chunks.Keep(At(5000), Bytes(400));
  CHECK(chunks.Find(At(5000)).size() == 400);
  CHECK(chunks.Find(At(5399)).size() == 1);
  CHECK(chunks.Find(At(5400)).empty());
  CHECK(chunks.Find(At(4999)).empty());
  CHECK(chunks.Find(At(5000, 2)).empty());
  ColdPlace cut = At(5000);
  ++cut.cuts;
  CHECK(chunks.Find(cut).empty());
}

TEST_CASE("ColdChunks: they never hold more bytes than they may, however large what was read") {
  ColdChunks chunks(1000);
  chunks.Keep(At(0, 1), Bytes(600));
  chunks.Keep(At(0, 2), Bytes(400));
  CHECK(chunks.bytes() == 1000);
  chunks.Keep(At(0, 3), Bytes(100));  // The oldest goes.
  CHECK(chunks.bytes() == 500);
  CHECK(chunks.Find(At(0, 1)).empty());
  CHECK(chunks.Find(At(0, 2)).size() == 400);
  chunks.Keep(At(0, 4), Bytes(1001));
  CHECK(chunks.Find(At(0, 4)).empty());
  CHECK(chunks.bytes() == 500);
  for (uint64_t log = 5; log < 30; ++log) chunks.Keep(At(0, log), Bytes(10));
  CHECK(chunks.bytes() == 10 * kColdChunksMax);
}

TEST_CASE("ColdChunks: their part of a tail cache leaves at least half of it") {
  CHECK(ColdChunkBytes(0, 512 << 10) == 0);
  CHECK(ColdChunkBytes(1 << 20, 512 << 10) == 512 << 10);
  CHECK(ColdChunkBytes(24 << 20, 512 << 10) == 6 << 20);
}

}  // namespace
}  // namespace millrace

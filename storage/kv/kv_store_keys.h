// How implementations of KvStore store keys: the space's byte, then the key.
#pragma once

#include <string>
#include <string_view>

#include "storage/kv/kv_store.h"

namespace millrace {

std::string KvStoredKey(KvSpace space, std::string_view key);

// Above every stored key of the space, and at or below every one of the next.
std::string KvSpaceEnd(KvSpace space);

// [begin, end) in stored keys. May be empty, or the wrong way round, which is empty too.
struct KvStoredRange {
  std::string begin;
  std::string end;
};
KvStoredRange StoredRange(const KvRange& range);

}  // namespace millrace

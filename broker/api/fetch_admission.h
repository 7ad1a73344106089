// FetchAdmission: the memory that a Fetch request is let in with, before it is planned, and how much
// its answer may take. (fetch_budget.h says of which lines.)
//
//   few partitions    the first request of a connection needs none; one behind it that gets none waits
//                     for its turn all the same, and no further one of its connection is read
//   many partitions   memory to wait with; or, where there is none for a moment, memory to answer with
//                     at once; or the connection is closed. Until then it keeps its receive buffer,
//                     which is charged, and nothing else
//
// Shard:    the connection's.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "broker/broker.h"
#include "broker/server/api_request.h"
#include "broker/server/byte_hold.h"

namespace millrace {

// A connection may cost so much: requests of few partitions are made and wait without a charge.
inline constexpr size_t kFetchFreeBytes = size_t{16} << 10;
// What the answer of a partition without records takes, encoded.
inline constexpr size_t kFetchEncodedBytes = 100;

// What one answer may be granted for its records.
size_t FetchAnswerMax(const Broker& broker);
// What answers of so many partitions, with such names of topics, take beside their records while they
// are made, as far as it is charged.
size_t FetchAnswersBytes(const Broker& broker, size_t partitions, size_t name_bytes);

struct FetchAdmission {
  std::optional<ByteHold> waiting = {};
  std::shared_ptr<ByteHold> records = nullptr;  // Instead, for an answer that does not wait.

  bool charged() const { return waiting.has_value() || records != nullptr; }
};

// What of `bytes` a request is charged.
size_t FetchCharge(const ApiRequest& request, size_t bytes);
// At once, if the request needs none or there is some.
void TryAdmitFetch(Broker& broker, const ApiRequest& request, size_t bytes,
                   FetchAdmission* admission);
// Of a request of many partitions, `bytes` in all. False: the connection is to be closed.
// Borrowed: awaited in place.
Task<bool> AdmitLargeFetch(Broker* broker, const ApiRequest* request, size_t bytes,
                           FetchAdmission* admission);

}  // namespace millrace

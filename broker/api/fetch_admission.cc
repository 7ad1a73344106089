#include "broker/api/fetch_admission.h"

#include <algorithm>

#include "broker/api/fetch_part.h"
#include "broker/fetch/fetch_plan.h"

namespace millrace {
namespace {

constexpr size_t kResponseBytesMax = size_t{16} << 20;
// So many clients that read slowly must come together before the others wait for them.
constexpr size_t kAnswersInBudget = 8;
// In the making, and encoded.
constexpr size_t kAnswerBytes =
    sizeof(FetchAnswer) + sizeof(kafka::FetchResponse::PartitionData) + kFetchEncodedBytes;
// Who is not granted memory to wait with keeps its receive buffer for so long: to wait for the
// answer before its own to have left, or for memory to answer with.
constexpr Duration kUnchargedMax = seconds(1);
// And waits so long for that memory before it is answered without waiting: it will come again.
constexpr Duration kUnchargedPause = milliseconds(250);

}  // namespace

size_t FetchAnswerMax(const Broker& broker) {
  return std::min({broker.options.fetch_bytes_max, kResponseBytesMax,
                   broker.fetch_budget.records().bytes_max() / kAnswersInBudget});
}

size_t FetchAnswersBytes(const Broker& broker, size_t partitions, size_t name_bytes) {
  const size_t bytes = partitions * kAnswerBytes + name_bytes;
  // Not more than can be had beside others: a request that needs the whole budget would make all
  // others wait until the last answer before it has been read.
  const size_t most = 2 * broker.fetch_budget.records().bytes_max() / kAnswersInBudget;
  return bytes <= kFetchFreeBytes ? 0 : std::min(bytes, most);
}

size_t FetchCharge(const ApiRequest& request, size_t bytes) {
  return request.order->at_front() ? bytes - std::min(bytes, kFetchFreeBytes) : bytes;
}

void TryAdmitFetch(Broker& broker, const ApiRequest& request, size_t bytes,
                   FetchAdmission* admission) {
  const size_t charge = FetchCharge(request, bytes);
  MemoryLine& waiting = broker.fetch_budget.waiting();
  if (charge == 0 || waiting.TryAcquire(charge)) admission->waiting.emplace(waiting, charge);
}

Task<bool> AdmitLargeFetch(Broker* broker, const ApiRequest* request, size_t bytes,
                           FetchAdmission* admission) {  // Borrowed: awaited in place.
  const Reactor& reactor = broker->env.reactor;
  const WaitResult front =
      co_await request->order->Front(request->cancel, reactor.Now() + kUnchargedMax);
  if (front != WaitResult::kSignalled) co_return false;
  MemoryLine& waiting = broker->fetch_budget.waiting();
  const size_t charge = FetchCharge(*request, bytes);
  const LinePatience pause{reactor.Now() + kUnchargedPause, request->drain};
  if ((co_await waiting.Acquire(charge, request->cancel, pause)).ok()) {
    admission->waiting.emplace(waiting, charge);
    co_return true;
  }
  MemoryLine& records = broker->fetch_budget.records();
  const size_t needed =
      FetchAnswerMax(*broker) + FetchAnswersBytes(*broker, bytes / kPlanBytesOfPartition, bytes);
  const LinePatience patience{reactor.Now() + kUnchargedMax, request->drain};
  if (!(co_await records.Acquire(needed, request->cancel, patience)).ok()) co_return false;
  admission->records = std::make_shared<ByteHold>(records, needed);
  co_return true;
}

}  // namespace millrace

// Leaders that may have died this moment, for answers that name who leads: such an answer is worth
// waiting for, because a client that is told the dead leader again looks no further for seconds
// (broker_doubts.h, life_signs.h).
//
// Source: docs/replication.md, What a kill -9 costs.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "broker/broker.h"
#include "common/runtime/cancellation.h"
#include "controller/image/metadata_image.h"

namespace millrace {

// Twice what an election takes on a busy machine. Longer: later requests of the connection wait as
// long for a broker that only lost its streams.
inline constexpr Duration kElectionWait = milliseconds(300);

// Whether clients are better not sent there now.
bool IsDoubtful(const Broker& broker, const BrokerImage& other);
bool IsDoubtful(const Broker& broker, const std::optional<BrokerId>& leader);

// Hears from `leaders`, those of other brokers that the answer would name, and, when `concerns_answer`
// says that a doubt touches what is to be told, waits until the broker in doubt is fenced and others
// lead. For kElectionWait at most; the answer may name a doubtful leader then.
// `concerns_answer` looks at the latest image. Borrowed: awaited in place.
Task<void> AwaitElections(Broker* broker, std::vector<BrokerId> leaders,
                          const std::function<bool()>* concerns_answer, CancellationToken cancel);
// Every broker that may lead, but this one.
std::vector<BrokerId> LivingOthers(const Broker& broker);
// Adds who leads, if another broker does, and it is not among them yet.
void AddLeader(const Broker& broker, const PartitionImage& partition,
               std::vector<BrokerId>* leaders);

}  // namespace millrace

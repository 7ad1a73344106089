// GroupMachine: the GroupCoordinator of one partition of __consumer_offsets as a CoordinatorMachine:
// records go to the log encoded, and whoever waits for a Join or a Sync is woken.
//
// Shard: the partition's.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/coordinator/coordinator_machine.h"
#include "broker/groups/group_coordinator.h"
#include "common/runtime/event.h"
#include "controller/image/metadata_source.h"

namespace millrace {

// A request that waits for its answer; lives in the frame of who waits.
template <typename Answer>
struct ParkedRequest {
  explicit ParkedRequest(Reactor& reactor) : answered(reactor) {}
  std::optional<Answer> answer;
  Event answered;
};

class GroupMachine final : public CoordinatorMachine {
 public:
  // All of them outlive it.
  GroupMachine(const GroupOptions& options, GroupMemory& memory, const MetadataSource& metadata,
               CoordinatorTime time);

  absl::Status Load(std::span<const uint8_t> key, std::optional<std::span<const uint8_t>> value,
                    CoordinatorTime time) override;
  void OnLoaded(CoordinatorTime time) override;
  Instant deadline() const override { return groups_.deadline(); }
  std::vector<CoordinatorRecord> OnTime(CoordinatorTime time) override;
  std::vector<CoordinatorRecord> OnTopicsDeleted(const std::vector<DeletedTopic>& topics,
                                                 CoordinatorTime time) override;
  void Dismiss() override;

  GroupCoordinator& groups() { return groups_; }
  const GroupCoordinator& groups() const { return groups_; }

  // Until it is answered or Unpark()ed; `parked` stays where it is.
  Ticket Park(ParkedRequest<JoinedGroup>& parked);
  Ticket Park(ParkedRequest<SyncedGroup>& parked);
  void Unpark(Ticket ticket);

  // Gives the answers to those who wait, and the records as they are appended.
  std::vector<CoordinatorRecord> Settle(GroupOutput out);

 private:
  const MetadataSource& metadata_;
  GroupCoordinator groups_;
  uint64_t next_ticket_ = 0;
  std::map<Ticket, ParkedRequest<JoinedGroup>*> joining_;
  std::map<Ticket, ParkedRequest<SyncedGroup>*> syncing_;
};

}  // namespace millrace

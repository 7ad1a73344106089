#include "broker/coordinator/group_machine.h"

#include <utility>

#include "broker/groups/group_record.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

GroupTime TimeOf(CoordinatorTime time) { return {time.now, time.wall}; }

template <typename Answer>
void Deliver(std::map<Ticket, ParkedRequest<Answer>*>& waiting,
             std::vector<std::pair<Ticket, Answer>>& answers) {
  for (auto& [ticket, answer] : answers) {
    auto found = waiting.find(ticket);
    if (found == waiting.end()) continue;  // Nobody waits any more.
    found->second->answer = std::move(answer);
    found->second->answered.Set();
    waiting.erase(found);
  }
}

}  // namespace

GroupMachine::GroupMachine(const GroupOptions& options, GroupMemory& memory,
                           const MetadataSource& metadata, CoordinatorTime time)
    : metadata_(metadata), groups_(options, memory, TimeOf(time)) {}

absl::Status GroupMachine::Load(std::span<const uint8_t> key,
                                std::optional<std::span<const uint8_t>> value,
                                CoordinatorTime time) {
  MR_ASSIGN_OR_RETURN(std::optional<GroupRecord> record, DecodeGroupRecord(key, value));
  if (record.has_value()) groups_.Load(*record, TimeOf(time));
  return absl::OkStatus();
}

void GroupMachine::OnLoaded(CoordinatorTime time) {
  groups_.OnLoaded(*metadata_.image(), TimeOf(time));
}

std::vector<CoordinatorRecord> GroupMachine::OnTime(CoordinatorTime time) {
  GroupOutput out;
  groups_.OnTime(*metadata_.image(), TimeOf(time), out);
  return Settle(std::move(out));
}

std::vector<CoordinatorRecord> GroupMachine::OnTopicsDeleted(
    const std::vector<DeletedTopic>& topics, CoordinatorTime time) {
  std::map<std::string, TopicId> gone;
  for (const DeletedTopic& topic : topics) gone.insert_or_assign(topic.name, topic.id);
  GroupOutput out;
  groups_.OnTopicsDeleted(gone, TimeOf(time), out);
  return Settle(std::move(out));
}

void GroupMachine::Dismiss() {
  GroupOutput out;
  groups_.Dismiss(kafka::KafkaError::kNotCoordinator, out);
  (void)Settle(std::move(out));
}

Ticket GroupMachine::Park(ParkedRequest<JoinedGroup>& parked) {
  const Ticket ticket(next_ticket_++);
  joining_.emplace(ticket, &parked);
  return ticket;
}

Ticket GroupMachine::Park(ParkedRequest<SyncedGroup>& parked) {
  const Ticket ticket(next_ticket_++);
  syncing_.emplace(ticket, &parked);
  return ticket;
}

void GroupMachine::Unpark(Ticket ticket) {
  joining_.erase(ticket);
  syncing_.erase(ticket);
}

std::vector<CoordinatorRecord> GroupMachine::Settle(GroupOutput out) {
  Deliver(joining_, out.joined);
  Deliver(syncing_, out.synced);
  std::vector<CoordinatorRecord> records;
  records.reserve(out.records.size());
  for (const GroupRecord& record : out.records) {
    EncodedRecord encoded = EncodeGroupRecord(record);
    records.push_back({std::move(encoded.key), std::move(encoded.value)});
  }
  return records;
}

}  // namespace millrace

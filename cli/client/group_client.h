// GroupClient: what a client asks of consumer groups, each of the broker that coordinates the
// group.
//
// Coordinators are looked up, remembered, and looked up again when a broker says that it is not, or
// not yet, the one. Such answers, and brokers that cannot be reached, are retried until the
// deadline, with KafkaClient's pause.
//
// Shard:    one.
// Lifetime: `client` outlives it, and it outlives its tasks.
// Errors:   KafkaClient's. kNotFound: there is no such group. Of single partitions or groups: a
//           Status of their own beside the others' results.
// Bounds:   one remembered coordinator per group that was asked about.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/consumer_protocol.h"
#include "cli/client/kafka_client.h"
#include "cli/client/topic_partition.h"
#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

struct ListedGroup {
  std::string id;
  std::string type;      // "classic", "consumer", ...; empty from brokers before KIP-848.
  std::string protocol;  // "consumer", "connect", ...; empty: nobody has ever joined.
  std::string state;     // Empty from brokers before KIP-518.
  BrokerId coordinator{0};
};

struct GroupList {
  std::vector<ListedGroup> groups;     // By id.
  std::vector<absl::Status> failures;  // Of brokers: what they coordinate is missing.
};

struct GroupMemberView {
  std::string member_id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string host;
  ConsumerAssignment assignment;  // Sorted.
};

struct GroupDetails {
  std::string id;
  std::string state;
  std::string protocol_type;
  std::string protocol;  // For consumers the assignor.
  BrokerId coordinator{0};
  std::vector<GroupMemberView> members;  // As the coordinator lists them.
};

struct CommittedPosition {
  Offset offset{0};
  std::optional<LeaderEpoch> leader_epoch;
  std::string metadata;
};

// Who commits: a member, or somebody from outside when the group is empty.
struct CommitIdentity {
  int32_t generation = -1;
  std::string member_id;
};

using CommittedPositions = std::map<TopicPartition, CommittedPosition>;
using PartitionStatuses = std::map<TopicPartition, absl::Status>;

class GroupClient {
 public:
  explicit GroupClient(KafkaClient& client) : client_(client) {}

  KafkaClient& client() { return client_; }

  // Asks every broker.
  Task<absl::StatusOr<GroupList>> ListGroups(Instant deadline);

  // Of either protocol.
  Task<absl::StatusOr<GroupDetails>> DescribeGroup(std::string group, Instant deadline);
  // Positions of all partitions that have one; of a group that does not exist: none.
  Task<absl::StatusOr<CommittedPositions>> FetchCommitted(std::string group, Instant deadline);
  Task<absl::StatusOr<PartitionStatuses>> CommitOffsets(std::string group, CommitIdentity identity,
                                                        std::map<TopicPartition, Offset> offsets,
                                                        Instant deadline);
  Task<absl::StatusOr<PartitionStatuses>> DeleteCommitted(std::string group,
                                                          std::vector<TopicPartition> partitions,
                                                          Instant deadline);
  Task<absl::Status> DeleteGroup(std::string group, Instant deadline);

  // Looks the coordinators of many groups up in one request, so that the calls above need not.
  // What it does not find they ask for.
  Task<absl::Status> FindCoordinators(std::vector<std::string> groups, Instant deadline);
  Task<absl::StatusOr<BrokerId>> Coordinator(std::string group, Instant deadline);

  // Asks the group's coordinator until it answers as one: `code_of` names the answer's error code,
  // and any code that does not say "ask another, or later" is the caller's business.
  template <typename Response, typename Request>
  Task<absl::StatusOr<Response>> CallCoordinator(std::string group, Request request,
                                                 int16_t (*code_of)(const Response&),
                                                 Instant deadline,
                                                 int16_t version_max = Request::kMaxVersion) {
    for (;;) {
      MR_CO_ASSIGN_OR_RETURN(const BrokerId broker, co_await Coordinator(group, deadline));
      absl::StatusOr<Response> response =
          co_await client_.CallBroker<Response>(broker, request, deadline, version_max);
      absl::Status failed = response.status();
      if (response.ok()) {
        const int16_t code = code_of(*response);
        if (!IsCoordinatorError(code)) co_return response;
        failed = KafkaFailure(code);
      } else if (!IsRetriable(failed)) {
        co_return failed;
      }
      Forget(group);
      MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(failed, deadline));
    }
  }

  // The next call looks the coordinator up again.
  void Forget(const std::string& group) { coordinators_.erase(group); }

 private:
  // A group of the new protocol (KIP-848).
  Task<absl::StatusOr<GroupDetails>> DescribeConsumerGroup(std::string group, Instant deadline);
  static bool IsCoordinatorError(int16_t code);
  Task<absl::Status> AskBrokerForGroups(BrokerId broker, GroupList* list, Instant deadline);

  // Borrowed.
  KafkaClient& client_;

  // State.
  std::map<std::string, BrokerId> coordinators_;
};

}  // namespace millrace

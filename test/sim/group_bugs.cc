#include "test/sim/group_bugs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace millrace::simtest {
namespace {

using kafka::KafkaError;

class HastyLog final : public CoordinatorLog {
 public:
  using CoordinatorLog::CoordinatorLog;
  Task<absl::Status> Committed(CoordinatorPlace, Instant, CancellationToken) override {
    co_return failure();
  }
};

class TrustingLog final : public CoordinatorLog {
 public:
  using CoordinatorLog::CoordinatorLog;

 protected:
  absl::Status AwaitLoaded(Offset) override { return absl::OkStatus(); }
};

template <typename Log>
std::unique_ptr<CoordinatorLog> MakeLog(Env& env, PartitionTable& partitions, LogStore& store,
                                        TopicPartitionId id, LeaderEpoch epoch,
                                        std::function<void()> on_failure) {
  return std::make_unique<Log>(env, partitions, store, id, epoch, std::move(on_failure));
}

CoordinatorLogFactory LogWith(GroupBug bug) {
  if (bug == GroupBug::kAcknowledgesEarly) return MakeLog<HastyLog>;
  if (bug == GroupBug::kLoadsUncommitted) return MakeLog<TrustingLog>;
  return MakeCoordinatorLog;
}

GroupServiceOptions OptionsWith(GroupBug bug, GroupServiceOptions options) {
  if (bug == GroupBug::kIgnoresItsSuccessor) options.surely_leads = nullptr;
  return options;
}

class BuggyGroups final : public GroupService {
 public:
  BuggyGroups(GroupBug bug, Env& env, PartitionTable& partitions, LogStore& store,
              const MetadataSource& metadata, GroupServiceOptions options)
      : GroupService(env, partitions, store, metadata, OptionsWith(bug, std::move(options)),
                     LogWith(bug)),
        bug_(bug) {}

  Task<JoinedGroup> Join(TopicPartitionId at, std::string group_id, JoinGroup request,
                         CancellationToken cancel) override {
    if (bug_ == GroupBug::kKeepsSilentMembers) request.session_timeout = seconds(1000);
    JoinedGroup joined = co_await GroupService::Join(at, group_id, std::move(request), cancel);
    if (joined.error == KafkaError::kNone) {
      newest_.insert_or_assign(std::move(group_id),
                               OffsetOwner{{joined.member_id, std::nullopt}, joined.generation});
    }
    co_return joined;
  }

  Task<CommittedOffsets> Commit(TopicPartitionId at, OffsetsToCommit request,
                                CancellationToken cancel) override {
    CommittedOffsets committed = co_await GroupService::Commit(at, request, cancel);
    const auto newest = newest_.find(request.group_id);
    if (bug_ != GroupBug::kAcceptsStaleMembers || newest == newest_.end()) co_return committed;
    if (!IsStale(committed)) co_return committed;
    request.owner = newest->second;
    co_return co_await GroupService::Commit(at, std::move(request), cancel);
  }

 private:
  static bool IsStale(const CommittedOffsets& committed) {
    return std::ranges::any_of(committed.partitions, [](const auto& errors) {
      return std::ranges::any_of(errors, [](KafkaError error) {
        return error == KafkaError::kIllegalGeneration || error == KafkaError::kUnknownMemberId;
      });
    });
  }

  const GroupBug bug_;
  std::map<std::string, OffsetOwner> newest_;  // Who joined a group last, by its id.
};

}  // namespace

const char* GroupBugName(GroupBug bug) {
  switch (bug) {
    case GroupBug::kNone:
      return "none";
    case GroupBug::kAcknowledgesEarly:
      return "acknowledges-early";
    case GroupBug::kAcceptsStaleMembers:
      return "accepts-stale-members";
    case GroupBug::kKeepsSilentMembers:
      return "keeps-silent-members";
    case GroupBug::kLoadsUncommitted:
      return "loads-uncommitted";
    case GroupBug::kIgnoresItsSuccessor:
      return "ignores-its-successor";
  }
  return "?";
}

GroupServiceFactory GroupsWith(GroupBug bug) {
  if (bug == GroupBug::kNone) return MakeGroupService;
  return [bug](Env& env, PartitionTable& partitions, LogStore& store,
               const MetadataSource& metadata, GroupServiceOptions options) {
    return std::make_unique<BuggyGroups>(bug, env, partitions, store, metadata, std::move(options));
  };
}

}  // namespace millrace::simtest

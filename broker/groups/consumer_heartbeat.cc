#include "broker/groups/consumer_heartbeat.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/groups/assignor.h"
#include "broker/groups/embedded_protocol.h"
#include "broker/groups/group_draft.h"
#include "broker/groups/migration.h"
#include "broker/groups/topic_pattern.h"

namespace millrace {
namespace {

using kafka::KafkaError;

// Bytes of the names that a member subscribes to: as many as of a classic member's metadata. They are
// one record, which others have to read and keep.
constexpr size_t kNamesBytesMax = 4 << 20;

ConsumerHeartbeatReply Refusal(KafkaError error, std::string message) {
  return {.error = error, .message = std::move(message)};
}

// Patterns mean topics of users. Members that want one of these say its name.
bool IsInternal(std::string_view topic) {
  static constexpr std::array<std::string_view, 3> kInternal = {
      "__consumer_offsets", "__transaction_state", "__share_group_state"};
  return std::ranges::find(kInternal, topic) != kInternal.end();
}

class Heartbeat {
 public:
  // `classic`: of a member of the classic protocol, whose JoinGroup `request` stands for.
  Heartbeat(const ConsumerGroupState& state, const ConsumerGroupOptions& options,
            const ConsumerHeartbeat& request, std::optional<ClassicMemberMetadata> classic,
            const MetadataImage& image, GroupTime time, HeartbeatMemory& memory)
      : state_(state),
        options_(options),
        request_(request),
        classic_(std::move(classic)),
        image_(image),
        time_(time),
        memory_(memory),
        owned_(request.owned.transform(SortedPartitions)),
        draft_(state),
        epoch_(state.group_epoch()),
        target_epoch_(state.assignment_epoch()) {}

  ConsumerHeartbeatDecision Decide(Uuid drawn) {
    if (auto refusal = Run(drawn)) return {*std::move(refusal), {}};
    return {Reply(), std::move(records_)};
  }
  ClassicJoinDecision DecideJoin(Uuid drawn) {
    ClassicJoinDecision decision;
    if (auto refusal = Run(drawn)) {
      decision.answer.error = refusal->error;
      return decision;
    }
    // It leads nobody: the coordinator computes assignments, and SyncGroup brings it its own.
    decision.answer.generation = GenerationId(draft_.member.current.epoch.value());
    decision.answer.protocol_type = std::string(kConsumerProtocolType);
    // Whatever it is; but when they are among themselves again, it is what they vote for.
    decision.answer.protocol_name = state_.CommonProtocol(*classic_);
    decision.answer.member_id = draft_.member.member_id;
    decision.records = std::move(records_);
    return decision;
  }

 private:
  // What is wrong with the request; nothing: all is decided.
  std::optional<ConsumerHeartbeatReply> Run(Uuid drawn) {
    const std::string id = request_.member_id.empty() ? drawn.ToString() : request_.member_id;
    if (auto refusal = Identify(id)) return refusal;
    if (auto refusal = UpdateMember(id)) return refusal;
    MatchRegexes();
    NoticeTopics();
    Retarget();
    TakeStep();
    return std::nullopt;
  }
  bool joins() const { return request_.epoch == kJoinEpoch; }

  std::optional<ConsumerHeartbeatReply> Identify(const std::string& id) {
    known_ = state_.Find(id);
    if (request_.instance_id.has_value()) {
      const ConsumerMember* holder = state_.FindStatic(*request_.instance_id);
      if (auto refusal = IdentifyStatic(holder, id)) return refusal;
    }
    if (known_ == nullptr && draft_.replaced == nullptr) {
      if (!joins()) return Refusal(KafkaError::kUnknownMemberId, "not a member of the group");
      if (classic_.has_value() && !request_.member_id.empty() && !owned_->empty()) {
        // Any id is taken of a new member of the classic protocol; but one that owns something was
        // removed, and has to give that up before it joins: somebody else may own it by now.
        return Refusal(KafkaError::kUnknownMemberId, "");
      }
      if (state_.members().size() >= options_.members_max) {
        return Refusal(KafkaError::kGroupMaxSizeReached, "the group has as many members as it may");
      }
    }
    if (known_ == nullptr || joins()) return std::nullopt;
    return CheckEpoch(known_->current);
  }

  std::optional<ConsumerHeartbeatReply> IdentifyStatic(const ConsumerMember* holder,
                                                       const std::string& id) {
    if (holder != nullptr && holder->member_id == id) return std::nullopt;
    if (!joins()) {
      if (holder == nullptr) {
        return Refusal(KafkaError::kUnknownMemberId, "no member has this instance id");
      }
      return Refusal(KafkaError::kFencedInstanceId, "another member has this instance id now");
    }
    if (classic_.has_value() && !request_.member_id.empty()) {
      // It has its id from us: it was replaced, or removed, meanwhile.
      return holder == nullptr ? Refusal(KafkaError::kUnknownMemberId, "")
                               : Refusal(KafkaError::kFencedInstanceId, "");
    }
    if (known_ != nullptr) {
      return Refusal(KafkaError::kInvalidRequest, "a member may not change its instance id");
    }
    if (holder == nullptr) return std::nullopt;
    // Members of the classic protocol do not say that they will be back: the new one means it.
    const bool both_new = !classic_.has_value() && !holder->classic.has_value();
    if (both_new && holder->current.epoch != kStaticLeaveEpoch) {
      return Refusal(KafkaError::kUnreleasedInstanceId,
                     "another member has this instance id still");
    }
    draft_.replaced = holder;
    return std::nullopt;
  }

  // Rule 8.5. An answer with a new epoch may be lost: then the member comes with the one before, and
  // with no more than it was given.
  std::optional<ConsumerHeartbeatReply> CheckEpoch(const CurrentAssignment& current) const {
    if (request_.epoch == current.epoch) return std::nullopt;
    const bool answer_lost =
        request_.epoch < current.epoch && request_.epoch == current.previous_epoch &&
        request_.owned.has_value() && Includes(WithoutEpochs(current.assigned), *request_.owned);
    if (answer_lost) return std::nullopt;
    return Refusal(KafkaError::kFencedMemberEpoch, "not the epoch of the member");
  }

  std::optional<ConsumerHeartbeatReply> UpdateMember(const std::string& id) {
    ConsumerMember& member = draft_.member;
    const bool goes_on = known_ != nullptr && (classic_.has_value() || !joins());
    if (goes_on) {
      member = *known_;
    } else {
      // It says all it wants, and owns nothing any more. What was assigned to it, or to the one it
      // replaces, is free for it.
      member.member_id = id;
      member.instance_id = request_.instance_id;
    }
    member.classic = classic_;
    if (request_.rack.has_value()) member.rack = request_.rack;
    if (request_.rebalance_timeout.has_value()) {
      member.rebalance_timeout =
          std::clamp<Duration>(*request_.rebalance_timeout, Duration(0), milliseconds(INT32_MAX));
    }
    if (request_.server_assignor.has_value()) member.assignor = request_.server_assignor;
    if (request_.topic_names.has_value()) {
      const std::set<std::string> names(request_.topic_names->begin(), request_.topic_names->end());
      member.topic_names = {names.begin(), names.end()};
    }
    if (request_.topic_regex.has_value()) {
      if (request_.topic_regex->empty()) {
        member.topic_regex.reset();
      } else if (member.topic_regex != request_.topic_regex) {
        const auto pattern = TopicPattern::Compile(*request_.topic_regex);
        if (!pattern.ok()) {
          return Refusal(KafkaError::kInvalidRegularExpression,
                         std::string(pattern.status().message()));
        }
        member.topic_regex = request_.topic_regex;
      }
    }
    member.client_id = request_.client_id;
    member.client_host = request_.client_host;
    RecordMember();
    return std::nullopt;
  }

  void RecordMember() {
    const ConsumerMember* before = this->before();
    const std::string& group = state_.group_id();
    if (draft_.replaced != nullptr) {
      AppendMemberTombstones(group, draft_.replaced->member_id, records_);
    }
    GroupRecord record = MemberRecord(group, draft_.member);
    if (known_ == nullptr || record != MemberRecord(group, *known_)) {
      records_.push_back(std::move(record));
    }
    raise_epoch_ = before == nullptr || before->topic_names != draft_.member.topic_names ||
                   before->topic_regex != draft_.member.topic_regex;
    if (before == nullptr || !before->topic_regex.has_value()) return;
    if (state_.resolved().contains(*before->topic_regex) &&
        !draft_.Regexes().contains(*before->topic_regex)) {
      records_.push_back(RegexTombstone(group, *before->topic_regex));
    }
  }

  // Those that were never matched first. Others in turns, from where the last decision stopped.
  void MatchRegexes() {
    const std::set<std::string> regexes = draft_.Regexes();
    if (regexes.empty()) return;
    const auto since = [&](const std::optional<Instant>& last) {
      return last.has_value() ? time_.now - *last : Duration::max();
    };
    if (since(memory_.regexes_matched) < options_.regex_resolve_interval) return;
    const bool newer = memory_.regexes_seen != image_.index();
    const Duration idle = since(memory_.regexes_refreshed);
    const bool match_known =
        idle >= options_.regex_refresh_interval || (newer && idle >= options_.regex_batch_interval);
    std::vector<std::string> wanted;
    for (const std::string& regex : regexes) {
      if (!state_.resolved().contains(regex)) wanted.push_back(regex);
    }
    if (wanted.empty() && !match_known) return;
    if (match_known) AppendKnown(regexes, wanted);

    uint64_t cost = 0;
    size_t done = 0;
    for (; done < wanted.size() && cost < options_.regex_cost_max; ++done) {
      MatchRegex(wanted[done], cost);
      memory_.regex_last = wanted[done];
    }
    memory_.regexes_matched = time_.now;
    if (!match_known) return;
    memory_.regexes_refreshed = time_.now;
    if (done == wanted.size()) memory_.regexes_seen = image_.index();
  }

  void AppendKnown(const std::set<std::string>& regexes, std::vector<std::string>& wanted) const {
    const auto append = [&](auto from, auto to) {
      std::copy_if(from, to, std::back_inserter(wanted),
                   [&](const std::string& regex) { return state_.resolved().contains(regex); });
    };
    const auto next = regexes.upper_bound(memory_.regex_last);
    append(next, regexes.end());
    append(regexes.begin(), next);
  }

  void MatchRegex(const std::string& regex, uint64_t& cost) {
    ResolvedRegex resolved{.topics = {},
                           .version = image_.index().has_value() ? image_.index()->value() : 0,
                           .resolved = time_.wall};
    const auto pattern = TopicPattern::Compile(regex);
    // One from a record, of a broker with a larger limit, may not compile here: it matches nothing.
    if (pattern.ok()) {
      image_.topics().ForEach([&](const std::string& name, const MetadataImage::Topic&) {
        cost += pattern->Cost(name);
        if (!IsInternal(name) && pattern->Matches(name)) {
          resolved.topics.insert(resolved.topics.end(), name);
        }
        return true;
      });
    }
    const std::set<std::string>* before = draft_.TopicsOf(regex);
    if (before != nullptr && *before == resolved.topics) return;
    raise_epoch_ |= before == nullptr ? !resolved.topics.empty() : true;
    records_.push_back(ToRecord(state_.group_id(), regex, resolved));
    draft_.matched.insert_or_assign(regex, std::move(resolved));
  }

  void NoticeTopics() {
    // Members that were removed left the hash as it was, for want of an image.
    const bool target_is_due = epoch_ > target_epoch_;
    if (!raise_epoch_ && !target_is_due && memory_.topics_seen == image_.index()) return;
    memory_.topics_seen = image_.index();
    const int64_t hash = HashTopics(draft_.SubscribedTopics(), image_);
    const bool changed = hash != state_.metadata_hash();
    if (!raise_epoch_ && !changed) return;
    // An epoch that nothing was computed for yet may as well stand for the newer topics.
    if (raise_epoch_ || !target_is_due) ++epoch_;
    records_.push_back(EpochRecord(state_.group_id(), epoch_, hash));
  }

  void Retarget() {
    const std::string& group = state_.group_id();
    target_ = draft_.TargetOf(draft_.member);
    const bool too_soon = target_epoch_ > 0 && memory_.target_computed.has_value() &&
                          time_.now - *memory_.target_computed < options_.assignment_interval;
    if (epoch_ <= target_epoch_ || too_soon) {
      if (epoch_ > target_epoch_) DropUnsubscribed();
      if (draft_.replaced != nullptr && !target_.empty()) {
        records_.push_back(TargetRecord(group, draft_.member.member_id, target_));
      }
      return;
    }
    memory_.target_computed = time_.now;
    const Assignor* assignor = FindAssignor(VoteForAssignor(draft_.Members(), options_.assignors));
    if (assignor == nullptr) assignor = FindAssignor("uniform");
    for (auto& [id, target] : ComputeTarget(draft_, *assignor, image_)) {
      if (target != state_.Target(id)) records_.push_back(TargetRecord(group, id, target));
      if (id == draft_.member.member_id) target_ = std::move(target);
    }
    target_epoch_ = epoch_;
    records_.push_back(TargetEpochRecord(group, target_epoch_, time_.wall));
  }

  // The target is older than the subscription may be: the member, which may just have come back with
  // another one, gets no topic that it did not ask for, until there is a newer target.
  void DropUnsubscribed() {
    const ConsumerMember& member = draft_.member;
    const std::set<std::string>* matched =
        member.topic_regex.has_value() ? draft_.TopicsOf(*member.topic_regex) : nullptr;
    std::map<TopicId, bool> wanted;
    std::erase_if(target_, [&](const TopicPartitionId& partition) {
      const auto [it, fresh] = wanted.try_emplace(partition.topic_id, false);
      if (fresh) {
        const MetadataImage::Topic topic = image_.FindTopic(partition.topic_id);
        it->second =
            topic != nullptr && (std::ranges::binary_search(member.topic_names, topic->name) ||
                                 (matched != nullptr && matched->contains(topic->name)));
      }
      return !it->second;
    });
  }

  void TakeStep() {
    CurrentAssignment& current = draft_.member.current;
    current = NextAssignment(current, MemberEpoch(target_epoch_), target_, owned_,
                             [&](const TopicPartitionId& partition) {
                               return !state_.HeldByOther(partition, before());
                             });
    if (known_ != nullptr && current == known_->current) return;
    records_.push_back(CurrentRecord(state_.group_id(), draft_.member.member_id, current));
  }

  // Rule 8.8.
  ConsumerHeartbeatReply Reply() const {
    const ConsumerMember& member = draft_.member;
    ConsumerHeartbeatReply reply{.member_id = member.member_id,
                                 .epoch = member.current.epoch,
                                 .heartbeat_interval = options_.heartbeat_interval};
    const bool asks_for_all =
        joins() || (request_.rebalance_timeout.has_value() && request_.owned.has_value() &&
                    (request_.topic_names.has_value() || request_.topic_regex.has_value()));
    PartitionList assigned = WithoutEpochs(member.current.assigned);
    if (asks_for_all || assigned != WithoutEpochs(known_->current.assigned)) {
      reply.assignment = std::move(assigned);
    }
    return reply;
  }

  const ConsumerMember* before() const { return known_ != nullptr ? known_ : draft_.replaced; }

  const ConsumerGroupState& state_;
  const ConsumerGroupOptions& options_;
  const ConsumerHeartbeat& request_;
  const std::optional<ClassicMemberMetadata> classic_;
  const MetadataImage& image_;
  const GroupTime time_;
  HeartbeatMemory& memory_;
  const std::optional<PartitionList> owned_;  // Sorted.
  // What is being decided.
  GroupDraft draft_;
  const ConsumerMember* known_ = nullptr;  // The member as it is; null: it is new.
  bool raise_epoch_ = false;
  int32_t epoch_;
  int32_t target_epoch_;
  PartitionList target_;
  std::vector<GroupRecord> records_;
};

}  // namespace

std::optional<ConsumerHeartbeatReply> RefuseMalformed(const ConsumerHeartbeat& request,
                                                      const ConsumerGroupOptions& options) {
  const auto invalid = [](std::string message) {
    return Refusal(KafkaError::kInvalidRequest, std::move(message));
  };
  const bool joins = request.epoch == kJoinEpoch;
  if (request.group_id.empty()) return invalid("GroupId is empty");
  if (request.instance_id == "") return invalid("InstanceId is empty");
  if (request.rack == "") return invalid("RackId is empty");
  if (request.epoch < kStaticLeaveEpoch) return invalid("MemberEpoch is less than -2");
  if (request.member_id.empty() && (!joins || request.must_bring_its_id)) {
    return invalid("MemberId is empty");
  }
  if (request.epoch == kStaticLeaveEpoch && !request.instance_id.has_value()) {
    return invalid("only a member with an InstanceId may leave for a restart");
  }
  if (joins) {
    if (!request.rebalance_timeout.has_value()) {
      return invalid("RebalanceTimeoutMs is needed to join");
    }
    if (!request.owned.has_value() || !request.owned->empty()) {
      return invalid("TopicPartitions are to be empty to join");
    }
    if (!request.topic_names.has_value() && !request.topic_regex.has_value()) {
      return invalid("SubscribedTopicNames or SubscribedTopicRegex is needed to join");
    }
  }
  if (request.topic_names.has_value()) {
    size_t bytes = 0;
    for (const std::string& name : *request.topic_names) bytes += name.size();
    if (bytes > kNamesBytesMax) return invalid("SubscribedTopicNames are too many");
  }
  if (request.server_assignor.has_value() &&
      std::ranges::find(options.assignors, *request.server_assignor) == options.assignors.end()) {
    return Refusal(KafkaError::kUnsupportedAssignor,
                   "there is no assignor " + *request.server_assignor);
  }
  return std::nullopt;
}

ConsumerHeartbeatDecision DecideHeartbeat(const ConsumerGroupState& state,
                                          const ConsumerGroupOptions& options,
                                          const ConsumerHeartbeat& request,
                                          const MetadataImage& image, Uuid drawn, GroupTime time,
                                          HeartbeatMemory& memory) {
  return Heartbeat(state, options, request, std::nullopt, image, time, memory).Decide(drawn);
}

ClassicJoinDecision DecideClassicJoin(const ConsumerGroupState& state,
                                      const ConsumerGroupOptions& options, const JoinGroup& request,
                                      const MetadataImage& image, Uuid drawn, GroupTime time,
                                      HeartbeatMemory& memory) {
  // Whatever the protocol, a consumer says the same about itself.
  auto subscription = ParseSubscription(request.protocols.front().metadata);
  if (!subscription.has_value()) {
    ClassicJoinDecision refused;
    refused.answer.error = KafkaError::kInconsistentGroupProtocol;
    return refused;
  }
  ConsumerHeartbeat as_heartbeat{.group_id = state.group_id(),
                                 .member_id = request.member.member_id,
                                 .epoch = kJoinEpoch,
                                 .instance_id = request.member.instance_id,
                                 .rack = std::move(subscription->rack_id),
                                 .rebalance_timeout = request.rebalance_timeout,
                                 .topic_names = std::move(subscription->topics),
                                 .topic_regex = "",
                                 .owned = PartitionsIn(subscription->owned_partitions, image),
                                 .client_id = request.client_id,
                                 .client_host = request.client_host};
  return Heartbeat(state, options, as_heartbeat,
                   ClassicMetadataOf(request.session_timeout, request.protocols), image, time,
                   memory)
      .DecideJoin(drawn);
}

}  // namespace millrace

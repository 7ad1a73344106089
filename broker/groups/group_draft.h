// GroupDraft: a consumer group as it will be once a decision's records are replayed, as far as
// subscriptions go: its state, with one member changed, new, or in the place of another, and with
// regular expressions matched anew.
//
// Shard:    any; pure.
// Lifetime: the state outlives it, and is not changed meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/assignor.h"
#include "broker/groups/consumer_group_state.h"
#include "broker/groups/partition_list.h"
#include "controller/image/metadata_image.h"

namespace millrace {

struct GroupDraft {
  explicit GroupDraft(const ConsumerGroupState& group) : state(group) {}

  const ConsumerGroupState& state;
  ConsumerMember member = {};                // As it will be.
  const ConsumerMember* replaced = nullptr;  // Goes, and `member` takes its place (static members).
  std::map<std::string, ResolvedRegex> matched = {};  // Newer than what the state has.

  // By id.
  std::vector<const ConsumerMember*> Members() const;
  std::set<std::string> Regexes() const;
  // What it stands for; null: it has not been matched yet.
  const std::set<std::string>* TopicsOf(const std::string& regex) const;
  std::set<std::string> SubscribedTopics() const;
  // Up to now: of the member, or of the one it replaces.
  const PartitionList& TargetOf(const ConsumerMember& of) const;
};

// Over the topics that exist: another one when one of them is created, deleted or expanded. 0 when
// there is none.
int64_t HashTopics(const std::set<std::string>& names, const MetadataImage& image);

// The assignor most members ask for; where none does, or as many ask for others, the first of the
// known ones that counts (rule 8.10).
std::string VoteForAssignor(const std::vector<const ConsumerMember*>& members,
                            const std::vector<std::string>& known);

// Who shall have what. Every member of the draft is there.
std::map<std::string, PartitionList> ComputeTarget(const GroupDraft& draft,
                                                   const Assignor& assignor,
                                                   const MetadataImage& image);

}  // namespace millrace

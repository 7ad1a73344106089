#include "broker/groups/group_draft.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/stable_hash.h"

namespace millrace {
namespace {

// Finds what members subscribe to among the topics that exist, once for all that want the same.
class Subscriptions {
 public:
  Subscriptions(const GroupDraft& draft, const MetadataImage& image) : draft_(draft) {
    std::vector<std::pair<AssignorTopic, std::string>> topics;
    for (const std::string& name : draft.SubscribedTopics()) {
      const MetadataImage::Topic topic = image.FindTopic(name);
      if (topic == nullptr) continue;
      topics.push_back({{topic->topic_id, static_cast<int32_t>(topic->partitions.size())}, name});
    }
    std::ranges::sort(topics, {}, [](const auto& topic) { return topic.first.id; });
    for (auto& [topic, name] : topics) {
      indexes_.emplace(std::move(name), static_cast<uint32_t>(request.topics.size()));
      request.topics.push_back(topic);
    }
  }

  void Add(const ConsumerMember& member) {
    AssignorMember& added = request.members.emplace_back();
    added.member_id = member.member_id;
    if (member.instance_id.has_value()) added.instance_id = *member.instance_id;
    added.held = draft_.TargetOf(member);
    added.subscription = SubscriptionOf(member);
  }

  AssignorRequest request;

 private:
  // Points into members: they outlive this.
  using Wanted = std::pair<const std::vector<std::string>*, const std::optional<std::string>*>;
  struct LessWanted {
    bool operator()(const Wanted& a, const Wanted& b) const {
      return std::tie(*a.first, *a.second) < std::tie(*b.first, *b.second);
    }
  };

  size_t SubscriptionOf(const ConsumerMember& member) {
    const auto [it, fresh] = by_wanted_.try_emplace({&member.topic_names, &member.topic_regex}, 0);
    if (fresh) it->second = Intern(Find(member));
    return it->second;
  }

  std::vector<uint32_t> Find(const ConsumerMember& member) const {
    std::vector<uint32_t> found;
    const auto add = [&](const std::string& name) {
      const auto it = indexes_.find(name);
      if (it != indexes_.end()) found.push_back(it->second);
    };
    std::ranges::for_each(member.topic_names, add);
    if (member.topic_regex.has_value()) {
      if (const auto* topics = draft_.TopicsOf(*member.topic_regex)) {
        std::ranges::for_each(*topics, add);
      }
    }
    std::ranges::sort(found);
    const auto repeated = std::ranges::unique(found);
    found.erase(repeated.begin(), repeated.end());
    return found;
  }

  size_t Intern(std::vector<uint32_t> topics) {
    const auto [it, fresh] = by_topics_.try_emplace(topics, request.subscriptions.size());
    if (fresh) request.subscriptions.push_back(std::move(topics));
    return it->second;
  }

  const GroupDraft& draft_;
  std::map<std::string, uint32_t, std::less<>> indexes_;
  std::map<Wanted, size_t, LessWanted> by_wanted_;
  std::map<std::vector<uint32_t>, size_t> by_topics_;
};

uint64_t Mix(uint64_t hash, uint64_t more) {
  return StableHash(static_cast<int64_t>((hash ^ more) * 0x100000001b3ULL + 1));
}

}  // namespace

std::vector<const ConsumerMember*> GroupDraft::Members() const {
  std::vector<const ConsumerMember*> members;
  members.reserve(state.members().size() + 1);
  bool added = false;
  for (const auto& [id, other] : state.members()) {
    if (!added && id >= member.member_id) {
      members.push_back(&member);
      added = true;
    }
    if (id != member.member_id && &other != replaced) members.push_back(&other);
  }
  if (!added) members.push_back(&member);
  return members;
}

std::set<std::string> GroupDraft::Regexes() const {
  std::map<std::string, uint32_t> counts = state.regexes();
  const auto drop = [&](const ConsumerMember* old) {
    if (old == nullptr || !old->topic_regex.has_value()) return;
    if (--counts[*old->topic_regex] == 0) counts.erase(*old->topic_regex);
  };
  drop(state.Find(member.member_id));
  drop(replaced);
  if (member.topic_regex.has_value()) ++counts[*member.topic_regex];
  std::set<std::string> regexes;
  for (const auto& [regex, _] : counts) regexes.insert(regexes.end(), regex);
  return regexes;
}

const std::set<std::string>* GroupDraft::TopicsOf(const std::string& regex) const {
  for (const auto* resolved : {&matched, &state.resolved()}) {
    const auto it = resolved->find(regex);
    if (it != resolved->end()) return &it->second.topics;
  }
  return nullptr;
}

std::set<std::string> GroupDraft::SubscribedTopics() const {
  std::map<std::string, uint32_t> counts = state.names();
  const auto drop = [&](const ConsumerMember* old) {
    if (old == nullptr) return;
    for (const std::string& name : old->topic_names) {
      if (--counts[name] == 0) counts.erase(name);
    }
  };
  drop(state.Find(member.member_id));
  drop(replaced);
  for (const std::string& name : member.topic_names) ++counts[name];
  std::set<std::string> topics;
  for (const auto& [name, _] : counts) topics.insert(topics.end(), name);
  for (const std::string& regex : Regexes()) {
    if (const auto* found = TopicsOf(regex)) topics.insert(found->begin(), found->end());
  }
  return topics;
}

const PartitionList& GroupDraft::TargetOf(const ConsumerMember& of) const {
  return state.Target(&of == &member && replaced != nullptr ? replaced->member_id : of.member_id);
}

int64_t HashTopics(const std::set<std::string>& names, const MetadataImage& image) {
  uint64_t hash = 0;
  for (const std::string& name : names) {
    const MetadataImage::Topic topic = image.FindTopic(name);
    if (topic == nullptr) continue;
    hash = Mix(hash, StableHash(name));
    hash = Mix(hash, topic->topic_id.high());
    hash = Mix(hash, topic->topic_id.low());
    hash = Mix(hash, topic->partitions.size());
  }
  return static_cast<int64_t>(hash);
}

std::string VoteForAssignor(const std::vector<const ConsumerMember*>& members,
                            const std::vector<std::string>& known) {
  std::vector<size_t> votes(known.size(), 0);
  for (const ConsumerMember* member : members) {
    if (!member->assignor.has_value()) continue;
    const auto it = std::ranges::find(known, *member->assignor);
    if (it != known.end()) ++votes[static_cast<size_t>(it - known.begin())];
  }
  const auto most = std::ranges::max_element(votes);
  return most == votes.end() ? "" : known[static_cast<size_t>(most - votes.begin())];
}

std::map<std::string, PartitionList> ComputeTarget(const GroupDraft& draft,
                                                   const Assignor& assignor,
                                                   const MetadataImage& image) {
  const std::vector<const ConsumerMember*> members = draft.Members();
  Subscriptions subscriptions(draft, image);
  for (const ConsumerMember* member : members) subscriptions.Add(*member);
  std::vector<PartitionList> shares = assignor.Assign(subscriptions.request);
  std::map<std::string, PartitionList> target;
  for (size_t i = 0; i < members.size(); ++i) {
    target.emplace_hint(target.end(), members[i]->member_id, std::move(shares[i]));
  }
  return target;
}

}  // namespace millrace

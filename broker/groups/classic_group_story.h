// Stories of a classic group in text: RunGroupStory() carries out the commands of a transcript and
// gives the transcript as it really was. A line that begins with "$ " is a command, the lines behind
// it are what it brought about; lines that begin with # are kept. See test/scripts/groups/.
//
//   $ group [delay=3s] [max=N] [pending-max=N]   a group nobody has joined; time begins at 0 s
//   $ resize max=N                               group.max.size changes
//   $ load                                       it is dropped, and loaded as it was written last
//   $ join A [how ...]                           how, kept for A's next requests:
//       instance=i type=consumer protocols=range:x,sticky:y session=10s rebalance=60s v=3
//       client=A: what it calls itself
//       as=A-1: with this id and not the one that A knows; as=none: with none
//   $ sync A [B=part ...] [as=ID] [generation=N] [type=T] [protocol=P]
//   $ beat A [as=ID] [generation=N]
//   $ leave A ..., $ leave as=none instance=i
//   $ commit A [as=ID] [generation=N|none] [txn], $ commit: by nobody
//   $ fetch A                                    may it fetch offsets?
//   $ forget A                                   nobody waits for its request any more
//   $ wait 3s                                    what is due in between happens in its time
//   $ dismiss
//   $ show
//
// A member's id is shown as A-1, where 1 was drawn for it.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "broker/groups/classic_group.h"

namespace millrace {

class GroupStory {
 public:
  // What a command says, from behind the "$ ".
  void Run(const std::string& line) {
    std::istringstream text(line);
    std::string verb;
    text >> verb;
    names_.clear();
    values_.clear();
    for (std::string word; text >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        names_.push_back(word);
      } else {
        values_[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    if (verb == "group") return Begin();
    if (group_ == nullptr) return Note("there is no group");
    if (verb == "wait") return Wait();
    const ClassicGroupState before = group_->state();
    ClassicGroupOutput out;
    if (!Ask(verb, out) && !Change(verb, out)) {
      Note("no such command");
    }
    Tell(before, std::move(out));
  }
  std::string TakeNotes() { return std::exchange(notes_, ""); }

 private:
  struct Client {
    std::string name;
    std::string id;
    std::optional<std::string> instance;
    std::string type = "consumer";
    std::vector<MemberProtocol> protocols = {{"range", "x"}};
    int session_s = 10;
    int rebalance_s = 60;
    int version = 3;
    GenerationId generation = GenerationId(0);
    std::optional<Ticket> waits;
  };

  void Note(const std::string& line) { notes_ += line + "\n"; }
  // Without the zeros of the ids that were drawn.
  static std::string Short(std::string id) {
    const size_t uuid = id.find("-00000000-0000-0000-0000-");
    if (uuid == std::string::npos) return id;
    return id.substr(0, uuid) + "-" + id.substr(id.find_first_not_of("0-", uuid));
  }
  static std::string Long(const std::string& id) {
    if (id == "none") return "";
    const size_t dash = id.find_last_of('-');
    return fmt::format("{}-00000000-0000-0000-0000-{:0>12}", id.substr(0, dash),
                       id.substr(dash + 1));
  }
  std::optional<std::string> Value(const std::string& name) const {
    const auto value = values_.find(name);
    return value == values_.end() ? std::nullopt : std::optional(value->second);
  }
  int Number(const std::string& name, int otherwise) const {
    const auto value = Value(name);
    return value.has_value() ? std::stoi(*value) : otherwise;
  }
  Client& Named(const std::string& name) {
    const auto known = clients_.try_emplace(name).first;
    known->second.name = name;
    return known->second;
  }
  Client& First() { return Named(names_.empty() ? "nobody" : names_.front()); }
  MemberIdentity Identity(const Client& client) const {
    MemberIdentity who{client.id, client.instance};
    if (const auto id = Value("as")) who.member_id = Long(*id);
    if (const auto instance = Value("instance")) who.instance_id = *instance;
    return who;
  }
  Ticket NewTicket(Client& client) {
    const Ticket ticket(next_ticket_++);
    asked_.emplace(ticket, client.name);
    client.waits = ticket;
    return ticket;
  }
  GroupTime Time() const { return {now_, Timestamp(now_.nanoseconds() / 1'000'000)}; }

  void Begin() {
    options_.initial_rebalance_delay = seconds(Number("delay", 3));
    options_.members_max = static_cast<size_t>(Number("max", 1000));
    options_.pending_members_max = static_cast<size_t>(Number("pending-max", 1000));
    now_ = Instant(0);
    clients_.clear();
    asked_.clear();
    next_id_ = 1;
    group_ = std::make_unique<ClassicGroup>("g", options_, Time());
    record_ = group_->ToRecord();
  }

  bool Ask(const std::string& verb, ClassicGroupOutput& out) {
    Client& client = First();
    if (verb == "join") {
      Join(client, out);
    } else if (verb == "sync") {
      Sync(client, out);
    } else if (verb == "beat") {
      Note(fmt::format("{} beat: {}", client.name,
                       Name(group_->Heartbeat(Identity(client), Generation(client), Time()))));
    } else if (verb == "commit") {
      std::optional<GenerationId> generation = Generation(client);
      if (names_.empty() || Value("generation") == "none") generation.reset();
      const bool transactional = std::ranges::find(names_, "txn") != names_.end();
      Note(fmt::format(
          "{} commit: {}", client.name,
          Name(group_->CheckCommit(Identity(client), generation, transactional, Time()))));
    } else if (verb == "fetch") {
      Note(fmt::format("{} fetch: {}", client.name,
                       Name(group_->CheckFetch(Identity(client), client.generation))));
    } else {
      return false;
    }
    return true;
  }
  bool Change(const std::string& verb, ClassicGroupOutput& out) {
    if (verb == "leave") {
      std::vector<MemberIdentity> who;
      for (const std::string& name : names_) who.push_back(Identity(Named(name)));
      if (names_.empty()) who.push_back(Identity(Client()));
      std::vector<std::string> errors;
      for (const auto error : group_->Leave(who, Time(), out)) errors.push_back(Name(error));
      Note(fmt::format("leave: {}", fmt::join(errors, ", ")));
    } else if (verb == "forget") {
      group_->Forget(*First().waits);
      asked_.erase(*First().waits);
    } else if (verb == "dismiss") {
      group_->Dismiss(kafka::KafkaError::kNotCoordinator, out);
    } else if (verb == "resize") {
      options_.members_max = static_cast<size_t>(Number("max", 1000));
    } else if (verb == "load") {
      group_ = std::make_unique<ClassicGroup>("g", options_, record_, Time());
      Note(fmt::format("{}, generation {}", ToString(group_->state()),
                       group_->generation().value()));
    } else if (verb == "show") {
      Show();
    } else {
      return false;
    }
    return true;
  }

  GenerationId Generation(const Client& client) const {
    if (Value("generation") == "none") return client.generation;
    return GenerationId(Number("generation", client.generation.value()));
  }
  void Join(Client& client, ClassicGroupOutput& out) {
    if (const auto instance = Value("instance")) client.instance = *instance;
    client.type = Value("type").value_or(client.type);
    client.session_s = Number("session", client.session_s);
    client.rebalance_s = Number("rebalance", client.rebalance_s);
    client.version = Number("v", client.version);
    if (const auto list = Value("protocols")) {
      client.protocols.clear();
      std::istringstream protocols(*list);
      for (std::string one; std::getline(protocols, one, ',');) {
        const size_t colon = std::min(one.find(':'), one.size());
        client.protocols.push_back(
            {one.substr(0, colon), one.substr(std::min(colon + 1, one.size()))});
      }
    }
    const int drawn = client.id.empty() || Value("as") == "none" ? next_id_++ : 0;
    group_->Join({.member = Identity(client),
                  .client_id = Value("client").value_or(client.name),
                  .client_host = "/127.0.0.1",
                  .session_timeout = seconds(client.session_s),
                  .rebalance_timeout = seconds(client.rebalance_s),
                  .protocol_type = client.type,
                  .protocols = client.protocols,
                  .must_know_its_id = client.version >= 4,
                  .may_skip_assignment = client.version >= 9},
                 NewTicket(client), Uuid(0, static_cast<uint64_t>(drawn)), Time(), out);
  }
  void Sync(Client& client, ClassicGroupOutput& out) {
    SyncGroup request{.member = Identity(client),
                      .generation = Generation(client),
                      .protocol_type = Value("type"),
                      .protocol_name = Value("protocol"),
                      .assignments = {}};
    for (const auto& [name, part] : values_) {
      if (std::isupper(static_cast<unsigned char>(name[0])) == 0) continue;
      const auto named = clients_.find(name);
      request.assignments.push_back(
          {named == clients_.end() ? Long(name) : named->second.id, part});
    }
    group_->Sync(std::move(request), NewTicket(client), Time(), out);
  }
  void Wait() {
    const Instant until = now_ + seconds(std::stoi(names_.at(0)));
    for (auto next = group_->deadline(); next.has_value() && *next <= until;
         next = group_->deadline()) {
      now_ = std::max(now_, *next);
      const ClassicGroupState before = group_->state();
      ClassicGroupOutput out;
      const size_t members = group_->member_count();
      const size_t pending = group_->pending_count();
      group_->OnTime(Time(), out);
      Note(fmt::format("{} s:{}", now_.nanoseconds() / 1'000'000'000,
                       Differences(before, members, pending)));
      Tell(group_->state(), std::move(out));
    }
    now_ = until;
  }
  std::string Differences(ClassicGroupState state, size_t members, size_t pending) const {
    std::string text;
    if (members != group_->member_count()) {
      text += fmt::format(" members {} -> {}", members, group_->member_count());
    }
    if (pending != group_->pending_count()) {
      text += fmt::format(" pending {} -> {}", pending, group_->pending_count());
    }
    if (state != group_->state()) text += fmt::format(" {}", ToString(group_->state()));
    return text.empty() ? " it goes on" : text;
  }

  static std::string Name(kafka::KafkaError error) { return std::string(kafka::NameOf(error)); }
  std::string Asked(Ticket ticket) {
    const auto asked = asked_.find(ticket);
    if (asked == asked_.end()) return "(nobody)";
    std::string name = asked->second;
    asked_.erase(asked);
    return name;
  }
  void Tell(ClassicGroupState before, ClassicGroupOutput out) {
    if (group_->state() != before) Note(fmt::format("{}", ToString(group_->state())));
    for (const auto& [ticket, answer] : out.joined) {
      Client& client = Named(Asked(ticket));
      if (answer.error != kafka::KafkaError::kNone) {
        Note(fmt::format("{} join: {}{}{}", client.name, Name(answer.error),
                         answer.member_id.empty() ? "" : " ", Short(answer.member_id)));
        if (answer.error == kafka::KafkaError::kMemberIdRequired) client.id = answer.member_id;
        continue;
      }
      client.id = answer.member_id;
      client.generation = *answer.generation;
      std::vector<std::string> members;
      for (const JoinedGroup::Member& member : answer.members) {
        members.push_back(Short(member.member_id) + ":" + member.metadata);
      }
      Note(fmt::format("{} joined {} {} as {}, led by {}{}{}", client.name,
                       answer.generation->value(), answer.protocol_name.value_or("-"),
                       Short(answer.member_id), Short(answer.leader),
                       answer.skip_assignment ? ", skips assignment" : "",
                       members.empty() ? "" : fmt::format(" [{}]", fmt::join(members, " "))));
    }
    for (const auto& [ticket, answer] : out.synced) {
      const std::string name = Asked(ticket);
      if (answer.error != kafka::KafkaError::kNone) {
        Note(fmt::format("{} sync: {}", name, Name(answer.error)));
      } else {
        Note(fmt::format("{} synced {} {} '{}'", name, answer.protocol_type.value_or("-"),
                         answer.protocol_name.value_or("-"), answer.assignment));
      }
    }
    if (!out.write) return;
    record_ = group_->ToRecord();
    std::vector<std::string> members;
    for (const auto& member : record_.members) {
      members.push_back(fmt::format("{}:{}={}", Short(member.member_id), member.subscription.view(),
                                    member.assignment.view()));
    }
    Note(fmt::format("written: {} {} {} leader {} since {} ms [{}]", record_.generation,
                     record_.protocol_type, record_.protocol.value_or("-"),
                     Short(record_.leader.value_or("-")), record_.current_state_timestamp,
                     fmt::join(members, " ")));
  }
  void Show() {
    Note(fmt::format("{} since {} ms, generation {}, type '{}', protocol {}, pending {}",
                     ToString(group_->state()), group_->state_since().ms(),
                     group_->generation().value(), group_->protocol_type(),
                     group_->protocol().value_or("-"), group_->pending_count()));
    for (const ClassicGroup::MemberView& member : group_->Members()) {
      Note(fmt::format("  {} {} of {} '{}' '{}'", Short(member.member_id),
                       member.instance_id.value_or("-"), member.client_id, member.metadata,
                       member.assignment));
    }
  }

  ClassicGroupOptions options_;
  std::unique_ptr<ClassicGroup> group_;
  kafka::GroupMetadataValue record_;
  Instant now_ = Instant(0);
  std::map<std::string, Client> clients_;
  std::map<Ticket, std::string> asked_;
  uint64_t next_ticket_ = 1;
  int next_id_ = 1;
  std::vector<std::string> names_;
  std::map<std::string, std::string> values_;
  std::string notes_;
};

inline std::string RunGroupStory(const std::string& story) {
  GroupStory told;
  std::istringstream lines(story);
  std::string transcript;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#") || line.empty()) transcript += line + "\n";
    if (!line.starts_with("$ ")) continue;
    told.Run(line.substr(2));
    transcript += line + "\n" + told.TakeNotes();
  }
  return transcript;
}

}  // namespace millrace

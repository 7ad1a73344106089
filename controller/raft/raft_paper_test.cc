// The rules of the Raft paper (2014) and thesis, one test each, by their sentences.
#include <catch2/catch.hpp>

#include "controller/raft/raft_story.h"

namespace millrace::raft {
namespace {

const ReplicaKey kSelf{BrokerId(1), DirectoryId(1, 1)};
const ReplicaKey kTwo{BrokerId(2), DirectoryId(1, 2)};
const ReplicaKey kThree{BrokerId(3), DirectoryId(1, 3)};

Data Text(const std::string& text) { return std::make_shared<const std::string>(text); }

VoterSet Three() {
  return VoterSet({{kSelf.id, {kSelf.directory, {}}},
                   {kTwo.id, {kTwo.directory, {}}},
                   {kThree.id, {kThree.directory, {}}}});
}

// Replica 1 of three, with entries of these terms, in `term`.
RaftCore One(int64_t term, const std::vector<int64_t>& entry_terms,
             std::optional<ReplicaKey> vote = std::nullopt) {
  RaftStart start;
  start.hard_state = {RaftTerm(term), vote, RaftIndex(0)};
  start.static_voters = Three();
  for (int64_t entry_term : entry_terms) {
    const RaftIndex index(static_cast<int64_t>(start.entries.size()) + 1);
    start.entries.push_back({index, RaftTerm(entry_term), Text("x")});
  }
  CHECK(!WhatIsWrong(start).has_value());
  return RaftCore(kSelf, {}, std::move(start));
}

Message From(const ReplicaKey& from, int64_t term, decltype(Message::body) body) {
  return {from, kSelf.id, kSelf.directory, RaftTerm(term), std::move(body)};
}

AppendRequest Append(int64_t prev, int64_t prev_term, const std::vector<int64_t>& terms,
                     int64_t commit = 0) {
  AppendRequest request{RaftIndex(prev), RaftTerm(prev_term), {}, RaftIndex(commit)};
  for (int64_t term : terms) {
    request.entries.push_back({RaftIndex(++prev), RaftTerm(term), Text("y")});
  }
  return request;
}

// Everything it says, its writes done at once.
std::vector<Message> Said(RaftCore& core) {
  std::vector<Message> messages;
  for (;;) {
    Output output = core.Take();
    if (output.empty()) return messages;
    for (Message& message : output.messages) messages.push_back(std::move(message));
    if (output.write.has_value()) core.Persisted(output.write->id);
  }
}

std::string Answer(RaftCore& core, Message message) {
  Said(core);
  core.Step(std::move(message));
  const std::vector<Message> said = Said(core);
  return said.empty() ? "" : Describe(said.back());
}

std::string Terms(const RaftCore& core) {
  std::string terms;
  for (const LogEntry& entry : core.log().Entries(RaftIndex(1), 1 << 20)) {
    terms += fmt::format("{} ", entry.term);
  }
  return terms;
}

// Makes it the leader of the next term, with 2's vote.
void Elect(RaftCore& core) {
  for (int i = 0; i < 10; ++i) core.Tick(0);
  const int64_t term = core.term().value();
  core.Step(From(kTwo, term, VoteReply{true, true, RaftTerm(term + 1)}));
  Said(core);
  core.Step(From(kTwo, term + 1, VoteReply{false, true, RaftTerm(term + 1)}));
  REQUIRE(core.role() == Role::kLeader);
}

}  // namespace

TEST_CASE("Figure 2, RequestVote 1: reply false if term < currentTerm") {
  RaftCore core = One(5, {1});
  CHECK(Answer(core, From(kTwo, 4, VoteRequest{false, false, RaftIndex(9), RaftTerm(4)})) ==
        "1>2 t5 vote no t4");
}

TEST_CASE(
    "Figure 2, RequestVote 2: a vote if votedFor is null or the candidate, and its log is "
    "at least as up-to-date") {
  const VoteRequest good{false, false, RaftIndex(1), RaftTerm(1)};
  RaftCore core = One(5, {1});
  CHECK(Answer(core, From(kTwo, 5, good)) == "1>2 t5 vote yes t5");
  CHECK(Answer(core, From(kThree, 5, good)) == "1>3 t5 vote no t5");
  CHECK(Answer(core, From(kTwo, 5, good)) == "1>2 t5 vote yes t5");
  RaftCore again = One(5, {1}, kTwo);  // As it was restarted.
  CHECK(Answer(again, From(kThree, 5, good)) == "1>3 t5 vote no t5");
}

TEST_CASE("KIP-853: the vote a candidate got before it was wiped is not its successor's") {
  RaftCore core = One(5, {1}, kTwo);
  const ReplicaKey wiped{kTwo.id, DirectoryId(2, 2)};
  CHECK(Answer(core, From(wiped, 5, VoteRequest{false, false, RaftIndex(1), RaftTerm(1)})) ==
        "1>2 t5 vote no t5");
}

TEST_CASE("§5.4.1: the log with the later last term is more up-to-date, then the longer one") {
  const auto vote = [](int64_t index, int64_t term) {
    RaftCore core = One(5, {1, 3, 3});
    return Answer(core, From(kTwo, 6, VoteRequest{false, false, RaftIndex(index), RaftTerm(term)}));
  };
  CHECK(vote(3, 3) == "1>2 t6 vote yes t6");
  CHECK(vote(4, 3) == "1>2 t6 vote yes t6");
  CHECK(vote(1, 4) == "1>2 t6 vote yes t6");
  CHECK(vote(2, 3) == "1>2 t6 vote no t6");
  CHECK(vote(99, 2) == "1>2 t6 vote no t6");
}

TEST_CASE("Figure 2: term and vote are on stable storage before responding") {
  RaftCore core = One(5, {1});
  Said(core);
  core.Step(From(kTwo, 6, VoteRequest{false, false, RaftIndex(1), RaftTerm(1)}));
  Output output = core.Take();
  REQUIRE(output.write.has_value());
  CHECK(output.write->hard_state.term == RaftTerm(6));
  CHECK(output.write->hard_state.vote == kTwo);
  CHECK(output.messages.empty());
  CHECK(core.Take().messages.empty());
  core.Persisted(output.write->id);
  CHECK(core.Take().messages.size() == 1);
}

TEST_CASE("Figure 2, AppendEntries 1: reply false if term < currentTerm") {
  RaftCore core = One(5, {1});
  CHECK(Answer(core, From(kTwo, 4, Append(1, 1, {4}))) == "1>2 t5 rejected 1, meet 0/0");
  CHECK(Terms(core) == "1 ");
}

TEST_CASE(
    "Figure 2, AppendEntries 2: reply false if the log has no entry at prevLogIndex of "
    "prevLogTerm") {
  RaftCore core = One(5, {1, 3, 3});
  CHECK(Answer(core, From(kTwo, 5, Append(7, 5, {5}))) == "1>2 t5 rejected 7, meet 3/3");
  CHECK(Answer(core, From(kTwo, 5, Append(3, 2, {5}))) == "1>2 t5 rejected 3, meet 1/1");
  CHECK(Terms(core) == "1 3 3 ");
}

TEST_CASE("Figure 2, AppendEntries 3: an entry that conflicts is deleted, and all that follow") {
  RaftCore core = One(5, {1, 3, 3});
  CHECK(Answer(core, From(kTwo, 5, Append(1, 1, {5}))) == "1>2 t5 accepted 2");
  CHECK(Terms(core) == "1 5 ");
}

TEST_CASE("Figure 2, AppendEntries 4: only entries not already in the log are appended") {
  RaftCore core = One(5, {1, 3, 3});
  CHECK(Answer(core, From(kTwo, 5, Append(0, 0, {1, 3}))) == "1>2 t5 accepted 2");
  CHECK(Terms(core) == "1 3 3 ");  // A late, shorter append cuts nothing that agrees.
}

TEST_CASE("Figure 2, AppendEntries 5: commitIndex = min(leaderCommit, index of last new entry)") {
  RaftCore core = One(5, {1, 3, 3});
  Answer(core, From(kTwo, 5, Append(0, 0, {1}, 3)));
  CHECK(core.log().commit() == RaftIndex(1));
  Answer(core, From(kTwo, 5, Append(1, 1, {3, 3}, 2)));
  CHECK(core.log().commit() == RaftIndex(2));
}

TEST_CASE("Figure 2: an append is accepted once it is on disk, not before") {
  RaftCore core = One(5, {});
  Said(core);
  core.Step(From(kTwo, 5, Append(0, 0, {5}, 1)));
  Output output = core.Take();
  REQUIRE(output.write.has_value());
  CHECK(output.messages.empty());
  CHECK(output.committed.empty());  // Nor is it applied from here.
  core.Persisted(output.write->id);
  output = core.Take();
  CHECK(output.messages.size() == 1);
  CHECK(output.committed.size() == 1);
}

TEST_CASE("Figure 2, all servers: a higher term makes a follower of anyone") {
  RaftCore core = One(5, {1});
  Elect(core);
  Answer(core, From(kThree, 9, Append(1, 1, {})));
  CHECK(core.role() == Role::kFollower);
  CHECK(core.term() == RaftTerm(9));
  CHECK(core.leader() == kThree.id);
}

TEST_CASE("§5.4.2: only entries of the leader's current term are committed by counting replicas") {
  RaftCore core = One(5, {1, 3});
  Elect(core);  // Its own entry is 3, of term 6.
  Said(core);
  Answer(core, From(kTwo, 6, AppendAccepted{RaftIndex(2)}));
  CHECK(core.log().commit() == RaftIndex(0));
  Answer(core, From(kTwo, 6, AppendAccepted{RaftIndex(3)}));
  CHECK(core.log().commit() == RaftIndex(3));
}

TEST_CASE("§6: one change of voters at a time, and none before an entry of the term is committed") {
  RaftCore core = One(5, {1});
  Elect(core);
  Said(core);
  CHECK(core.RemoveVoter(kThree).error() == Refusal::kChangeInProgress);
  Answer(core, From(kTwo, 6, AppendAccepted{core.log().last_index()}));
  REQUIRE(core.RemoveVoter(kThree).has_value());
  CHECK(core.voters().size() == 2);  // In force when it is appended.
  CHECK(core.RemoveVoter(kTwo).error() == Refusal::kChangeInProgress);
  CHECK(core.AddVoter(kThree, {}).error() == Refusal::kChangeInProgress);
}

TEST_CASE("§7: a snapshot of what is in the log keeps the entries behind it, another replaces it") {
  const auto install = [](int64_t index, int64_t term) {
    RaftCore core = One(5, {1, 3, 3});
    const Snapshot snapshot{{RaftIndex(index), RaftTerm(term), Three()}, nullptr};
    const std::string answer = Answer(core, From(kTwo, 5, InstallSnapshot{snapshot}));
    return fmt::format("{}; last {}", answer, core.log().last_index());
  };
  CHECK(install(2, 3) == "1>2 t5 accepted 2; last 3");
  CHECK(install(2, 2) == "1>2 t5 accepted 2; last 2");
  CHECK(install(9, 5) == "1>2 t5 accepted 9; last 9");
}

TEST_CASE("§7: the configuration is part of the snapshot") {
  RaftCore core = One(5, {1});
  const VoterSet two = Three().Without(kThree.id);
  Answer(core, From(kTwo, 5, InstallSnapshot{{{RaftIndex(9), RaftTerm(5), two}, nullptr}}));
  CHECK(core.voters() == two);
}

TEST_CASE("Thesis §9.6: a pre-vote raises no term, and is refused while a leader is heard") {
  RaftCore core = One(5, {1});
  Answer(core, From(kTwo, 5, Append(1, 1, {})));
  const VoteRequest pre{true, false, RaftIndex(9), RaftTerm(5)};
  CHECK(Answer(core, From(kThree, 8, pre)) == "1>3 t5 pre-vote no t9");
  CHECK(core.term() == RaftTerm(5));
  core.PeerLost(kTwo.id);  // The leader's connection broke.
  CHECK(Answer(core, From(kThree, 8, pre)) == "1>3 t5 pre-vote yes t9");
  CHECK(core.term() == RaftTerm(5));
}

TEST_CASE(
    "§5.2: candidates that split the vote ask again soon, beforehand, and not after an election "
    "time") {
  RaftCore core = One(5, {1});
  Answer(core, From(kTwo, 5, Append(1, 1, {})));
  core.PeerLost(kTwo.id);
  for (int i = 0; i < 3 && core.role() == Role::kFollower; ++i) core.Tick(2);
  REQUIRE(core.role() == Role::kPreCandidate);
  core.Step(From(kThree, 5, VoteReply{true, true, RaftTerm(6)}));
  REQUIRE(core.role() == Role::kCandidate);
  Said(core);
  core.Step(From(kThree, 6, VoteReply{false, false, RaftTerm(6)}));  // It asks for itself.
  for (int i = 0; i < 5 && core.role() == Role::kCandidate; ++i) core.Tick(4);
  CHECK(core.role() == Role::kPreCandidate);
  CHECK(core.term() == RaftTerm(6));
}

TEST_CASE(
    "Thesis §4.2.3: an election is disregarded while a leader is heard, unless it asked for it") {
  RaftCore core = One(5, {1});
  Answer(core, From(kTwo, 5, Append(1, 1, {})));
  CHECK(
      Answer(core, From(kThree, 6, VoteRequest{false, false, RaftIndex(9), RaftTerm(5)})).empty());
  CHECK(core.term() == RaftTerm(5));
  CHECK(Answer(core, From(kThree, 6, VoteRequest{false, true, RaftIndex(9), RaftTerm(5)})) ==
        "1>3 t6 vote yes t6");
}

TEST_CASE("Thesis §6.2: a leader that no majority answers for an election time steps down") {
  RaftCore core = One(5, {1});
  Elect(core);
  for (int i = 0; i < 20; ++i) core.Tick(0);
  CHECK(core.role() != Role::kLeader);
}

TEST_CASE("KIP-853: two incarnations of a voter are not two votes, and an unknown one is none") {
  RaftCore core = One(5, {1});
  for (int i = 0; i < 10; ++i) core.Tick(0);
  const ReplicaKey wiped{kTwo.id, DirectoryId(2, 2)};
  core.Step(From(wiped, 5, VoteReply{true, true, RaftTerm(6)}));
  CHECK(core.role() == Role::kPreCandidate);
  core.Step(From(kTwo, 5, VoteReply{true, true, RaftTerm(6)}));
  CHECK(core.role() == Role::kCandidate);
}

TEST_CASE("A message for the incarnation before a wipe is not answered for it") {
  RaftCore core = One(5, {1});
  Message message = From(kTwo, 5, VoteRequest{false, false, RaftIndex(9), RaftTerm(5)});
  message.to_directory = DirectoryId(9, 9);
  CHECK(Answer(core, message) == "1>2 t5 observe");
}

TEST_CASE(
    "A static quorum whose directories are unknown elects with all votes, not with a majority") {
  CHECK(VoterSet({{BrokerId(1), {}}, {BrokerId(2), {}}, {BrokerId(3), {}}}).votes_to_win() == 3);
  CHECK(Three().votes_to_win() == 2);
}

TEST_CASE("A quorum of one leads without a tick, and commits with a write") {
  RaftStart start;
  start.static_voters = VoterSet({{kSelf.id, {}}});
  RaftCore core(kSelf, {}, std::move(start));
  Output output = core.Take();
  CHECK(!output.role.has_value());  // Not before its term is on disk.
  REQUIRE(output.write.has_value());
  core.Persisted(output.write->id);
  output = core.Take();
  CHECK(output.role == RoleChange{Role::kLeader, RaftTerm(1), kSelf.id});
  CHECK(output.committed.size() == 2);  // That it leads, and its directory id.
  REQUIRE(core.Propose(Text("x")).has_value());
  output = core.Take();
  CHECK(output.committed.empty());
  core.Persisted(output.write->id);
  CHECK(core.Take().committed.size() == 1);
}

TEST_CASE("Nonsense from a peer is ignored, not believed and not fatal") {
  RaftCore core = One(5, {1, 3, 3});
  Answer(core, From(kTwo, 5, Append(3, 3, {}, 3)));
  REQUIRE(core.log().commit() == RaftIndex(3));
  // Other entries where ours are committed; a gap; a term above its sender's; an answer for more
  // than there is.
  CHECK(Answer(core, From(kTwo, 5, Append(1, 1, {4, 4, 4}))).empty());
  AppendRequest gap = Append(3, 3, {5});
  gap.entries[0].index = RaftIndex(7);
  CHECK(Answer(core, From(kTwo, 5, gap)).empty());
  CHECK(Answer(core, From(kTwo, 5, Append(3, 3, {6}))).empty());
  CHECK(Terms(core) == "1 3 3 ");
  CHECK(core.ignored() == 3);
  RaftCore leader = One(5, {1});
  Elect(leader);
  Answer(leader, From(kTwo, 6, AppendAccepted{RaftIndex(99)}));
  CHECK(leader.log().commit() == RaftIndex(0));
  CHECK(leader.ignored() == 1);
}

TEST_CASE("A store with a gap, a falling term or a lost end is not started from") {
  RaftStart start;
  start.hard_state.term = RaftTerm(3);
  start.entries = {{RaftIndex(1), RaftTerm(2), Text("x")}, {RaftIndex(2), RaftTerm(3), Text("x")}};
  CHECK(!WhatIsWrong(start).has_value());
  RaftStart gap = start;
  gap.entries.erase(gap.entries.begin());
  CHECK(WhatIsWrong(gap) == "the log has no entry 1");
  RaftStart falling = start;
  falling.entries[0].term = RaftTerm(4);
  CHECK(WhatIsWrong(falling) == "entry 2 is of term 3, the one before of 4");
  RaftStart ended = start;
  ended.hard_state.commit = RaftIndex(3);
  CHECK(WhatIsWrong(ended) == "the log ends at 2, but 3 was committed");
  RaftStart forgetful = start;
  forgetful.hard_state.term = RaftTerm(2);
  CHECK(WhatIsWrong(forgetful) == "an entry is of term 3, but only 2 was reached");
}

}  // namespace millrace::raft

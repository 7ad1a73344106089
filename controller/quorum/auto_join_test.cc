#include "controller/quorum/auto_join.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace millrace;  // NOLINT

namespace {

const DirectoryId kBefore(4, 1);
const DirectoryId kNow(4, 2);

// Controller 4 beside voters 1 and 2, second by second.
struct Story {
  Story() { With(1, DirectoryId(1, 1)).With(2, DirectoryId(2, 1)); }
  Story& With(int32_t id, DirectoryId directory) {
    voters = voters.With(BrokerId(id), {directory, {}});
    return *this;
  }
  Story& Without(int32_t id) {
    voters = voters.Without(BrokerId(id));
    return *this;
  }
  // What comes of it: "who was asked what: the line".
  std::string Show(const AutoJoin::Output& output) {
    std::string text;
    if (output.ask.has_value()) {
      last = output.ask;
      text = fmt::format("{} {}", output.ask->leader,
                         output.ask->former.has_value() ? "remove" : "add");
    }
    return output.line.empty() ? text : text + (text.empty() ? "" : ": ") + output.line;
  }
  std::string Next() { return Show(join.Next({voters, leader}, now, random)); }
  // Until something happens, in steps of a tick; how long that took is in `waited`.
  std::string Wait(Duration limit = seconds(60)) {
    const Instant began = now;
    std::string said;
    while (said.empty() && now - began < limit) {
      now = now + milliseconds(40);
      said = Next();
    }
    waited = now - began;
    return said;
  }
  std::string Answer(std::string_view refusal) {
    return Show(join.Answered(*last, refusal, now, random));
  }

  raft::VoterSet voters;
  std::optional<BrokerId> leader = BrokerId(1);
  AutoJoin join{{BrokerId(4), kNow}, {}};
  std::optional<AutoJoin::Ask> last;
  Instant now{0};
  Duration waited{0};
  uint64_t random = 0;  // No jitter.
};

}  // namespace

TEST_CASE("AutoJoin: asks once it follows a leader, and is content when it votes") {
  Story story;
  story.leader = std::nullopt;
  CHECK(story.Wait().empty());
  story.leader = BrokerId(1);
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
  CHECK(story.Wait(seconds(5)).empty());
  CHECK(story.Answer("").empty());
  story.With(4, kNow);
  CHECK(story.Next() == "votes");
  CHECK(story.Wait().empty());
}

TEST_CASE("AutoJoin: a voter never asks, and who knows no voters neither") {
  Story voter;
  voter.With(4, kNow);
  CHECK(voter.Wait().empty());
  Story lost;
  lost.voters = raft::VoterSet();
  CHECK(lost.Wait().empty());
  Story alone;
  alone.leader = BrokerId(4);
  CHECK(alone.Wait().empty());
}

TEST_CASE("AutoJoin: whose disk was lost has its former self removed first") {
  Story story;
  story.With(4, kBefore);
  CHECK(story.Wait() ==
        fmt::format("1 remove: asks controller 1 to remove its former self {} from the voters",
                    kBefore));
  CHECK(story.last->former == kBefore);
  CHECK(story.Wait(seconds(5)).empty());
  CHECK(story.Answer("").empty());
  story.Without(4);
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
  CHECK(story.waited <= milliseconds(40));
  story.With(4, kNow);
  CHECK(story.Next() == "votes");
}

TEST_CASE("AutoJoin: who is refused asks again, later each time, and says so once") {
  Story story;
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
  CHECK(story.Answer("not caught up") == "is no voter yet (not caught up), and goes on asking");
  std::vector<Duration> pauses;
  for (int i = 0; i < 8; ++i) {
    CHECK(story.Wait() == "1 add");
    pauses.push_back(story.waited);
    CHECK(story.Answer("not caught up").empty());
    // An answer that comes twice changes nothing.
    CHECK(story.Answer("not caught up").empty());
  }
  for (size_t i = 1; i < pauses.size(); ++i) CHECK(pauses[i] >= pauses[i - 1]);
  CHECK(pauses.front() <= milliseconds(540));
  CHECK(pauses.back() >= milliseconds(10'000));
  CHECK(pauses.back() <= milliseconds(10'040));
  CHECK(story.Wait() == "1 add");
  CHECK(story.Answer("busy") == "is no voter yet (busy), and goes on asking");
  // With the greatest jitter it is half of that.
  story.random = 5'000'000'000;
  CHECK(story.Wait() == "1 add");
  story.Answer("busy");
  CHECK(story.Wait() == "1 add");
  CHECK(story.waited <= milliseconds(5040));
}

TEST_CASE("AutoJoin: an answer that does not come is a refusal, another leader a new beginning") {
  Story story;
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
  CHECK(story.Wait() == "is no voter yet (no answer), and goes on asking");
  CHECK(story.waited >= seconds(10));
  CHECK(story.Wait() == "1 add");
  story.leader = BrokerId(2);
  CHECK(story.Wait() == "2 add: asks controller 2 to make it a voter");
  CHECK(story.waited <= milliseconds(560));
  // What the former leader still says is of no interest.
  const AutoJoin::Ask former{BrokerId(1), std::nullopt};
  CHECK(story.join.Answered(former, "no", story.now, 0).line.empty());
  CHECK(story.Answer("no") == "is no voter yet (no), and goes on asking");
}

TEST_CASE("AutoJoin: a change that is undone before it was seen is asked for again") {
  Story story;
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
  CHECK(story.Answer("").empty());
  CHECK(story.Wait() ==
        "is no voter yet (the change was undone, or has not arrived), and goes on asking");
  CHECK(story.waited <= milliseconds(540));
  CHECK(story.Wait() == "1 add");
  // The next one has all its time.
  CHECK(story.Wait() == "is no voter yet (no answer), and goes on asking");
  CHECK(story.waited >= seconds(10));
}

TEST_CASE("AutoJoin: who is removed by an operator adds itself again") {
  Story story;
  story.With(4, kNow);
  CHECK(story.Next().empty());
  story.Without(4);
  CHECK(story.Next() == "is no voter any more, and will ask to be one (auto join)");
  CHECK(story.Wait() == "1 add: asks controller 1 to make it a voter");
}

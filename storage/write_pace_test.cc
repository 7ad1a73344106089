// Stories of a disk's writes, a slot to a letter, slow from 500 ms on:
//   g   writes of a millisecond
//   s   one of 600 ms, and some of a millisecond
//   h   one that began at the first h and is still under way
//   .   none
// and below it what the directory was taken for at the end of each slot: - steady, # slow.
#include "storage/write_pace.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>

namespace millrace {
namespace {

class Played {
 public:
  explicit Played(Duration slow) : pace(slow) {}

  void Write(Duration takes) {
    const Instant begun = now_;
    pace.Begun(begun);
    now_ = now_ + takes;
    pace.Ended(begun, now_);
  }

  std::string Play(const std::string& writes) {
    std::string seen;
    for (const char slot : writes) {
      if (slot != 'h' && hangs_.has_value()) {
        pace.Ended(*hangs_, now_);
        hangs_.reset();
      }
      const Instant end = now_ + seconds(1);
      if (slot == 'h' && !hangs_.has_value()) {
        pace.Begun(now_);
        hangs_ = now_;
      }
      if (slot == 's') Write(milliseconds(600));
      for (int i = 0; i < 5 && (slot == 'g' || slot == 's'); ++i) Write(milliseconds(1));
      now_ = end;
      pace.Advance(now_);
      seen += pace.slow() ? '#' : '-';
    }
    return seen;
  }

  // So many slots until it is steady again.
  int UntilSteady(char slot) {
    int slots = 0;
    while (pace.slow() && slots < 10'000) {
      Play(std::string(1, slot));
      ++slots;
    }
    return slots;
  }

  WritePace pace;

 private:
  Instant now_{seconds(1000).count()};
  std::optional<Instant> hangs_;
};

void CheckStory(const std::string& writes, const std::string& seen) {
  CHECK(Played(milliseconds(500)).Play(writes) == seen);
}

}  // namespace

TEST_CASE("WritePace: a disk is slow when eight of the last ten seconds with writes were") {
  CheckStory("ggggssssssssss",  //
             "-----------###");
  CheckStory("ssgssgssssssgg",  //
             "---------#####");
  // Half of them are not enough, for however long.
  CheckStory("sgsgsgsgsgsgsgsgsgsgsgsgsgsg",  //
             "----------------------------");
}

TEST_CASE("WritePace: one outlier is nothing, and a write that does not end is seen by its age") {
  CheckStory("gggghhhhhhhgggg",  //
             "---------------");
  CheckStory("gggghhhhhhhhhhhhg",  //
             "-----------######");
  CheckStory("hhhhhhhhhh",  //
             "-------###");
}

TEST_CASE("WritePace: few writes are judged as many are, unless long ago") {
  CheckStory("s.s.s.s.s.s.s.s.",  //
             "--------------##");
  const std::string pause(60, '.');
  Played disk(milliseconds(500));
  CHECK(disk.Play("sssssss") == "-------");
  disk.Play(pause);
  CHECK(disk.Play("sssssss") == "-------");
}

TEST_CASE("WritePace: it is steady after half a minute of good writes, or a minute without any") {
  Played disk(milliseconds(500));
  disk.Play("ssssssss");
  REQUIRE(disk.pace.slow());
  CHECK(disk.UntilSteady('g') == 30);
  disk.Play(std::string(700, 'g'));
  disk.Play("ssssssss");
  REQUIRE(disk.pace.slow());
  CHECK(disk.UntilSteady('.') == 60);
}

TEST_CASE("WritePace: a hiccup makes it rest ten seconds longer, and many keep it slow") {
  Played disk(milliseconds(500));
  disk.Play("ssssssss");
  disk.Play("ggggggggggggs");
  CHECK(disk.UntilSteady('g') == 28);
  disk.Play("ssssssss");
  REQUIRE(disk.pace.slow());
  for (int i = 0; i < 300; ++i) disk.Play("ggggs");
  CHECK(disk.pace.slow());
}

TEST_CASE("WritePace: who is soon slow again rests twice as long each time, up to eight minutes") {
  Played disk(milliseconds(500));
  std::vector<int> rests;
  for (int i = 0; i < 7; ++i) {
    disk.Play("ssssssss");
    REQUIRE(disk.pace.slow());
    rests.push_back(disk.UntilSteady('g'));
  }
  CHECK(rests == std::vector{30, 60, 120, 240, 480, 480, 480});
  // Ten good minutes, and it is a new story.
  disk.Play(std::string(600, 'g'));
  disk.Play("ssssssss");
  CHECK(disk.UntilSteady('g') == 30);
}

TEST_CASE("WritePace: a long silence is taken at once, and is no different from one with ticks") {
  Played ticked(milliseconds(500));
  ticked.Play("ssssssss" + std::string(5000, '.') + "ssssssss");
  CHECK(ticked.pace.slow());
  WritePace lazy(milliseconds(500));
  Instant now{0};
  const auto slow_writes = [&] {
    for (int i = 0; i < 9; ++i) {
      lazy.Begun(now);
      lazy.Ended(now, now + milliseconds(1000));
      now = now + milliseconds(1000);
    }
    lazy.Advance(now);
  };
  slow_writes();
  CHECK(lazy.slow());
  CHECK(lazy.restless());
  now = now + seconds(1'000'000);
  lazy.Advance(now);
  CHECK_FALSE(lazy.slow());
  CHECK_FALSE(lazy.restless());
  slow_writes();
  CHECK(lazy.slow());
  CHECK(lazy.worst() == milliseconds(1000));
}

TEST_CASE(
    "WritePace: where the bound is tiny, the writes that reach it must take most of the time") {
  Played disk(milliseconds(1));
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 100; ++k) disk.Write(microseconds(500));
    for (int k = 0; k < 20; ++k) disk.Write(microseconds(1200));
    disk.Play(".");
  }
  CHECK_FALSE(disk.pace.slow());
}

TEST_CASE("WritePace: a process that stood still while a write was under way blames no disk") {
  WritePace pace(milliseconds(500));
  Instant now{0};
  for (int i = 0; i < 20; ++i) {
    pace.Begun(now);
    pace.Ended(now, now + seconds(60));
    now = now + seconds(120);
    pace.Advance(now);
    pace.Begun(now);
    pace.Ended(now, now + milliseconds(1));
    now = now + seconds(2);
    pace.Advance(now);
    CHECK_FALSE(pace.slow());
  }
}

TEST_CASE("WritePace: where the bound is longer than a slot, slots are as long") {
  WritePace pace(seconds(5));
  CHECK(pace.slot() == seconds(5));
  Instant now{0};
  for (int i = 0; i < 8; ++i) {
    CHECK_FALSE(pace.slow());
    pace.Begun(now);
    pace.Ended(now, now + seconds(5));
    now = now + seconds(5);
  }
  pace.Advance(now + seconds(5));
  CHECK(pace.slow());
}

TEST_CASE("WritePace: it can be switched off") {
  Played disk(Duration(0));
  disk.Play("sssssssssssshhhhhhhhhhhh");
  CHECK_FALSE(disk.pace.slow());
  CHECK_FALSE(disk.pace.restless());
}

}  // namespace millrace

#include "storage/journal_survey.h"

#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "storage/journal/journal_test_tools.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

const IncarnationId kFirst(1, 1);
const IncarnationId kSecond(1, 2);

JournalEntry Appended(const IncarnationId& incarnation, int64_t base) {
  BatchView batch = TestBatch({"a", "b"});
  batch.SetBaseOffset(Offset(base));
  return JournalAppend{TestPartition(1), incarnation, Offset(base), LeaderEpoch(0), batch.bytes()};
}

// What is said after all of these.
JournalSurvey After(const std::vector<JournalEntry>& entries) {
  JournalFixture f(1);
  REQUIRE(f.Open().ok());
  JournalPosition last(0);
  for (const JournalEntry& entry : entries) last = f.Enqueue(entry);
  REQUIRE(f.Wait(last).ok());
  f.Reboot(/*power_lost=*/true);
  JournalSurvey survey;
  REQUIRE(f.Recover(survey).ok());
  return survey;
}

}  // namespace

TEST_CASE("JournalSurvey: the bases of what was appended, also where a cut has gone back") {
  const JournalSurvey survey = After({Appended(kFirst, 20), Appended(kFirst, 22),
                                      JournalTruncate{TestPartition(1), kFirst, Offset(10)},
                                      Appended(kFirst, 10), Appended(kFirst, 12)});
  const JournalSurvey::Said said = survey.Of(TestPartition(1), kFirst);
  REQUIRE(said.appended.has_value());
  CHECK(said.appended->first == Offset(10));
  CHECK(said.appended->last == Offset(22));
  CHECK(said.cuts.count == 1);
  CHECK(said.cuts.kept_end == Offset(10));
  CHECK_FALSE(survey.Of(TestPartition(1), kSecond).appended.has_value());
  CHECK_FALSE(survey.LastOf(TestPartition(2)).has_value());
}

TEST_CASE("JournalSurvey: an incarnation that ended is not the last one") {
  const JournalEntry end = JournalDelete{TestPartition(1), kFirst};
  CHECK(After({Appended(kFirst, 0)}).LastOf(TestPartition(1)) == kFirst);
  CHECK(After({Appended(kFirst, 0), end}).LastOf(TestPartition(1)) == std::nullopt);
  CHECK(After({Appended(kFirst, 0), end, Appended(kSecond, 0)}).LastOf(TestPartition(1)) ==
        kSecond);
  // Another one's end.
  CHECK(After({Appended(kSecond, 0), end}).LastOf(TestPartition(1)) == kSecond);
}

}  // namespace millrace

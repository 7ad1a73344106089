#include "storage/cold_reads.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

using Story = std::vector<std::string>;

// Readers by name, each of which reads until it is told to stop.
class Readers {
 public:
  Readers(Env& env, ColdReads& reads) : env_(env), reads_(reads), scope_(env.reactor) {}

  void Come(const std::string& names) {
    for (char name : names) scope_.Spawn(TakeTurn(name));
  }
  void Stop(char name) {
    std::erase_if(reading_, [name](const auto& r) { return r.name == name; });
  }
  // Who reads, in the order in which they began.
  Task<std::string> Reading() {
    co_await Sleep(env_.reactor, milliseconds(1));
    std::string names;
    for (const Reader& reader : reading_) names += reader.name;
    co_return names;
  }
  Task<void> End() {
    while (reads_.waiting() > 0 || !reading_.empty()) {
      reading_.clear();
      co_await Sleep(env_.reactor, milliseconds(1));
    }
    co_await scope_.Join();
  }

 private:
  struct Reader {
    char name;
    ColdReads::Turn turn;
  };
  Task<void> TakeTurn(char name) {
    ColdReads::Turn turn = co_await reads_.Take();
    reading_.push_back({name, std::move(turn)});
  }

  Env& env_;
  ColdReads& reads_;
  std::vector<Reader> reading_;
  TaskScope scope_;
};

Task<void> BesideNobody(Env* env, Story* story) {
  ColdReads reads(env->reactor);
  Readers readers(*env, reads);
  readers.Come("abcdefgh");
  story->push_back(co_await readers.Reading());
  co_await readers.End();
}

TEST_CASE("ColdReads: while nobody produces everyone reads at once") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(BesideNobody(&world.env(), &story));
  CHECK(story == Story{"abcdefgh"});
}

Task<void> InTurns(Env* env, Story* story) {
  ColdReads reads(env->reactor);
  Readers readers(*env, reads);
  reads.OnJournalWrite(/*begun=*/true);
  readers.Come("abcd");
  story->push_back(co_await readers.Reading());
  readers.Stop('a');
  story->push_back(co_await readers.Reading());
  reads.OnJournalWrite(/*begun=*/false);
  readers.Stop('b');
  story->push_back(co_await readers.Reading());
  co_await readers.End();
}

TEST_CASE("ColdReads: while the journal writes they take turns, first come first served") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(InTurns(&world.env(), &story));
  CHECK(story == Story{"a", "b", "c"});
}

Task<void> Afterwards(Env* env, Story* story) {
  ColdReads reads(env->reactor);
  Readers readers(*env, reads);
  reads.OnJournalWrite(/*begun=*/true);
  readers.Come("abcd");
  co_await Sleep(env->reactor, 3 * kJournalQuiet);
  // One write that takes long holds them back for as long.
  story->push_back(co_await readers.Reading());
  reads.OnJournalWrite(/*begun=*/false);
  co_await Sleep(env->reactor, kJournalQuiet / 2);
  // A producer is about to come again.
  story->push_back(co_await readers.Reading());
  // Nobody's read ends: who waits finds out by himself that the journal has become quiet.
  co_await Sleep(env->reactor, 2 * kJournalQuiet);
  story->push_back(co_await readers.Reading());
  co_await readers.End();
}

TEST_CASE("ColdReads: when the journal has been quiet for a while who waited goes on") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(Afterwards(&world.env(), &story));
  CHECK(story == Story{"a", "a", "abcd"});
}

Task<void> TooMany(Env* env, Story* story) {
  ColdReads reads(env->reactor);
  Readers readers(*env, reads);
  readers.Come("abcdef");
  story->push_back(co_await readers.Reading());
  reads.OnJournalWrite(/*begun=*/true);
  readers.Come("g");
  for (char done : std::string("abcde")) readers.Stop(done);
  story->push_back(co_await readers.Reading());
  readers.Stop('f');
  story->push_back(co_await readers.Reading());
  co_await readers.End();
}

TEST_CASE("ColdReads: a journal that begins to write waits for those that were under way") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(TooMany(&world.env(), &story));
  CHECK(story == Story{"abcdef", "f", "g"});
}

}  // namespace
}  // namespace millrace

#include "storage/directory_pace.h"

namespace millrace {

DirectoryPace::DirectoryPace(Reactor& reactor, Duration slow_from)
    : reactor_(reactor), pace_(slow_from), woken_(reactor), scope_(reactor) {}

void DirectoryPace::Start() { scope_.Spawn(Watch(), SchedClass::kHousekeeping); }

Task<void> DirectoryPace::Stop() { co_await scope_.Stop(); }

DirectoryPace::Write DirectoryPace::Begin() {
  const Instant now = reactor_.Now();
  pace_.Begun(now);
  Tell();
  if (!watching_ && pace_.restless()) woken_.Set();
  return {*this, now};
}

void DirectoryPace::End(Instant begun) {
  pace_.Ended(begun, reactor_.Now());
  Tell();
}

Task<void> DirectoryPace::Watch() {
  CancellationToken token = scope_.token();
  while (!token.cancelled()) {
    watching_ = pace_.restless();
    if (!watching_) {
      (void)co_await woken_.Wait(std::nullopt, token);
      woken_.Reset();
      watching_ = true;
    }
    co_await Sleep(reactor_, pace_.slot(), token);
    pace_.Advance(reactor_.Now());
    Tell();
  }
}

void DirectoryPace::Tell() {
  if (std::exchange(told_, pace_.slow()) == pace_.slow()) return;
  if (on_change_) on_change_(told_);
}

}  // namespace millrace

#include "storage/cold_reads.h"

#include "common/check.h"

namespace millrace {

ColdReads::~ColdReads() {
  MR_CHECK(under_way_ == 0);
  MR_CHECK(line_.empty());
}

void ColdReads::OnJournalWrite(bool begun) {
  journal_writes_ = begun;
  journal_wrote_ = reactor_.Now();
}

bool ColdReads::MayBegin() const {
  if (under_way_ == 0) return true;
  if (journal_writes_) return false;
  return !journal_wrote_.has_value() || reactor_.Now() - *journal_wrote_ >= kJournalQuiet;
}

Task<ColdReads::Turn> ColdReads::Take() {
  Event woken(reactor_);
  line_.push_back(&woken);
  while (line_.front() != &woken || !MayBegin()) {
    // The first one looks again by itself: nobody says that the journal has become quiet.
    std::optional<Instant> again;
    if (line_.front() == &woken) again = reactor_.Now() + kJournalQuiet;
    co_await woken.Wait(again);
    woken.Reset();
  }
  line_.pop_front();
  ++under_way_;
  WakeFirst();  // The next one may begin, too.
  co_return Turn(*this);
}

void ColdReads::WakeFirst() {
  if (!line_.empty()) line_.front()->Set();
}

void ColdReads::End() {
  MR_CHECK(under_way_ > 0);
  --under_way_;
  WakeFirst();
}

}  // namespace millrace

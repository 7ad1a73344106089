// CHECK: an assertion about our own code, on in every build (docs/architecture.md, Errors).
//
// Bytes from a client, a peer or a disk never reach a CHECK unvalidated: those get a Status. A
// failed CHECK prints the expression and its place and aborts, because going on could lose data.
#pragma once

namespace millrace {

// Prints "CHECK failed: <expression> (<file>:<line>)" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace millrace

// MR_CHECK, and not CHECK, because Catch2 owns that name in tests.
#define MR_CHECK(condition)                            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::millrace::CheckFailed(#condition, __FILE__, __LINE__))

// What Network::Connect() says when it was refused: the machine answered, and nobody listens at the
// port. Of all ways in which a connection does not come about this is the only one that proves
// something: the process that listened there is gone.
#pragma once

#include <absl/status/status.h>
#include <absl/strings/cord.h>

#include <string>

namespace millrace {

inline constexpr const char* kConnectionRefusedPayload = "millrace/refused";

// kUnavailable, like every other failed Connect().
inline absl::Status ConnectionRefusedError(std::string message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(kConnectionRefusedPayload, absl::Cord());
  return status;
}

inline bool WasRefused(const absl::Status& status) {
  return status.GetPayload(kConnectionRefusedPayload).has_value();
}

}  // namespace millrace

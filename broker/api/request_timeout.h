// TimeoutOf: how long a request allows itself to be done (timeout_ms), of those that the active
// controller answers.
//
// Shard: any.
#pragma once

#include <optional>

#include "broker/server/api_request.h"
#include "common/time.h"

namespace millrace {

// Nothing: the API has no such field, or the request does not decode. What is negative is nothing to
// wait for.
std::optional<milliseconds> TimeoutOf(const ApiRequest& request);

}  // namespace millrace

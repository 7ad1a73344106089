// RefuseWhole: the answer to a request for the controller of which nothing is done, whatever it asks:
// each thing it names gets the error (and the first ones the reason), or the answer as a whole where it has an error of its own.
//
// Shard: the connection's.
#pragma once

#include <string>

#include "broker/server/api_request.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

// An API whose answer has no place for an error, or a request that does not decode: the connection is
// closed, for `why`.
ApiReply RefuseWhole(const ApiRequest& request, kafka::KafkaError error, const std::string& why);

}  // namespace millrace

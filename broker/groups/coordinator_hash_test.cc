#include "broker/groups/coordinator_hash.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

TEST_CASE("CoordinatorPartitionOf: a group belongs to the partition that Kafka's clients expect") {
  // Rule 6.1.
  CHECK(CoordinatorPartitionOf("", 50) == PartitionId(0));
  CHECK(CoordinatorPartitionOf("my-group", 50) == PartitionId(12));
  CHECK(CoordinatorPartitionOf("test-group", 50) == PartitionId(12));
  CHECK(CoordinatorPartitionOf("console-consumer-1", 50) == PartitionId(24));
  CHECK(CoordinatorPartitionOf("txn-1", 50) == PartitionId(10));
  // The hash whose absolute value does not exist.
  CHECK(CoordinatorPartitionOf("polygenelubricants", 50) == PartitionId(0));
}

TEST_CASE("CoordinatorPartitionOf: text is hashed as UTF-16") {
  // "é".hashCode() == 233; "€" == 8364; "😀" is the pair d83d de00: 31 * 55357 + 56832 == 1772899.
  CHECK(CoordinatorPartitionOf("é", 50) == PartitionId(233 % 50));
  CHECK(CoordinatorPartitionOf("€", 50) == PartitionId(8364 % 50));
  CHECK(CoordinatorPartitionOf("😀", 50) == PartitionId(1772899 % 50));
}

}  // namespace
}  // namespace millrace

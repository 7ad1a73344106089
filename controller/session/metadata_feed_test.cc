#include "controller/session/metadata_feed.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

using namespace millrace;  // NOLINT

namespace {

struct World {
  SimWorld world{1};
  Env& env = world.AddNode("n").Boot();
};

std::vector<int64_t> IndexesOf(const std::optional<session::Entries>& entries) {
  REQUIRE(entries.has_value());
  std::vector<int64_t> indexes;
  for (const auto& item : entries->items) indexes.push_back(item.index.value());
  return indexes;
}

}  // namespace

TEST_CASE("MetadataFeed: a reader gets what came after its index, whatever indexes are skipped") {
  World w;
  MetadataFeed feed(w.env.reactor);
  feed.Add(RaftIndex(3), "before");
  MetadataFeed::Reader reader(feed);
  CHECK(IndexesOf(reader.After(RaftIndex(3))).empty());
  feed.Add(RaftIndex(5), "a");
  feed.Add(RaftIndex(9), "b");
  CHECK(IndexesOf(reader.After(RaftIndex(3))) == std::vector<int64_t>{5, 9});
  CHECK(IndexesOf(reader.After(RaftIndex(4))) == std::vector<int64_t>{5, 9});
  CHECK(IndexesOf(reader.After(RaftIndex(5))) == std::vector<int64_t>{9});
  CHECK(IndexesOf(reader.After(RaftIndex(9))).empty());
  // It was not there when 3 came: whoever lacks that one takes the image.
  CHECK_FALSE(reader.After(RaftIndex(2)).has_value());
}

TEST_CASE(
    "MetadataFeed: who is behind what is kept takes the image, and nobody makes it keep more") {
  World w;
  MetadataFeed feed(w.env.reactor, 400);
  {
    MetadataFeed::Reader reader(feed);
    for (int i = 1; i <= 10; ++i) feed.Add(RaftIndex(i), std::string(100, 'x'));
    CHECK_FALSE(reader.After(RaftIndex(6)).has_value());
    CHECK(IndexesOf(reader.After(RaftIndex(7))) == std::vector<int64_t>{8, 9, 10});
  }
  MetadataFeed::Reader later(feed);
  CHECK_FALSE(later.After(RaftIndex(9)).has_value());
  CHECK(IndexesOf(later.After(RaftIndex(10))).empty());
  feed.Add(RaftIndex(11), "y");
  CHECK(IndexesOf(later.After(RaftIndex(10))) == std::vector<int64_t>{11});
  feed.Reset(RaftIndex(20));
  CHECK_FALSE(later.After(RaftIndex(11)).has_value());
  CHECK(IndexesOf(later.After(RaftIndex(20))).empty());
}

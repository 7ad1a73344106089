// Properties that hold for every message at every version, checked with seeded contents.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "proto/kafka/testing/registry.h"
#include "proto/kafka/testing/seeded_filler.h"

using millrace::Chain;
using millrace::Slice;
using namespace millrace::kafka;

namespace {

constexpr uint64_t kSeeds = 5;

Slice Encode(const AnyMessage& message, int16_t version) {
  Writer out;
  message.Encode(out, version);
  absl::StatusOr<Chain> bytes = std::move(out).Finish();
  if (!bytes.ok()) FAIL(std::string(bytes.status().message()));
  return bytes->Flatten();
}

bool Decodes(const MessageInfo& info, int16_t version, Slice bytes) {
  std::unique_ptr<AnyMessage> message = info.make();
  Reader in(std::move(bytes));
  message->Decode(in, version);
  return in.Finish().ok();
}

std::unique_ptr<AnyMessage> Filled(const MessageInfo& info, int16_t version, uint64_t seed,
                                   bool with_tagged = true) {
  std::unique_ptr<AnyMessage> message = info.make();
  SeededFiller filler(seed, version, with_tagged);
  message->FillWith(filler);
  return message;
}

void ForEveryVersion(const std::function<void(const MessageInfo&, int16_t)>& check) {
  for (const MessageInfo& info : Messages()) {
    for (int16_t version = info.first_version; version <= info.last_version; ++version) {
      INFO(info.name << " v" << version);
      check(info, version);
    }
  }
}

}  // namespace

TEST_CASE("Messages: the registry has all of them, once") {
  CHECK(Messages().size() == 251);
  for (size_t i = 1; i < Messages().size(); ++i) {
    CHECK(std::string(Messages()[i - 1].name) < Messages()[i].name);
  }
}

TEST_CASE(
    "Messages: what is encoded decodes to an equal message, and that encodes to the same bytes") {
  ForEveryVersion([](const MessageInfo& info, int16_t version) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      INFO("seed " << seed);
      std::unique_ptr<AnyMessage> before = Filled(info, version, seed);
      Slice bytes = Encode(*before, version);
      std::unique_ptr<AnyMessage> after = info.make();
      Reader in(bytes);
      after->Decode(in, version);
      absl::Status status = in.Finish();
      if (!status.ok()) FAIL(std::string(status.message()));
      if (!after->Equals(*before)) FAIL("not equal");
      if (!(Encode(*after, version) == bytes)) FAIL("other bytes");
    }
  });
}

TEST_CASE("Messages: every strict prefix is refused, and so is a byte too many") {
  ForEveryVersion([](const MessageInfo& info, int16_t version) {
    Slice bytes = Encode(*Filled(info, version, 7), version);
    // All of a short message; of a long one its beginning and a sample.
    for (size_t length = 0; length < bytes.size(); length += length < 100 ? 1 : 41) {
      if (Decodes(info, version, bytes.Sub(0, length))) FAIL("a prefix of " << length << " bytes");
    }
    std::string longer = std::string(bytes.view()) + '\0';
    if (Decodes(info, version, Slice::Copy(longer))) FAIL("a byte too many");
  });
}

TEST_CASE("Messages: tagged fields nobody knows are passed over") {
  ForEveryVersion([](const MessageInfo& info, int16_t version) {
    if (version < info.first_flexible) return;
    std::unique_ptr<AnyMessage> message = Filled(info, version, 3, /*with_tagged=*/false);
    Slice bytes = Encode(*message, version);
    // The message's own section is the last byte: 0 fields.
    REQUIRE(bytes[bytes.size() - 1] == 0);
    std::string more(bytes.view().substr(0, bytes.size() - 1));
    more.append("\x02\xd0\x0f\x03xyz\xd1\x0f\x00", 10);  // Two fields: 2000 "xyz", 2001 "".
    std::unique_ptr<AnyMessage> after = info.make();
    Reader in(Slice::Copy(more));
    after->Decode(in, version);
    if (!in.Finish().ok()) FAIL("refused");
    if (!after->Equals(*message)) FAIL("not equal");
  });
}

TEST_CASE("Messages: a changed byte is refused or decodes to something that encodes again") {
  ForEveryVersion([](const MessageInfo& info, int16_t version) {
    std::string bytes(Encode(*Filled(info, version, 11), version).view());
    for (size_t i = 0; i < std::min<size_t>(bytes.size(), 200); ++i) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
      std::unique_ptr<AnyMessage> message = info.make();
      Reader in(Slice::Copy(changed));
      message->Decode(in, version);
      if (in.Finish().ok() && !Decodes(info, version, Encode(*message, version)))
        FAIL("byte " << i);
    }
  });
}

TEST_CASE("Messages: a version that does not exist is refused in both directions") {
  for (const MessageInfo& info : Messages()) {
    INFO(info.name);
    for (int version : {info.first_version - 1, info.last_version + 1}) {
      std::unique_ptr<AnyMessage> message = info.make();
      Reader in(Slice{});
      message->Decode(in, static_cast<int16_t>(version));
      CHECK_FALSE(in.Finish().ok());
      Writer out;
      message->Encode(out, static_cast<int16_t>(version));
      CHECK_FALSE(std::move(out).Finish().ok());
    }
  }
}

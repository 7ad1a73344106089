// Every message behind one interface, for tests that must miss none. Messages() is generated.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proto/kafka/reader.h"
#include "proto/kafka/testing/fill.h"
#include "proto/kafka/writer.h"

namespace millrace::kafka {

class AnyMessage {
 public:
  virtual ~AnyMessage() = default;
  virtual void Decode(Reader& in, int16_t version) = 0;
  virtual void Encode(Writer& out, int16_t version) const = 0;
  virtual void FillWith(Filler& filler) = 0;
  // REQUIRES: `other` is of the same type.
  virtual bool Equals(const AnyMessage& other) const = 0;
};

struct MessageInfo {
  const char* name;
  int16_t first_version;
  int16_t last_version;
  // What Kafka 4.4 serves; of messages that are not served, all versions.
  int16_t first_served;
  int16_t last_served;
  int16_t first_flexible;
  std::unique_ptr<AnyMessage> (*make)();
};

// In order of name.
const std::vector<MessageInfo>& Messages();

template <typename Message>
class AnyMessageOf : public AnyMessage {
 public:
  void Decode(Reader& in, int16_t version) override { message_.Decode(in, version); }
  void Encode(Writer& out, int16_t version) const override { message_.Encode(out, version); }
  void FillWith(Filler& filler) override { Fill(filler, message_); }
  bool Equals(const AnyMessage& other) const override {
    return message_ == static_cast<const AnyMessageOf&>(other).message_;
  }

 private:
  Message message_;
};

template <typename Message>
std::unique_ptr<AnyMessage> MakeAny() {
  return std::make_unique<AnyMessageOf<Message>>();
}

}  // namespace millrace::kafka

// JsonWriter: writes JSON text, for -o json.
//
//   JsonWriter json;
//   json.BeginObject().Key("topic").String("greetings").Key("partitions").Number(3).EndObject();
//
// Output is compact and valid whatever strings hold: bytes that are no UTF-8 become U+FFFD (use
// IsText() first where they must survive).
//
// Shard: any; pure. Callers pair Begin and End.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Begin('{'); }
  JsonWriter& EndObject() { return End('}'); }
  JsonWriter& BeginArray() { return Begin('['); }
  JsonWriter& EndArray() { return End(']'); }
  JsonWriter& Key(std::string_view name);
  JsonWriter& String(std::string_view text);
  JsonWriter& Number(int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  // A number, or null.
  JsonWriter& OptionalNumber(std::optional<int64_t> value) {
    return value.has_value() ? Number(*value) : Null();
  }

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  JsonWriter& Begin(char bracket);
  JsonWriter& End(char bracket);
  void Separate();

  std::string text_;
  bool first_ = true;  // Nothing was written yet in the innermost bracket, or behind a key.
};

// Whether a JSON string can hold these bytes unchanged.
bool IsText(std::span<const uint8_t> bytes);

// RFC 4648, with padding.
std::string Base64(std::span<const uint8_t> bytes);

}  // namespace millrace

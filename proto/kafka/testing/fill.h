// Filling any message with values that a Filler chooses: what the round-trip and golden tests stand
// on. The generated registry calls FillField() for every field of every message, in the order of
// the schema.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/bytes/slice.h"
#include "common/uuid.h"

namespace millrace::kafka {

// What a schema says about a field. Ranges are inclusive; first > last means "no version".
struct FieldInfo {
  const char* name;  // As in the schema: "ThrottleTimeMs".
  int16_t first;
  int16_t last;
  int16_t null_first;
  int16_t null_last;
  bool tagged;
};

// Chooses the values. One per message; calls come depth first.
class Filler {
 public:
  explicit Filler(int16_t version) : version_(version) {}
  virtual ~Filler() = default;
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;

  bool Has(const FieldInfo& field) const {
    return field.first <= version_ && version_ <= field.last;
  }
  bool MayBeNull(const FieldInfo& field) const {
    return field.null_first <= version_ && version_ <= field.null_last;
  }

  // Around the value of `field`, and around each element of an array.
  virtual void Enter(const FieldInfo& field) = 0;
  virtual void Leave() = 0;
  virtual void EnterElement(size_t index) = 0;
  virtual void LeaveElement() = 0;

  // About the value entered last.
  virtual bool KeepDefault(bool composite) = 0;  // `composite`: it is or holds structs.
  virtual bool Null() = 0;
  virtual size_t Count() = 0;
  virtual uint64_t Bits() = 0;
  virtual uint64_t LowBits() = 0;  // The lower half of a uuid.
  virtual double Number() = 0;
  virtual std::string Text() = 0;
  virtual Slice Data() = 0;

 private:
  int16_t version_;
};

template <typename T>
  requires std::is_integral_v<T>
void Fill(Filler& filler, T& value) {
  value = static_cast<T>(filler.Bits());
}
inline void Fill(Filler& filler, bool& value) { value = (filler.Bits() & 1) != 0; }
inline void Fill(Filler& filler, double& value) { value = filler.Number(); }
inline void Fill(Filler& filler, Uuid& value) {
  uint64_t high = filler.Bits();
  value = Uuid(high, filler.LowBits());
}
inline void Fill(Filler& filler, std::string& value) { value = filler.Text(); }
inline void Fill(Filler& filler, Slice& value) { value = filler.Data(); }
// In two pieces, as a sender may have them; a receiver gets one.
inline void Fill(Filler& filler, Chain& value) {
  const Slice data = filler.Data();
  value = Chain(data.Sub(0, data.size() / 2));
  value.Append(data.From(data.size() / 2));
}

template <typename T>
T FreshValue() {
  return T();
}
template <>
inline Uuid FreshValue<Uuid>() {
  return Uuid(0, 0);
}

template <typename T>
void FillValue(Filler& filler, T& value) {
  Fill(filler, value);
}

template <typename T>
void FillValue(Filler& filler, std::vector<T>& values) {
  size_t count = filler.Count();
  values.clear();
  for (size_t i = 0; i < count; ++i) {
    filler.EnterElement(i);
    Fill(filler, values.emplace_back(FreshValue<T>()));
    filler.LeaveElement();
  }
}

// Whether T is or holds structs, whose fields are filled one by one.
template <typename T>
inline constexpr bool kIsComposite =
    std::is_class_v<T> && !std::is_same_v<T, std::string> && !std::is_same_v<T, Uuid> &&
    !std::is_same_v<T, Slice> && !std::is_same_v<T, Chain>;
template <typename T>
inline constexpr bool kIsComposite<std::vector<T>> = kIsComposite<T>;

template <typename T>
void FillField(Filler& filler, const FieldInfo& field, T& value) {
  if (!filler.Has(field)) return;
  filler.Enter(field);
  if (!filler.KeepDefault(kIsComposite<T>)) FillValue(filler, value);
  filler.Leave();
}

template <typename T>
void FillField(Filler& filler, const FieldInfo& field, std::optional<T>& value) {
  if (!filler.Has(field)) return;
  filler.Enter(field);
  // A default of null may not stay where the version does not allow null.
  bool valid = value.has_value() || filler.MayBeNull(field);
  if (!filler.KeepDefault(kIsComposite<T>) || !valid) {
    if (filler.MayBeNull(field) && filler.Null()) {
      value.reset();
    } else {
      FillValue(filler, value.emplace());
    }
  }
  filler.Leave();
}

}  // namespace millrace::kafka

// Values drawn from a seed: extremes, empties, nulls and defaults more often than chance would have
// them.
#pragma once

#include "proto/kafka/testing/fill.h"

namespace millrace::kafka {

class SeededFiller : public Filler {
 public:
  // `with_tagged`: whether tagged fields may get values; without, every tagged section is empty.
  SeededFiller(uint64_t seed, int16_t version, bool with_tagged = true)
      : Filler(version), state_(seed), with_tagged_(with_tagged) {}

  void Enter(const FieldInfo& field) override;
  void Leave() override { --depth_; }
  void EnterElement(size_t) override {}
  void LeaveElement() override {}
  bool KeepDefault(bool composite) override;
  bool Null() override;
  size_t Count() override;
  uint64_t Bits() override;
  uint64_t LowBits() override { return Bits(); }
  double Number() override;
  std::string Text() override;
  Slice Data() override;

 private:
  uint64_t Next();
  // True once in `n` times.
  bool OneIn(uint64_t n) { return Next() % n == 0; }

  uint64_t state_;
  bool with_tagged_;
  bool tagged_ = false;  // Whether the field entered last is.
  int depth_ = 0;
};

}  // namespace millrace::kafka

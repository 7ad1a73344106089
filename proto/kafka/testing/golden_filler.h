// The two rules of test/golden/README.md. "Values": each value is a function of its place in the
// message.
#pragma once

#include <string_view>
#include <vector>

#include "proto/kafka/testing/fill.h"

namespace millrace::kafka {

class GoldenFiller : public Filler {
 public:
  GoldenFiller(std::string_view message, int16_t version);

  void Enter(const FieldInfo& field) override;
  void Leave() override { states_.pop_back(); }
  void EnterElement(size_t index) override;
  void LeaveElement() override { states_.pop_back(); }
  bool KeepDefault(bool) override { return false; }
  bool Null() override;
  size_t Count() override;
  uint64_t Bits() override;
  uint64_t LowBits() override;
  double Number() override;
  std::string Text() override;
  Slice Data() override;

 private:
  std::vector<uint64_t> states_;
};

// "Skeleton": every array of structs has one element, every struct is there, and all else is as it
// began.
class SkeletonFiller : public GoldenFiller {
 public:
  using GoldenFiller::GoldenFiller;
  bool KeepDefault(bool composite) override { return !composite; }
  bool Null() override { return false; }
  size_t Count() override { return 1; }
};

}  // namespace millrace::kafka

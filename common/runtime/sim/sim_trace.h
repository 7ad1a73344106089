// SimTrace: everything the simulated world decides, folded into 64 bits. Two runs of one seed with
// different hashes mean that something outside the seed decided: an address, a container's order, a
// real clock.
//
// To find where two runs part, give both a sink and compare the lines.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "common/runtime/sim/sim_random.h"
#include "common/time.h"

namespace millrace {

class SimTrace {
 public:
  // `who` is a node's name, `what` a word for the decision, `numbers` whatever it was about.
  void Record(Instant when, std::string_view who, std::string_view what,
              std::initializer_list<uint64_t> numbers) {
    hash_ = MixBits(hash_ ^ static_cast<uint64_t>(when.nanoseconds()));
    hash_ = MixText(MixText(hash_, who), what);
    for (uint64_t number : numbers) hash_ = MixBits(hash_ ^ number);
    ++records_;
    if (sink_) {
      sink_(fmt::format("{:>14} {} {} {} #{:016x}", when.nanoseconds(), who, what,
                        fmt::join(numbers, " "), hash_));
    }
  }

  uint64_t hash() const { return hash_; }
  uint64_t records() const { return records_; }
  void set_sink(std::function<void(std::string)> sink) { sink_ = std::move(sink); }

 private:
  uint64_t hash_ = 0;
  uint64_t records_ = 0;
  std::function<void(std::string)> sink_;
};

}  // namespace millrace

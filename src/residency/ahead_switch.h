// Whether reading ahead on a guess pays: decided by what passes take with it and without.
#pragma once

#include <array>
#include <cstdint>

namespace hypura {

// Passes come in stretches. Most stretches are of the kind that was faster of late; every kTryEvery-th is of the other,
// to see whether that still holds: it costs a kTryEvery-th of the difference.
//
// Not thread-safe: the owner serialises.
class AheadSwitch {
 public:
  static constexpr uint32_t kStretch = 16;  // passes
  static constexpr uint32_t kTryEvery = 8;  // stretches

  // Whether the next pass is to read ahead.
  bool on() const { return on_; }

  // The pass took so long. Passes that are not alike (prompts, several tokens) are not to be told.
  void note(double seconds);

  // Seconds a pass of that kind took of late; 0 when there was none.
  double seconds(bool with) const { return kinds_[with ? 1 : 0].seconds; }

 private:
  struct Kind {
    double seconds = 0;
    uint32_t passes = 0;
  };
  void choose();

  std::array<Kind, 2> kinds_;  // without, with
  bool on_ = true;
  uint32_t pass_ = 0;     // of the stretch
  uint32_t stretch_ = 0;  // number of the one under way
};

}  // namespace hypura

// Whether prefetching on a prediction pays: decided by what passes take with it and without.
#pragma once

#include <cstdint>

namespace hypura {

// Passes come in stretches. Most stretches are of the kind that was faster of late; every kTryEvery-th is of the other,
// to see whether that still holds: it costs a kTryEvery-th of the difference.
//
// A stretch is compared with the one before it, when that was of the other kind: as caches fill passes become faster by
// themselves, which makes the later of two stretches look better, whichever kind it is. Each kind is the later one as
// often as the other, so that this cancels.
//
// Not thread-safe: the owner serialises.
class PrefetchSwitch {
 public:
  static constexpr uint32_t kStretch = 16;  // passes
  static constexpr uint32_t kTryEvery = 8;  // stretches

  // Whether the next pass is to read ahead.
  bool on() const { return on_; }

  // The pass took so long. Passes that are not alike (prompts, several tokens) are not to be told.
  void note(double seconds);

  // What passes that read ahead took of late, by what those took that did not; 1 when nothing is known.
  double ratio() const;

 private:
  void end_stretch();

  bool on_ = true;
  uint32_t pass_ = 0;        // of the stretch
  double seconds_ = 0;       // of its passes that count
  uint32_t stretch_ = 0;     // number of the one under way
  bool last_on_ = true;      // kind of the one before
  double last_seconds_ = 0;  // that it took; 0: it does not count
  uint32_t compared_ = 0;
  double log_ratio_ = 0;
};

}  // namespace hypura

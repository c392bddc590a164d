// Which of several copies a chunk is read from. Pure policy: it is told what is issued and what ended, and when.
//
// A lane is what one copy of the model has on one disk. A chunk goes to the lane that is expected to be done with it
// first: the least (bytes under way there + its own) / speed. So with enough under way each lane gets a share as large
// as its speed, and of a few chunks none waits for a slow lane that a fast one would have read sooner.
//
// A lane's speed is what it delivered over the time in which it had something under way; both sums fade. Where it has
// given nothing for longer than what is under way should take, it counts as being as slow as that: a lane that hangs
// gets no more. A lane that is passed over gets a chunk now and then, to see whether it is faster by now.
//
// Not thread-safe. Times are in seconds, from any start.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// Whether a read was seen to end when it ended, or some time later: then that time tells nothing about the disk.
enum class Noticed { kAtOnce, kLater };

class MirrorChoice {
 public:
  // Of each lane the speed to begin with, in bytes per second, more than 0.
  explicit MirrorChoice(std::span<const double> speeds);

  // Which of `lanes` a chunk of `bytes` is to be read from: an index into them. At least one; of equals the first.
  // The chunk is then under way.
  size_t choose(std::span<const uint32_t> lanes, uint64_t bytes, double now);
  // A chunk is under way on a lane that was not chosen here: the rest of one that was, or one read once more.
  void issue(uint32_t lane, uint64_t bytes, double now);
  // One of `asked` bytes that was under way has ended and gave `delivered`, 0 when it failed.
  void end(uint32_t lane, uint64_t asked, uint64_t delivered, double now, Noticed noticed);

  // Bytes per second, as it is measured.
  double speed(uint32_t lane) const { return lanes_[lane].bytes / lanes_[lane].seconds; }

 private:
  struct Lane {
    double bytes = 0;  // delivered in
    double seconds = 0;
    uint64_t under_way = 0;
    double silent_since = 0;   // the last end, or the issue before which nothing was under way
    double counted_until = 0;  // how far `seconds` has come
    uint64_t not_counted = 0;  // delivered since, but noticed later than it ended
    uint64_t passed_over = 0;  // bytes read from others since this one was taken
    uint64_t patience = 0;     // bytes, after which it is tried again
    bool on_trial = false;     // the next measurement stands for itself: what was known is old
  };

  double expected_seconds(const Lane& lane, uint64_t bytes, double now) const;
  size_t best(std::span<const uint32_t> lanes, uint64_t bytes, double now) const;
  static void measure(Lane& lane, uint64_t bytes, double seconds);

  std::vector<Lane> lanes_;
};

}  // namespace hypura

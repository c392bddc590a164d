#include "storage/mirror_choice.h"

#include <algorithm>
#include <cmath>

namespace hypura {

namespace {

constexpr double kHalfLife = 0.1;                // seconds of reading, after which a measurement counts half
constexpr double kStartSeconds = 0.05;           // that the speeds to begin with count as
constexpr uint64_t kPatience = 1ULL << 30;       // bytes; twice as many after each trial that did not help,
constexpr uint64_t kMostPatience = 64ULL << 30;  // up to these, so that trying a very slow lane costs next to nothing

}  // namespace

MirrorChoice::MirrorChoice(std::span<const double> speeds) {
  for (const double speed : speeds) {
    Lane lane;
    lane.bytes = speed * kStartSeconds;
    lane.seconds = kStartSeconds;
    lane.patience = kPatience;
    lanes_.push_back(lane);
  }
}

double MirrorChoice::expected_seconds(const Lane& lane, uint64_t bytes, double now) const {
  double speed = lane.bytes / lane.seconds;
  const auto under_way = static_cast<double>(lane.under_way);
  const double silence = now - lane.silent_since;
  if (lane.under_way > 0 && silence > 0) {
    speed = std::min(speed, under_way / silence);
  }
  return (under_way + static_cast<double>(bytes)) / speed;
}

size_t MirrorChoice::best(std::span<const uint32_t> lanes, uint64_t bytes, double now) const {
  size_t best = 0;
  double least = expected_seconds(lanes_[lanes[0]], bytes, now);
  for (size_t i = 1; i < lanes.size(); ++i) {
    const double seconds = expected_seconds(lanes_[lanes[i]], bytes, now);
    if (seconds < least) {
      best = i;
      least = seconds;
    }
  }
  return best;
}

size_t MirrorChoice::choose(std::span<const uint32_t> lanes, uint64_t bytes, double now) {
  size_t chosen = best(lanes, bytes, now);
  lanes_[lanes[chosen]].patience = kPatience;
  for (size_t i = 0; i < lanes.size(); ++i) {
    Lane& lane = lanes_[lanes[i]];
    if (lane.under_way == 0 && lane.passed_over >= lane.patience) {
      chosen = i;
      lane.patience = std::min(2 * lane.patience, kMostPatience);
      lane.on_trial = true;
      break;
    }
  }
  for (const uint32_t lane : lanes) {
    lanes_[lane].passed_over += bytes;
  }
  lanes_[lanes[chosen]].passed_over = 0;
  issue(lanes[chosen], bytes, now);
  return chosen;
}

void MirrorChoice::issue(uint32_t lane_number, uint64_t bytes, double now) {
  Lane& lane = lanes_[lane_number];
  if (lane.under_way == 0) {
    lane.silent_since = lane.counted_until = now;
    lane.not_counted = 0;
  }
  lane.under_way += bytes;
}

void MirrorChoice::end(uint32_t lane_number, uint64_t asked, uint64_t delivered, double now, Noticed noticed) {
  Lane& lane = lanes_[lane_number];
  lane.under_way -= asked;
  lane.silent_since = now;
  lane.not_counted += delivered;
  // What was noticed late still counts once the lane, busy all the while, is seen to end a read. Where nothing more is
  // under way the time is lost, and the bytes with it.
  if (noticed == Noticed::kAtOnce) {
    measure(lane, lane.not_counted, now - lane.counted_until);
    lane.counted_until = now;
    lane.not_counted = 0;
  }
}

void MirrorChoice::measure(Lane& lane, uint64_t bytes, double seconds) {
  const auto delivered = static_cast<double>(bytes);
  if (lane.on_trial && bytes > 0 && seconds > 0) {
    lane.bytes = delivered;
    lane.seconds = seconds;
    lane.on_trial = false;
    return;
  }
  const double kept = std::exp2(-seconds / kHalfLife);
  // Never nothing: a lane that only fails would have no speed to compare.
  lane.bytes = std::max(lane.bytes * kept + delivered, 1.0);
  lane.seconds = lane.seconds * kept + seconds;
}

}  // namespace hypura

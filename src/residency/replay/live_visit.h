// How the engine drives its cache of experts, visit by visit: for replays.
#pragma once

#include <cstdint>
#include <vector>

#include "residency/expert_cache.h"
#include "residency/replay/visits.h"

namespace hypura {

// Moves the cache on by a visit, and gives the experts that it did not hold before. Missing ones are admitted one after
// another, so that `cache` needs one spare slot only.
inline std::vector<uint32_t> visit_live(const Visit& visit, ExpertCache& cache) {
  std::vector<uint32_t> hits;
  std::vector<uint32_t> misses;
  cache.begin(visit.layer, visit.choice);
  for (const Use& use : visit.uses) {
    (cache.lookup(visit.layer, use.expert) ? hits : misses).push_back(use.expert);
  }
  for (const uint32_t expert : misses) {
    // There is a slot: one at a time is taken, and between passes a spare one is free.
    static_cast<void>(cache.take(visit.layer, expert));
    cache.commit(visit.layer, expert);
    cache.release(visit.layer, expert);
  }
  for (const uint32_t expert : hits) {
    cache.release(visit.layer, expert);
  }
  return misses;
}

}  // namespace hypura

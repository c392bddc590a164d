// What caches of experts would have hit on a recorded trace: policies that can be had, and the best that any can do.
//
// All policies are asked as the engine asks: all experts of a layer and pass at once, each once however many tokens
// chose it, and each counted a hit when the cache held it before the pass came to the layer. Afterwards a policy keeps
// what it likes of what it held and what was asked for. Passes that evaluate prompts move the caches and count in
// nothing, as in EngineStats::expert_lookups.
//
// Of `slots` slots, `spare` are what missing experts are read into and hold nothing from pass to pass, in every policy:
// so policies are compared and not reserves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/routing.h"

namespace hypura {

enum class Policy {
  kLru,     // keeps what was used last; within a pass what more of its tokens used
  kLfu,     // keeps what was used most often, prompts and experts not held included; the later used of equals
  kLive,    // ExpertCache, driven as the engine drives it
  kBelady,  // keeps what a decode pass uses next soonest: no policy has more hits (L. A. Belady, A study of replacement
            // algorithms for a virtual-storage computer, IBM Systems Journal 5(2), 1966; here with the freedom not to
            // keep what was just read, under which dropping what is needed last is best too)
};

enum class Pool {
  kLayers,  // each layer has its quota, as ExpertCache divides the slots
  kShared,  // one pool for all layers; not for kLive, which has none
};

struct ReplayResult {
  std::string policy;
  uint32_t slots = 0;
  uint64_t lookups = 0;  // in decode passes
  uint64_t hits = 0;

  // 0 when nothing was asked for.
  double hit_rate() const;
};

// "lru", "lfu", "live" or "belady".
const char* policy_name(Policy policy);

// Replays the trace from an empty cache. `slots` is taken as at least 1, `spare` as 1..slots.
//
// kLive admits missing experts one after another; the engine admits together those whose reads have ended. Which
// are kept of the pass in which a layer's quota fills up can then differ; it makes no difference in any other pass, and
// is gone when those are evicted (docs/lab/experiments.md: 4 of 183 passes, 0.06 points, and most often none).
ReplayResult replay(const RoutingTrace& trace, Policy policy, uint32_t slots, uint32_t spare,
                    Pool pool = Pool::kLayers);

// What the run that recorded the trace counted itself, over the passes of the trace.
ReplayResult recorded_result(const RoutingTrace& trace);

// For each layer the hit rate of the live policy with a quota of 0..experts: [layer * (experts + 1) + quota]. 0 when
// nothing was asked for. Equal to replay() with that quota. One pass over the trace for all quotas at once: the policy
// has the stack property (R. L. Mattson et al., Evaluation techniques for storage hierarchies, IBM Systems Journal
// 9(2), 1970), because what an expert is worth does not depend on what is held.
std::vector<double> hit_curve(const RoutingTrace& trace);

// The same of slots through which all that a pass asks for passes, as those of each layer on a GPU: ExpertCache with
// own_slots. With fewer slots than a pass asks for it tells nothing.
std::vector<double> passing_hit_curve(const RoutingTrace& trace);

// The first of them for a run that goes on, without the misses that a trace has only because it begins: a short one as
// a long one.
//
// Half of the decode passes, but no more than 256, fill the caches and teach the policy, and are not counted. An expert
// that is asked for the first time after them would lie in the stack, had the trace begun earlier: below those that
// were asked for since, nobody knows where. So it counts for an equal part at each of these depths. Stretching the
// curve until it ends at 1 gives such hits to small quotas too: by 112 tokens half of 128 experts then missed two
// thirds of what they do (docs/lab/experiments.md).
std::vector<double> lasting_hit_curve(const RoutingTrace& trace);

// The same of the other.
std::vector<double> lasting_passing_curve(const RoutingTrace& trace);

}  // namespace hypura

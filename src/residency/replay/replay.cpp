#include "residency/replay/replay.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "residency/replay/live_visit.h"
#include "residency/replay/visits.h"

namespace hypura {

namespace {

// What has the lowest is dropped first.
using Score = std::pair<double, double>;

// Caches that keep what has the highest scores. A key is layer * experts + expert.
class ScoredPools {
 public:
  ScoredPools(std::vector<uint32_t> capacities, uint32_t keys)
      : capacities_(std::move(capacities)), held_(capacities_.size()), scores_(keys) {}

  bool holds(uint32_t key) const { return scores_[key].has_value(); }

  void put(uint32_t pool, uint32_t key, Score score) {
    if (scores_[key]) {
      held_[pool].erase({*scores_[key], key});
    }
    scores_[key] = score;
    held_[pool].insert({score, key});
  }

  void trim(uint32_t pool) {
    while (held_[pool].size() > capacities_[pool]) {
      scores_[held_[pool].begin()->second].reset();
      held_[pool].erase(held_[pool].begin());
    }
  }

 private:
  std::vector<uint32_t> capacities_;
  std::vector<std::set<std::pair<Score, uint32_t>>> held_;
  std::vector<std::optional<Score>> scores_;  // by key; none: not held
};

// For each use, in the order of the visits, minus the number of the visit that uses the expert next. Minus infinity
// when none does, or one that counts in nothing: to have kept it till then is worth nothing.
std::vector<double> belady_scores(const Visits& visits, const RoutingTrace& trace) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  size_t use = 0;
  for (const Visit& visit : visits.all()) {
    use += visit.uses.size();
  }
  std::vector<double> scores(use);
  std::vector<double> next(uint64_t{trace.layers} * trace.experts, kNever);
  for (size_t i = visits.all().size(); i-- > 0;) {
    const Visit& visit = visits.all()[i];
    use -= visit.uses.size();
    for (size_t k = 0; k < visit.uses.size(); ++k) {
      double& at = next[visit.layer * trace.experts + visit.uses[k].expert];
      scores[use + k] = at;
      at = visit.decode ? -static_cast<double>(i) : kNever;
    }
  }
  return scores;
}

void replay_scored(const Visits& visits, const RoutingTrace& trace, Policy policy, ScoredPools& pools, Pool pool,
                   ReplayResult& result) {
  const std::vector<double> next = policy == Policy::kBelady ? belady_scores(visits, trace) : std::vector<double>();
  std::vector<double> count(uint64_t{trace.layers} * trace.experts);
  size_t use_number = 0;
  double now = 0;
  for (const Visit& visit : visits.all()) {
    const uint32_t at = pool == Pool::kShared ? 0 : visit.layer;
    ++now;
    for (const Use& use : visit.uses) {
      const uint32_t key = visit.layer * trace.experts + use.expert;
      result.lookups += visit.decode ? 1 : 0;
      result.hits += visit.decode && pools.holds(key) ? 1 : 0;
      count[key] += use.rows;
      const Score score = policy == Policy::kLru   ? Score{now, use.rows}
                          : policy == Policy::kLfu ? Score{count[key], now}
                                                   : Score{next[use_number], 0};
      pools.put(at, key, score);
      ++use_number;
    }
    pools.trim(at);
  }
}

void replay_live(const Visits& visits, ExpertCache& cache, ReplayResult& result) {
  for (const Visit& visit : visits.all()) {
    const std::vector<uint32_t> misses = visit_live(visit, cache);
    if (visit.decode) {
      result.lookups += visit.uses.size();
      result.hits += visit.uses.size() - misses.size();
    }
  }
}

}  // namespace

double ReplayResult::hit_rate() const {
  return lookups > 0 ? static_cast<double>(hits) / static_cast<double>(lookups) : 0;
}

const char* policy_name(Policy policy) {
  switch (policy) {
    case Policy::kLru:
      return "lru";
    case Policy::kLfu:
      return "lfu";
    case Policy::kLive:
      return "live";
    case Policy::kBelady:
      return "belady";
  }
  return "unknown";
}

ReplayResult replay(const RoutingTrace& trace, Policy policy, uint32_t slots, uint32_t spare, Pool pool) {
  ReplayResult result = {policy_name(policy), std::max(slots, 1U), 0, 0};
  if (trace.layers == 0 || trace.experts == 0) {
    return result;
  }
  const Visits visits(trace);
  const uint32_t reserve = std::clamp(spare, 1U, result.slots);
  ExpertCache cache({trace.layers, trace.experts, result.slots, reserve});
  if (policy == Policy::kLive) {
    replay_live(visits, cache, result);
    return result;
  }
  std::vector<uint32_t> capacities = {result.slots - reserve};
  if (pool == Pool::kLayers) {
    capacities.clear();
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      capacities.push_back(cache.quota(layer));
    }
  }
  ScoredPools pools(std::move(capacities), trace.layers * trace.experts);
  replay_scored(visits, trace, policy, pools, pool, result);
  return result;
}

ReplayResult recorded_result(const RoutingTrace& trace) {
  ReplayResult result = {"recorded", trace.slots, 0, 0};
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    result.lookups += visit.decode ? visit.uses.size() : 0;
  }
  for (const RoutingPass& pass : trace.passes) {
    result.hits += pass.decode ? pass.hits : 0;
  }
  return result;
}

}  // namespace hypura

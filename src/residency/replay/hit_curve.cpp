// The live policy for all quotas at once, one layer at a time.
//
// With a quota Q, of what is held and what was asked for the policy keeps the experts that hit and, of the others, the
// Q less hits that are worth most (of equals the higher number: ExpertCache drops the lowest first). What a cache
// with quota Q - 1 holds, one with quota Q holds too, so that all caches are one stack: its first Q experts.
#include <algorithm>
#include <queue>
#include <utility>

#include "residency/expert_ranking.h"
#include "residency/replay/replay.h"
#include "residency/replay/visits.h"

namespace hypura {

namespace {

// What a layer was asked for so far, and the stack that its caches are.
class AskedExperts {
 protected:
  explicit AskedExperts(uint32_t experts) : ranking_(experts), asked_(experts), seen_(experts) {}

  // Calls `each` with every expert of the pass, and `first` as take_in() below.
  template <class Each, class First>
  void note(const Visit& pass, Each each, First first) {
    ++number_;
    ranking_.note(pass.choice);
    for (const Use& use : pass.uses) {
      asked_[use.expert] = number_;
      each(use.expert);
      if (!seen_[use.expert]) {
        first(static_cast<uint32_t>(stack_.size()));
        seen_[use.expert] = true;
      }
    }
  }

  ExpertRanking ranking_;
  std::vector<uint32_t> stack_;
  std::vector<uint64_t> asked_;  // by expert: the last visit that asked for it
  std::vector<bool> seen_;       // by expert: it was asked for before
  uint64_t number_ = 0;          // of the visit
};

class LayerStack : AskedExperts {
 public:
  explicit LayerStack(uint32_t experts) : AskedExperts(experts), gone_(experts) {}

  // Notes what the layer is asked for in one pass; calls `hit` with the smallest quota that has each expert, and
  // `first` with the number of experts that were asked for before, for each that was not.
  template <class Hit, class First>
  void take_in(const Visit& pass, Hit hit, First first) {
    waiting_.clear();
    note(
        pass, [this](uint32_t expert) { push(expert); }, first);
    restack(hit);
  }

 private:
  using Candidate = std::pair<double, uint32_t>;  // worth, expert

  // From quota 0 up: `waiting_` is what the cache of the quota so far does not keep. The next one keeps one more.
  template <class Hit>
  void restack(Hit hit) {
    for (uint32_t i = 0; i < stack_.size(); ++i) {
      const uint32_t expert = stack_[i];
      if (asked_[expert] != number_) {
        push(expert);
        stack_[i] = pop();
        continue;
      }
      hit(i + 1);
      if (gone_[expert] != number_) {
        gone_[expert] = number_;  // it hits from here on, and stays for that
      } else {
        stack_[i] = pop();  // smaller caches keep it anyway: another fits
      }
    }
    while (!waiting_.empty()) {
      if (const uint32_t expert = waiting_.front().second; gone_[expert] == number_) {
        drop();
      } else {
        stack_.push_back(pop());
      }
    }
  }

  void push(uint32_t expert) {
    waiting_.emplace_back(ranking_.worth(expert), expert);
    std::push_heap(waiting_.begin(), waiting_.end());
  }

  void drop() {
    std::pop_heap(waiting_.begin(), waiting_.end());
    waiting_.pop_back();
  }

  // The best of those waiting, less those that left by hitting.
  uint32_t pop() {
    while (gone_[waiting_.front().second] == number_) {
      drop();
    }
    const uint32_t expert = waiting_.front().second;
    drop();
    gone_[expert] = number_;
    return expert;
  }

  std::vector<Candidate> waiting_;  // a heap, best first; may hold some that are gone
  std::vector<uint64_t> gone_;      // by expert: the last visit in which it left waiting_
};

// The same where all that a pass asks for comes to lie in the cache, as in the slots of a GPU: then the quotas' caches
// have that in common, and of the others that they held the Q less those that are worth most.
class PassingStack : AskedExperts {
 public:
  explicit PassingStack(uint32_t experts) : AskedExperts(experts) {}

  // As LayerStack::take_in. Of quotas smaller than what the pass asks for it tells nothing.
  template <class Hit, class First>
  void take_in(const Visit& pass, Hit hit, First first) {
    next_.clear();
    note(
        pass, [this](uint32_t expert) { next_.push_back(expert); }, first);
    std::priority_queue<std::pair<double, uint32_t>> others;
    const auto keep_best = [&] {
      next_.push_back(others.top().second);
      others.pop();
    };
    for (uint32_t i = 0; i < stack_.size(); ++i) {
      if (asked_[stack_[i]] == number_) {
        hit(i + 1);
      } else {
        others.emplace(ranking_.worth(stack_[i]), stack_[i]);
      }
      if (i >= pass.uses.size()) {
        keep_best();
      }
    }
    while (!others.empty()) {
      keep_best();
    }
    std::swap(stack_, next_);
  }

 private:
  std::vector<uint32_t> next_;  // the stack behind the pass
};

// Of a run that goes on, passes by which the policy has learned nearly all it can (docs/lab/experiments.md).
constexpr size_t kWarmUpPasses = 256;

// Decode passes in front of those that count.
size_t warm_up(const RoutingTrace& trace) {
  const auto passes = static_cast<size_t>(std::ranges::count(trace.passes, true, &RoutingPass::decode));
  return std::min(kWarmUpPasses, passes / 2);
}

class HitCounts {
 public:
  explicit HitCounts(const RoutingTrace& trace)
      : width_(size_t{trace.experts} + 1), hits_(trace.layers * width_), lookups_(trace.layers) {}

  // Of the layer's hits, by quota: those that smaller quotas have not.
  std::span<double> of(uint32_t layer) { return std::span(hits_).subspan(layer * width_, width_); }

  void looked_up(uint32_t layer, size_t experts) { lookups_[layer] += static_cast<double>(experts); }

  // Per lookup, with those of smaller quotas.
  std::vector<double> curve() && {
    for (uint32_t layer = 0; layer < lookups_.size(); ++layer) {
      double sum = 0;
      for (double& it : of(layer)) {
        sum += it;
        it = lookups_[layer] > 0 ? sum / lookups_[layer] : 0;
      }
    }
    return std::move(hits_);
  }

 private:
  size_t width_;
  std::vector<double> hits_;
  std::vector<double> lookups_;
};

// Without counting the first `left_out` decode passes. `first`: adds to a layer's hits what the first use of an expert
// counts for, when so many others were asked for before.
template <class Stack, class First>
std::vector<double> curve_of(const RoutingTrace& trace, size_t left_out, First first) {
  if (trace.layers == 0 || trace.experts == 0) {
    return {};
  }
  HitCounts counts(trace);
  std::vector<Stack> stacks(trace.layers, Stack(trace.experts));
  std::vector<size_t> passes(trace.layers);
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    passes[visit.layer] += visit.decode ? 1 : 0;
    const bool counted = visit.decode && passes[visit.layer] > left_out;
    const std::span<double> hits = counts.of(visit.layer);
    stacks[visit.layer].take_in(
        visit, [&](uint32_t quota) { hits[quota] += counted ? 1 : 0; },
        [&](uint32_t before) {
          if (counted) {
            first(hits, before);
          }
        });
    counts.looked_up(visit.layer, counted ? visit.uses.size() : 0);
  }
  return std::move(counts).curve();
}

void count_nothing(std::span<double> /*hits*/, uint32_t /*before*/) {}

void count_deeper(std::span<double> hits, uint32_t before) {
  const std::span<double> deeper = hits.subspan(before + 1);
  for (double& it : deeper) {
    it += 1 / static_cast<double>(deeper.size());
  }
}

}  // namespace

std::vector<double> hit_curve(const RoutingTrace& trace) {
  return curve_of<LayerStack>(trace, 0, count_nothing);
}

std::vector<double> passing_hit_curve(const RoutingTrace& trace) {
  return curve_of<PassingStack>(trace, 0, count_nothing);
}

std::vector<double> lasting_hit_curve(const RoutingTrace& trace) {
  return curve_of<LayerStack>(trace, warm_up(trace), count_deeper);
}

std::vector<double> lasting_passing_curve(const RoutingTrace& trace) {
  return curve_of<PassingStack>(trace, warm_up(trace), count_deeper);
}

}  // namespace hypura

// The live policy for all quotas at once, one layer at a time.
//
// With a quota Q, of what is held and what was asked for the policy keeps the experts that hit and, of the others, the
// Q less hits that are worth most (of equals the higher number: ExpertCache drops the lowest first). What a cache
// with quota Q - 1 holds, one with quota Q holds too, so that all caches are one stack: its first Q experts.
#include <algorithm>
#include <utility>

#include "residency/expert_ranking.h"
#include "residency/replay/replay.h"
#include "residency/replay/visits.h"

namespace hypura {

namespace {

class LayerStack {
 public:
  explicit LayerStack(uint32_t experts) : ranking_(experts), asked_(experts), gone_(experts) {}

  // Notes what the layer is asked for in one pass; calls `hit` with the smallest quota that has each expert.
  template <class Hit>
  void take_in(const Visit& pass, Hit hit) {
    ++number_;
    ranking_.note(pass.choice);
    waiting_.clear();
    for (const Use& use : pass.uses) {
      asked_[use.expert] = number_;
      push(use.expert);
    }
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

  ExpertRanking ranking_;
  std::vector<uint32_t> stack_;
  std::vector<Candidate> waiting_;  // a heap, best first; may hold some that are gone
  std::vector<uint64_t> asked_;     // by expert: the last visit that asked for it
  std::vector<uint64_t> gone_;      // by expert: the last visit in which it left waiting_
  uint64_t number_ = 0;             // of the visit
};

}  // namespace

std::vector<double> hit_curve(const RoutingTrace& trace) {
  if (trace.layers == 0 || trace.experts == 0) {
    return {};
  }
  const size_t width = size_t{trace.experts} + 1;
  std::vector<double> curve(trace.layers * width);
  std::vector<double> lookups(trace.layers);
  std::vector<LayerStack> stacks(trace.layers, LayerStack(trace.experts));
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    double* hits = curve.data() + visit.layer * width;
    const double counted = visit.decode ? 1 : 0;
    stacks[visit.layer].take_in(visit, [&](uint32_t quota) { hits[quota] += counted; });
    lookups[visit.layer] += counted * static_cast<double>(visit.uses.size());
  }
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    double hits = 0;
    for (size_t quota = 0; quota < width; ++quota) {
      double& rate = curve[layer * width + quota];
      hits += rate;
      rate = lookups[layer] > 0 ? hits / lookups[layer] : 0;
    }
  }
  return curve;
}

}  // namespace hypura

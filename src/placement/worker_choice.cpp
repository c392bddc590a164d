#include "placement/worker_choice.h"

#include <limits>
#include <optional>

#include "placement/cost.h"

namespace hypura {

namespace {

class Chooser {
 public:
  Chooser(PlacementProblem problem, const Placement& placement, std::span<const WorkerPart> found)
      : problem_(std::move(problem)), placement_(placement), found_(found), choices_(found.size()) {}

  void take_all() {
    for (WorkerChoice& it : choices_) {
      it.asked = true;
    }
  }

  void take_those_that_pay() {
    double now = seconds_with({});
    while (const auto best = best_of_rest()) {
      const double then = seconds_with(best);
      if (now < kLeastWorkerGain * then) {
        return;
      }
      choices_[*best].asked = true;
      now = then;
    }
  }

  std::vector<WorkerChoice> weigh() {
    for (size_t i = 0; i < choices_.size(); ++i) {
      const bool asked = choices_[i].asked;
      choices_[i].asked = true;
      choices_[i].with = seconds_with({});
      choices_[i].asked = false;
      choices_[i].without = seconds_with({});
      choices_[i].hindrance = asked ? WorkerHindrance::kNone : hindrance_of(i);
      choices_[i].asked = asked;
    }
    return std::move(choices_);
  }

 private:
  // Of a token with those that are asked, and `more`, or `another` besides.
  PassCost cost_with(std::optional<size_t> more, const WorkerPart* another = nullptr) {
    problem_.workers.clear();
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (choices_[i].asked || more == i) {
        problem_.workers.push_back(found_[i]);
      }
    }
    if (another != nullptr) {
      problem_.workers.push_back(*another);
    }
    return pass_cost(problem_, placement_, 1);
  }

  double seconds_with(std::optional<size_t> more, const WorkerPart* another = nullptr) {
    return cost_with(more, another).seconds;
  }

  std::optional<size_t> best_of_rest() {
    std::optional<size_t> best;
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (const double seconds = choices_[i].asked ? least : seconds_with(i); seconds < least) {
        best = i;
        least = seconds;
      }
    }
    return best;
  }

  WorkerHindrance hindrance_of(size_t worker) {
    const auto pays = [&](const WorkerPart& perfect) {
      return choices_[worker].without >= kLeastWorkerGain * seconds_with({}, &perfect);
    };
    WorkerPart perfect = found_[worker];
    perfect.way.round_trip = 0;
    if (pays(perfect)) {
      return WorkerHindrance::kRoundTrip;
    }
    perfect = found_[worker];
    perfect.way.send_bytes_per_second = perfect.way.receive_bytes_per_second = std::numeric_limits<double>::infinity();
    if (pays(perfect)) {
      return WorkerHindrance::kBandwidth;
    }
    perfect.way.round_trip = 0;
    if (pays(perfect)) {
      return WorkerHindrance::kRoundTrip;
    }
    return cost_with({}).bytes > 0 || cost_with({}).misses > 0 ? WorkerHindrance::kSpeed : WorkerHindrance::kNothing;
  }

  PlacementProblem problem_;
  const Placement& placement_;
  std::span<const WorkerPart> found_;
  std::vector<WorkerChoice> choices_;
};

}  // namespace

std::vector<WorkerChoice> choose_workers(const PlacementProblem& problem, const Placement& placement,
                                         std::span<const WorkerPart> found, bool all) {
  Chooser chooser(problem, placement, found);
  if (all) {
    chooser.take_all();
  } else {
    chooser.take_those_that_pay();
  }
  return chooser.weigh();
}

}  // namespace hypura

#include "residency/replay/prediction_replay.h"

#include <algorithm>

#include "residency/replay/live_visit.h"
#include "residency/replay/routing_steps.h"

namespace hypura {

namespace {

double ratio(uint64_t part, uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

class PredictionRun {
 public:
  PredictionRun(const RoutingTrace& trace, ExpertPredictor& predictor, uint32_t slots, uint32_t spare)
      : trace_(trace),
        predictor_(predictor),
        steps_(trace),
        cache_({trace.layers, trace.experts, slots, spare}),
        predictions_(trace.used),
        width_(trace.experts, kNotPredicted) {}

  PredictionResult run() {
    const Visits visits(trace_);
    auto visit = visits.all().begin();
    uint64_t first = 0;
    for (const RoutingPass& pass : trace_.passes) {
      const uint64_t end = first + pass.tokens;
      for (uint32_t layer = 0; layer < trace_.layers; ++layer) {
        if (!is_visited(first, end, layer)) {
          continue;
        }
        if (layer > 0 && pass.decode) {
          predict(first, end, layer);
        }
        look_up(*visit++);
        if (layer > 0) {
          teach(first, end, layer);
        }
      }
      first = end;
    }
    return result_;
  }

 private:
  // The narrowest width at which an expert is predicted.
  enum Width : uint8_t { kHalf, kFull, kNotPredicted };

  std::span<const uint16_t> row(uint64_t token, uint32_t layer) const {
    return std::span(trace_.chosen).subspan((token * trace_.layers + layer) * trace_.used, trace_.used);
  }

  // Whether `visits` has the pass of these tokens in this layer.
  bool is_visited(uint64_t first, uint64_t end, uint32_t layer) const {
    for (uint64_t token = first; token < end; ++token) {
      for (const uint16_t expert : row(token, layer)) {
        if (expert != RoutingTrace::kNone) {
          return true;
        }
      }
    }
    return false;
  }

  void predict(uint64_t first, uint64_t end, uint32_t layer) {
    const size_t half = std::max(trace_.used / 2, 1U);
    for (uint64_t token = first; token < end; ++token) {
      if (!steps_.read(token, layer)) {
        continue;
      }
      result_.chosen += steps_.after().size();
      const size_t count = predictor_.predict(layer - 1, steps_.before(), predictions_);
      for (size_t i = 0; i < count; ++i) {
        const uint32_t expert = predictions_[i].expert;
        const uint64_t right = std::ranges::count(steps_.after(), expert) > 0 ? 1 : 0;
        const Width width = i < half ? kHalf : kFull;
        width_[expert] = std::min(width_[expert], width);
        for_widths(width, [right](PredictionCounts& counts) {
          ++counts.predictions;
          counts.right += right;
        });
      }
    }
    for (uint32_t expert = 0; expert < trace_.experts; ++expert) {
      if (!cache_.resident(layer, expert)) {
        for_widths(width_[expert], [](PredictionCounts& counts) { ++counts.reads; });
      }
    }
  }

  // Moves the cache as replay() does, and forgets the predictions.
  void look_up(const Visit& visit) {
    const std::vector<uint32_t> misses = visit_live(visit, cache_);
    for (const uint32_t expert : misses) {
      for_widths(width_[expert], [](PredictionCounts& counts) { ++counts.useful; });
    }
    if (visit.decode) {
      result_.lookups += visit.uses.size();
      result_.misses += misses.size();
      result_.predictable += visit.layer > 0 ? misses.size() : 0;
    }
    std::ranges::fill(width_, kNotPredicted);
  }

  void teach(uint64_t first, uint64_t end, uint32_t layer) {
    for (uint64_t token = first; token < end; ++token) {
      if (steps_.read(token, layer)) {
        predictor_.learn(layer - 1, steps_.before(), steps_.after());
      }
    }
  }

  // Calls `note` with the counts that a prediction of this width belongs to.
  template <class Note>
  void for_widths(Width width, Note note) {
    if (width == kNotPredicted) {
      return;
    }
    note(result_.full);
    if (width == kHalf) {
      note(result_.half);
    }
  }

  const RoutingTrace& trace_;
  ExpertPredictor& predictor_;
  RoutingSteps steps_;
  ExpertCache cache_;
  PredictionResult result_;
  std::vector<ExpertPrediction> predictions_;
  std::vector<Width> width_;  // by expert, in the layer that comes next
};

}  // namespace

double PredictionCounts::precision() const {
  return ratio(right, predictions);
}

double PredictionCounts::useful_share() const {
  return ratio(useful, reads);
}

double PredictionResult::recall(const PredictionCounts& counts) const {
  return ratio(counts.right, chosen);
}

double PredictionResult::covered_share(const PredictionCounts& counts) const {
  return ratio(counts.useful, predictable);
}

PredictionResult replay_predictions(const RoutingTrace& trace, ExpertPredictor& predictor, uint32_t slots,
                                    uint32_t spare) {
  if (trace.layers == 0 || trace.experts == 0) {
    return {};
  }
  const uint32_t held = std::max(slots, 1U);
  return PredictionRun(trace, predictor, held, std::clamp(spare, 1U, held)).run();
}

size_t NoPrediction::predict(uint32_t /*layer*/, std::span<const uint16_t> /*chosen*/,
                             std::span<ExpertPrediction> /*out*/) const {
  return 0;
}

void NoPrediction::learn(uint32_t /*layer*/, std::span<const uint16_t> /*chosen*/, std::span<const uint16_t> /*next*/) {
}

PopularPrediction::PopularPrediction(uint32_t layers, uint32_t experts)
    : experts_(experts), tokens_(layers), counts_(uint64_t{layers} * experts) {}

size_t PopularPrediction::predict(uint32_t layer, std::span<const uint16_t> /*chosen*/,
                                  std::span<ExpertPrediction> out) const {
  if (layer + 1 >= tokens_.size() || tokens_[layer + 1] == 0) {
    return 0;
  }
  std::vector<ExpertPrediction> predictions(experts_);
  for (uint32_t expert = 0; expert < experts_; ++expert) {
    const uint64_t count = counts_[uint64_t{layer + 1} * experts_ + expert];
    predictions[expert] = {expert, static_cast<float>(ratio(count, tokens_[layer + 1]))};
  }
  return copy_surest(predictions, out);
}

void PopularPrediction::learn(uint32_t layer, std::span<const uint16_t> /*chosen*/, std::span<const uint16_t> next) {
  ++tokens_[layer + 1];
  for (const uint16_t expert : next) {
    ++counts_[uint64_t{layer + 1} * experts_ + expert];
  }
}

}  // namespace hypura

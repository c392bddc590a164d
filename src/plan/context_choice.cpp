#include "plan/context_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>

#include "llama/open/memory_estimate.h"
#include "placement/cost.h"
#include "placement/gpu_devices.h"
#include "placement/gpu_placement.h"
#include "placement/placement.h"
#include "plan/draft_worth.h"

namespace hypura {

namespace {

constexpr double kTolerated = 1.03;       // of the time without more context
constexpr uint64_t kSurplusShare = 8;     // of the budget: one part in so many
constexpr uint64_t kEstimateMargin = 10;  // percent by which llama.cpp may take more than was estimated
constexpr uint32_t kPromptLength = 512;

// What a context costs.
struct Cost {
  double token = std::numeric_limits<double>::infinity();   // seconds; infinite: it does not fit
  double prompt = std::numeric_limits<double>::infinity();  // of kPromptLength tokens
  uint64_t kv = 0;                                          // bytes,
  uint64_t budget = 0;                                      // of the memory that they are in
};

void add_margin(std::vector<KvChoice>& kv, std::vector<UbatchChoice>& ubatch, uint64_t percent) {
  for (KvChoice& it : kv) {
    it.bytes += it.bytes / 100 * percent;
  }
  for (UbatchChoice& it : ubatch) {
    it.bytes += it.bytes / 100 * percent;
    it.device_bytes += it.device_bytes / 100 * percent;
  }
}

class ContextChooser {
 public:
  explicit ContextChooser(const OpenRequest& request)
      : request_(request),
        trained_(static_cast<uint32_t>(std::clamp<int64_t>(request.model.context_length, 1, INT32_MAX))),
        good_(std::min(kGoodContext, trained_)),
        plain_(std::min(kPlainContext, trained_)) {
    if (const std::filesystem::path& draft = request.options.draft.model; !draft.empty()) {
      if (auto model = open_model(draft)) {  // else opening it will say what is wrong
        draft_.emplace(std::move(*model));
      }
    }
  }

  ContextChoice choose();

 private:
  struct Tried {
    uint32_t context = 0;
    std::string why;
  };

  Cost cost(uint32_t context, uint32_t sequences, uint64_t margin) const;
  Cost cost_of(OpenRequest request, uint64_t margin) const;
  std::string objection(const Cost& cost, double share) const;
  Tried best(uint32_t sequences) const;
  void grow(Tried& tried, uint32_t sequences) const;
  ContextChoice least() const;

  const OpenRequest& request_;
  const uint32_t trained_;
  const uint32_t good_;
  const uint32_t plain_;
  std::optional<Model> draft_;  // it comes out of the same budget, and has a context of its own
  Cost plain_cost_;
};

Cost ContextChooser::cost(uint32_t context, uint32_t sequences, uint64_t margin) const {
  OpenRequest request = request_;
  request.context = context;
  request.sequences = sequences;
  if (!draft_) {
    return cost_of(std::move(request), margin);
  }
  const Cost in_ram = cost_of(beside_draft(request, estimated_draft_place(request, *draft_, std::nullopt)), margin);
  const auto device = device_for_draft(request);
  if (!device) {
    return in_ram;
  }
  const Cost there = cost_of(beside_draft(request, estimated_draft_place(request, *draft_, device)), margin);
  return there.token < in_ram.token ? there : in_ram;
}

Cost ContextChooser::cost_of(OpenRequest request, uint64_t margin) const {
  auto problem = placement_problem(request);
  if (!problem) {
    return {};
  }
  add_margin(problem->kv, problem->ubatch, margin);
  if (problem->gpu) {
    add_margin(problem->gpu->kv, problem->gpu->ubatch, margin);
    put_layers(*problem->gpu, layers_of_devices(*problem->gpu));
    if (problem->gpu->may_leave_layers && !place_on_gpu(*problem)) {
      divide_layers(*problem);
    }
  }
  const auto placement = place(*problem);
  if (!placement) {
    return {};
  }
  return {pass_cost(*problem, *placement, 1).seconds, prompt_seconds(*problem, *placement, kPromptLength, false),
          problem->kv_choice(*placement).bytes, placement->gpu ? problem->gpu->budget() : request_.budget};
}

// What speaks against a context; empty: nothing.
std::string ContextChooser::objection(const Cost& cost, double share) const {
  if (!(cost.token < std::numeric_limits<double>::infinity())) {
    return "more does not fit the budget";
  }
  if (cost.token > plain_cost_.token * kTolerated || cost.prompt > plain_cost_.prompt * kTolerated) {
    return "more would make it slower by over 3 %";
  }
  if (static_cast<double>(cost.kv) > share * static_cast<double>(cost.budget)) {
    return "a longer one would exceed the KV cache's share of the budget";
  }
  return {};
}

// The most context with so many sequences; 0 when not even the plain one fits.
ContextChooser::Tried ContextChooser::best(uint32_t sequences) const {
  Tried tried;
  for (uint32_t context = good_; context > plain_; context = std::max(context / 2, plain_)) {
    std::string why = objection(cost(context, sequences, kEstimateMargin), request_.options.context_share);
    if (why.empty()) {
      tried.context = context;
      return tried;
    }
    tried.why = std::move(why);
  }
  if (cost(plain_, sequences, 0).token < std::numeric_limits<double>::infinity()) {
    tried.context = plain_;
  }
  return tried;
}

void ContextChooser::grow(Tried& tried, uint32_t sequences) const {
  constexpr double kSurplus = 1.0 / kSurplusShare;
  while (tried.context < trained_) {
    const auto more = static_cast<uint32_t>(std::min<uint64_t>(uint64_t{tried.context} * 2, trained_));
    tried.why = objection(cost(more, sequences, kEstimateMargin), kSurplus);
    if (!tried.why.empty()) {
      return;
    }
    tried.context = more;
  }
}

// What fits, when the plain context does not.
ContextChoice ContextChooser::least() const {
  for (uint32_t context = plain_ / 2; context >= kLeastContext; context /= 2) {
    for (uint32_t sequences = request_.sequences; sequences > 0;
         sequences = request_.options.fewer_sequences ? sequences / 2 : 0) {
      if (cost(context, sequences, 0).token < std::numeric_limits<double>::infinity()) {
        return {context, sequences, "more does not fit the budget"};
      }
    }
  }
  return {std::min(kLeastContext, trained_), request_.options.fewer_sequences ? 1 : request_.sequences, ""};
}

ContextChoice ContextChooser::choose() {
  std::optional<ContextChoice> chosen;
  for (uint32_t sequences = request_.sequences; sequences > 0; sequences /= 2) {
    if (!chosen) {
      plain_cost_ = cost(plain_, sequences, 0);
    }
    Tried tried = best(sequences);
    if (tried.context >= good_) {
      grow(tried, sequences);
    }
    const bool useful = tried.context >= std::min(kUsefulContext, good_);
    if (tried.context > 0 && (!chosen || (useful && tried.context > chosen->context))) {
      chosen = ContextChoice{tried.context, sequences, tried.context == trained_ ? "" : tried.why};
    }
    if (tried.context >= good_ || !request_.options.fewer_sequences) {
      break;
    }
  }
  return chosen ? *chosen : least();
}

}  // namespace

ContextChoice choose_context(const OpenRequest& request) {
  return ContextChooser(request).choose();
}

std::string context_sentence(const ContextChoice& choice, uint32_t wanted_sequences) {
  std::string text = fmt::format("{} tokens of context", choice.context);
  if (wanted_sequences > 1) {
    text +=
        choice.sequences == 1 ? " for one answer at a time" : fmt::format(" for each of {} answers", choice.sequences);
  }
  if (choice.sequences < wanted_sequences) {
    text += fmt::format(" instead of {}, which would leave less to each", wanted_sequences);
  }
  return text + (choice.why.empty() ? ", all that the model was trained for" : ": " + choice.why);
}

}  // namespace hypura

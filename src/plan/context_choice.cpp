#include "plan/context_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "llama/open/memory_estimate.h"
#include "plan/draft_worth.h"
#include "plan/request_cost.h"

namespace hypura {

namespace {

constexpr double kTolerated = 1.03;       // of the time without more context
constexpr uint64_t kSurplusShare = 8;     // of the budget: one part in so many
constexpr uint64_t kEstimateMargin = 10;  // percent by which llama.cpp may take more than was estimated
// Of the time with cells for one answer, for many of the plain context. Eight at once make 1.8 to 6 times as many
// tokens as one (docs/results.md).
constexpr double kToleratedForMany = 1.25;
constexpr uint32_t kIdleShare = 8;    // of a context: one part in so many for idle conversations,
constexpr uint32_t kLeastIdle = 256;  // where that is so many tokens at least: llama.cpp has cells by as many

// As many cells as all answers could want.
uint32_t most_cells(const OpenRequest& request, uint32_t context) {
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{context} * request.sequences, INT32_MAX));
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
  // For the request's own context.
  uint32_t choose_pool();

 private:
  RequestCost cost(uint32_t context, uint32_t pool, uint64_t margin) const;
  std::string objection(const RequestCost& cost, double share) const;
  bool fits(uint32_t context, uint32_t pool) const;
  uint32_t fitting_pool(uint32_t context, uint32_t pool) const;
  uint32_t least_pool(uint32_t context) const;
  ContextChoice best() const;
  void grow(ContextChoice& chosen) const;
  uint32_t pool_of(uint32_t context) const;
  ContextChoice least() const;

  const OpenRequest& request_;
  const uint32_t trained_;
  const uint32_t good_;
  const uint32_t plain_;
  std::optional<Model> draft_;  // it comes out of the same budget, and has a context of its own
  uint32_t plain_pool_ = 0;     // cells for all answers with the plain context, or less where that is too much
  RequestCost plain_cost_;      // with those
};

RequestCost ContextChooser::cost(uint32_t context, uint32_t pool, uint64_t margin) const {
  OpenRequest request = request_;
  request.context = context;
  request.pool = pool;
  if (!draft_) {
    return request_cost(request, margin);
  }
  const RequestCost in_ram =
      request_cost(beside_draft(request, estimated_draft_place(request, *draft_, std::nullopt)), margin);
  const auto device = device_for_draft(request);
  if (!device) {
    return in_ram;
  }
  const RequestCost there =
      request_cost(beside_draft(request, estimated_draft_place(request, *draft_, device)), margin);
  return there.token < in_ram.token ? there : in_ram;
}

// What speaks against a context; empty: nothing.
std::string ContextChooser::objection(const RequestCost& cost, double share) const {
  if (!cost.fits()) {
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

bool ContextChooser::fits(uint32_t context, uint32_t pool) const {
  return cost(context, pool, 0).fits();
}

// So many cells, or half as many and so on; one context where more does not fit, or makes one answer too slow.
uint32_t ContextChooser::fitting_pool(uint32_t context, uint32_t pool) const {
  const double alone = cost(context, context, 0).token;
  while (pool > context && !(cost(context, pool, 0).token <= alone * kToleratedForMany)) {
    pool = std::max(pool / 2, context);
  }
  return pool;
}

// What is not given up for a little speed: one context, and the plain one for each answer.
uint32_t ContextChooser::least_pool(uint32_t context) const {
  return std::max(context, std::min(most_cells(request_, context), plain_pool_));
}

// The most context with the least pool; 0 when not even the plain one fits.
ContextChoice ContextChooser::best() const {
  ContextChoice chosen{0, 0, {}};
  for (uint32_t context = good_; context > plain_; context = std::max(context / 2, plain_)) {
    std::string why = objection(cost(context, least_pool(context), kEstimateMargin), request_.options.context_share);
    if (why.empty()) {
      chosen.context = context;
      return chosen;
    }
    chosen.why = std::move(why);
  }
  if (fits(plain_, plain_pool_)) {
    chosen.context = plain_;
  }
  return chosen;
}

// More than the good one, with cells for all.
void ContextChooser::grow(ContextChoice& chosen) const {
  constexpr double kSurplus = 1.0 / kSurplusShare;
  while (chosen.context < trained_) {
    const auto more = static_cast<uint32_t>(std::min<uint64_t>(uint64_t{chosen.context} * 2, trained_));
    chosen.why = objection(cost(more, most_cells(request_, more), kEstimateMargin), kSurplus);
    if (!chosen.why.empty()) {
      return;
    }
    chosen.context = more;
  }
}

uint32_t ContextChooser::pool_of(uint32_t context) const {
  const auto affordable = [&](uint32_t pool) {
    return objection(cost(context, pool, kEstimateMargin), request_.options.context_share).empty();
  };
  const uint32_t least = least_pool(context);
  const uint32_t besides = context / kIdleShare < kLeastIdle ? 0 : context / kIdleShare;
  for (uint32_t pool = most_cells(request_, context); pool > std::max(least, context + besides); pool /= 2) {
    if (affordable(pool)) {
      return pool;
    }
  }
  return least < context + besides && affordable(context + besides) ? context + besides : least;
}

// What fits, when the plain context does not.
ContextChoice ContextChooser::least() const {
  for (uint32_t context = plain_ / 2; context >= kLeastContext; context /= 2) {
    const uint32_t pool = fitting_pool(context, most_cells(request_, context));
    if (fits(context, pool)) {
      return {context, pool, "more does not fit the budget"};
    }
  }
  const uint32_t least = std::min(kLeastContext, trained_);
  return {least, least, ""};
}

ContextChoice ContextChooser::choose() {
  plain_pool_ = fitting_pool(plain_, most_cells(request_, plain_));
  plain_cost_ = cost(plain_, plain_pool_, 0);
  ContextChoice chosen = best();
  if (chosen.context == 0) {
    return least();
  }
  if (chosen.context >= good_) {
    grow(chosen);
  }
  if (chosen.context == trained_) {
    chosen.why.clear();
  }
  chosen.pool = pool_of(chosen.context);
  return chosen;
}

uint32_t ContextChooser::choose_pool() {
  const uint32_t context = request_.context;
  plain_pool_ = fitting_pool(context, std::max(context, most_cells(request_, std::min(context, plain_))));
  plain_cost_ = cost(context, plain_pool_, 0);
  return fits(context, plain_pool_) ? pool_of(context) : context;
}

}  // namespace

ContextChoice choose_context(const OpenRequest& request) {
  return ContextChooser(request).choose();
}

uint32_t choose_pool(const OpenRequest& request) {
  return ContextChooser(request).choose_pool();
}

std::string context_sentence(const OpenRequest& request, const std::string& why) {
  std::string text = fmt::format("{} tokens of context", request.context);
  if (request.sequences > 1) {
    text += fmt::format(" for each of {} answers", request.sequences);
  }
  if (!why.empty()) {
    text += ": " + why;
  } else if (request.options.context == 0) {
    text += ", all that the model was trained for";
  }
  if (request.cells() < request.context * request.sequences) {
    text += fmt::format("; they share a KV cache of {}", request.cells());
  } else if (request.cells() > request.context * request.sequences) {
    text += fmt::format("; the KV cache has {} more, for idle conversations", request.cells() - request.context);
  }
  return text;
}

}  // namespace hypura

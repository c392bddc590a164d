#include "generate/engine/engine_memory.h"

#include <algorithm>

#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

EngineMemory::EngineMemory(OpenModel& model, KeptKv* kept)
    : model_(model),
      kept_(kept),
      kept_most_(kept != nullptr ? model.kept_memory.most : 0),
      kept_reserved_(model.kept_memory.reserved.bytes()),
      ram_limit_(model.budget->limit(Tier::kRam)) {
  const Plan& plan = model.plan;
  const std::string fixed = model.weights != nullptr ? model.weights->why_fixed() : "";
  range_ = memory_range(model.problem, plan.placement, plan.budget, kept_most_, fixed);
  opened_seconds_ = divide_memory(model.problem, plan.placement, range_, kept_most_, range_.most).decode_seconds;
  state_.opened = state_.limit = range_.most;
  state_.least = range_.least;
  state_.fixed = range_.fixed;
  state_.tokens_per_second = plan.prediction.tokens_per_second;
}

MemoryState EngineMemory::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

// Of what can be given back, as reserved.
uint64_t EngineMemory::cache_bytes() const {
  return (model_.weights != nullptr ? model_.weights->cache_bytes() : 0) + model_.kept_memory.reserved.bytes();
}

std::string EngineMemory::sentence_of(uint64_t bytes, std::string_view why) const {
  return bytes == range_.most ? ""
                              : fmt::format("{} of {} in use, the rest is given back ({})", format_bytes(bytes),
                                            format_bytes(range_.most), why);
}

Status EngineMemory::set(uint64_t bytes, std::string_view why) {
  const std::lock_guard one_at_a_time(changing_);
  bytes = std::min(bytes, range_.most);
  if (bytes < range_.least) {
    return fail(ErrorCode::kBudget,
                "{} cannot run in {} as it is open: of the {} that it was opened with it needs {}{}", model_.file->name,
                format_bytes(bytes), format_bytes(range_.most), format_bytes(range_.least),
                range_.fixed.empty() ? "" : fmt::format(", since {}; open it with less", range_.fixed));
  }
  const uint64_t before = state().limit;
  if (bytes == before) {
    return {};
  }
  const uint64_t held = cache_bytes();
  has_changed_ = true;
  if (Status status = divide(bytes); !status) {
    return status;
  }
  const uint64_t holds = cache_bytes();
  const double seconds = divide_memory(model_.problem, model_.plan.placement, range_, kept_most_, bytes).decode_seconds;
  const std::lock_guard lock(mutex_);
  state_.limit = bytes;
  state_.given_back_bytes += held - std::min(held, holds);
  ++(bytes < before ? state_.shrunk : state_.grown);
  state_.tokens_per_second = model_.plan.prediction.tokens_per_second * opened_seconds_ / seconds;
  state_.sentence = sentence_of(bytes, why);
  return {};
}

// The budget's limit goes up before more is taken, and down after it was given back.
Status EngineMemory::divide(uint64_t bytes) {
  const uint64_t limit = ram_limit_ - (range_.most - bytes);
  const uint64_t before = model_.budget->limit(Tier::kRam);
  model_.budget->set_ram_limit(std::max(limit, before));
  const MemoryDivision division = divide_memory(model_.problem, model_.plan.placement, range_, kept_most_, bytes);
  if (model_.weights != nullptr && range_.fixed.empty()) {
    if (Status status = model_.weights->resize(division.experts, division.dense); !status) {
      model_.budget->set_ram_limit(before);
      return status;
    }
  }
  if (kept_ != nullptr) {
    kept_->set_most(division.kept);
    model_.kept_memory.reserved.correct(kept_reserved_ - (kept_most_ - division.kept));
  }
  model_.budget->set_ram_limit(limit);
  return {};
}

}  // namespace hypura

#include "hypura/engine.h"

#include <algorithm>

#include "engine/engine_impl.h"
#include "engine/memory_estimate.h"
#include "hardware/memory.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

// What the process takes beside the budget: code, stacks, allocator. Stated in docs/memory.md, held by the memory test.
constexpr uint64_t kProcessMargin = 64 * kMiB;

struct Budget {
  uint64_t bytes = 0;
  std::string remark;  // when it is not what was asked for
};

Result<Budget> choose_budget(const EngineOptions& options) {
  const auto limits = read_memory_limits();
  if (!limits) {
    return propagate(limits.error());
  }
  const uint64_t allowed = limits->allowed();
  const uint64_t margin = std::max(kProcessMargin, allowed / 20);
  const uint64_t most = allowed > margin ? allowed - margin : 0;
  if (!options.memory) {
    return Budget{most, {}};
  }
  if (*options.memory > most) {
    return Budget{most, fmt::format(" (lowered from {}: this machine{} allows no more)", format_bytes(*options.memory),
                                    limits->cgroup_limit ? "'s cgroup" : "")};
  }
  return Budget{*options.memory, {}};
}

tl::unexpected<Error> too_small(const OpenRequest& request, const PlacementInput& input) {
  return fail(ErrorCode::kBudget,
              "{} cannot run in {}: with {} tokens of context the smallest budget is about {}:\n  {:>10}  weights that "
              "must stay\n  {:>10}  KV cache, compute buffers, vocabulary\n  {:>10}  room to stream the rest through",
              request.model.name, format_bytes(request.budget), request.context, format_bytes(minimum_budget(input)),
              format_bytes(input.fixed), format_bytes(input.runtime),
              format_bytes(minimum_budget(input) - input.fixed - input.runtime));
}

// The best mode that works: what is feasible by estimate is tried, and the next when llama.cpp takes more than that.
Result<OpenParts> open_best(const OpenRequest& request) {
  const PlacementInput input = placement_input(request);
  std::vector<Mode> modes = feasible_modes(input);
  if (!request.options.resident) {
    modes.erase(std::remove(modes.begin(), modes.end(), Mode::kResident), modes.end());
  }
  std::optional<Error> last;
  for (Mode mode : modes) {
    auto parts = mode == Mode::kResident ? open_resident(request) : open_streaming(request, mode);
    if (parts || parts.error().code != ErrorCode::kBudget) {
      return parts;
    }
    last = parts.error();
  }
  if (last) {
    return propagate(*last);
  }
  return too_small(request, input);
}

std::string plan_sentence(const OpenRequest& request, const OpenParts& parts, const std::string& remark) {
  std::string text = fmt::format("{} ({}) in {}{}: ", request.model.name, format_bytes(request.model.bytes),
                                 format_bytes(request.budget), remark);
  if (parts.weights == nullptr) {
    return text + "fits, all weights resident";
  }
  const StreamLayout& layout = parts.weights->layout();
  text += fmt::format("{} resident", format_bytes(layout.resident_bytes + parts.placement.pinned_bytes));
  if (!layout.expert_layers.empty()) {
    const size_t all = layout.expert_layers.size() * layout.experts;
    text +=
        fmt::format(", {} of {} experts cached ({} %)", parts.placement.slots, all, parts.placement.slots * 100 / all);
  }
  if (parts.placement.ring_bytes > 0) {
    text += fmt::format(", {} streamed for every token through a ring of {}",
                        format_bytes(layout.dense_bytes - std::min(layout.dense_bytes, parts.placement.pinned_bytes)),
                        format_bytes(parts.placement.ring_bytes));
  }
  return text + fmt::format("; reads by {}", parts.reader->description());
}

}  // namespace

EngineStats EngineStats::since(const EngineStats& earlier) const {
  EngineStats d = *this;
  d.prompt_tokens -= earlier.prompt_tokens;
  d.decoded_tokens -= earlier.decoded_tokens;
  d.prompt_seconds -= earlier.prompt_seconds;
  d.decode_seconds -= earlier.decode_seconds;
  d.load_seconds -= earlier.load_seconds;
  d.load_bytes -= earlier.load_bytes;
  d.streamed_bytes -= earlier.streamed_bytes;
  d.prefill_bytes -= earlier.prefill_bytes;
  d.decode_bytes -= earlier.decode_bytes;
  d.expert_lookups -= earlier.expert_lookups;
  d.expert_hits -= earlier.expert_hits;
  d.io_wait_seconds -= earlier.io_wait_seconds;
  d.stream_compute_seconds -= earlier.stream_compute_seconds;
  return d;
}

EngineImpl::EngineImpl(Model model, EngineOptions options) : model_(std::move(model)), options_(std::move(options)) {}

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  auto model = open_model(options.model);
  if (!model) {
    return propagate(model.error());
  }
  auto budget = choose_budget(options);
  if (!budget) {
    return propagate(budget.error());
  }
  auto engine = std::make_unique<EngineImpl>(std::move(*model), options);
  if (Status status = engine->open(budget->bytes, budget->remark); !status) {
    return propagate(status.error());
  }
  engine->note_loaded(seconds_since(start));
  return engine;
}

Status EngineImpl::open(uint64_t budget, const std::string& remark) {
  if (model_.name.empty()) {
    model_.name = model_.files.front().path.stem().string();
  }
  if (options_.context > model_.context_length) {
    spdlog::info("context lowered from {} to the {} tokens that the model was trained for", options_.context,
                 model_.context_length);
  }
  const OpenRequest request = {options_, model_, budget, options_.threads > 0 ? options_.threads : usable_cores(),
                               static_cast<uint32_t>(std::min<int64_t>(options_.context, model_.context_length))};
  auto parts = open_best(request);
  if (!parts) {
    return propagate(parts.error());
  }
  parts_.emplace(std::move(*parts));
  context_size_ = request.context;
  chat_.emplace(parts_->llama.get());
  plan_.mode = mode_name(parts_->placement.mode);
  plan_.budget = budget;
  plan_.process = kProcessMargin;
  plan_.sentence = plan_sentence(request, *parts_, remark);
  plan_.ledger = parts_->ledger;
  return {};
}

void EngineImpl::note_loaded(double seconds) {
  stats_.load_seconds = seconds;
  load_bytes_ = bytes_read();
}

uint64_t EngineImpl::bytes_read() const {
  if (parts_->reader == nullptr) {
    return 0;
  }
  const ReaderStats stats = parts_->reader->stats();
  return stats.demand_bytes + stats.prefetch_bytes;
}

EngineStats EngineImpl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.load_bytes = parts_->reader == nullptr ? model_.bytes : load_bytes_;
  stats.streamed_bytes = bytes_read() - load_bytes_;
  if (parts_->weights != nullptr) {
    const StreamStats& stream = parts_->weights->stats();
    stats.expert_lookups = stream.decode_lookups;
    stats.expert_hits = stream.decode_hits;
    stats.io_wait_seconds = stream.io_wait_seconds;
    stats.stream_compute_seconds = stream.compute_seconds;
  }
  stats.memory_peak = read_process_memory().peak;
  return stats;
}

// One llama_decode: one walk over the weights.
Status EngineImpl::pass(const llama_batch& batch, Phase phase) {
  if (parts_->weights != nullptr) {
    parts_->weights->set_phase(phase);
  }
  const uint64_t bytes_before = bytes_read();
  const auto start = std::chrono::steady_clock::now();
  const int result = llama_decode(parts_->context.get(), batch);
  const double seconds = seconds_since(start);
  const uint64_t bytes = bytes_read() - bytes_before;
  const std::lock_guard lock(mutex_);
  if (phase == Phase::kDecode) {
    stats_.decoded_tokens += static_cast<uint64_t>(batch.n_tokens);
    stats_.decode_seconds += seconds;
    stats_.decode_bytes += bytes;
  } else {
    stats_.prompt_tokens += static_cast<uint64_t>(batch.n_tokens);
    stats_.prompt_seconds += seconds;
    stats_.prefill_bytes += bytes;
  }
  if (result == 0) {
    return {};
  }
  if (result == 1) {
    return fail(ErrorCode::kContextFull, "the context of {} tokens is full", llama_n_ctx(parts_->context.get()));
  }
  if (parts_->weights != nullptr) {
    return propagate(parts_->weights->take_error());
  }
  return fail(ErrorCode::kInternal, "llama.cpp could not compute: {}", take_llama_error());
}

}  // namespace hypura

#include "hypura/engine.h"

#include <algorithm>

#include "backend/gpu/gpu_stats.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/open_overridden.h"
#include "history/sustained_rate.h"
#include "llama/llama_guard.h"
#include "llama/llama_runtime.h"
#include "load/workers.h"
#include "machine/memory.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "templates/chat_templates.h"

namespace hypura {

EngineImpl::EngineImpl(OpenModel model, EngineOptions options)
    : options_(std::move(options)), model_(std::move(model)), chat_(*model_.llama, options_.chat_template) {}

Result<std::unique_ptr<EngineImpl>> open_engine(const EngineOptions& options, const PlanOverrides& overrides) {
  const auto start = std::chrono::steady_clock::now();
  if (!options.chat_template.empty()) {
    silence_common_log();
    if (const auto usable = usable_template(options.chat_template); !usable) {
      return fail(ErrorCode::kUsage, "the chat template that is given cannot be used: {}", usable.error().message);
    }
  }
  auto model = load_model(options, overrides);
  if (!model) {
    return propagate(model.error());
  }
  std::unique_ptr<EngineImpl> engine;
  const Status started = guarded(ErrorCode::kBadModel, options.model.string(), [&] {
    engine = std::make_unique<EngineImpl>(std::move(*model), options);
    engine->start_keeping();
    return engine->start_drafting();
  });
  if (!started) {
    return propagate(started.error());
  }
  engine->begin(seconds_since(start));
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options) {
  return open_overridden(options, {});
}

Result<std::unique_ptr<Engine>> open_overridden(const EngineOptions& options, const PlanOverrides& overrides) {
  return open_engine(options, overrides).map([](std::unique_ptr<EngineImpl> engine) -> std::unique_ptr<Engine> {
    return engine;
  });
}

Status EngineImpl::start_drafting() {
  std::vector<std::unique_ptr<Drafter>> drafters;
  if (options_.draft.ngrams) {
    drafters.push_back(make_ngram_drafter());
  }
  if (model_.mtp != nullptr) {
    mtp_ = std::make_unique<MtpHead>(llama(), context(), *model_.mtp, model_.sequences, weights());
    drafters.push_back(make_mtp_drafter(*mtp_));
  }
  if (model_.draft.drafter != nullptr) {
    if (Status status = check_vocabularies(vocabulary(), model_.draft.drafter->vocabulary()); !status) {
      return status;
    }
    model_.draft.drafter->set_threadpool(model_.threadpool.get());
    drafters.push_back(std::move(model_.draft.drafter));
  }
  if (!drafters.empty() && can_cut(llama())) {
    drafting_ = std::make_unique<Drafting>(std::move(drafters), options_.draft.tokens);
  }
  return {};
}

void EngineImpl::start_keeping() {
  if (model_.kept_memory.most > 0) {
    states_ = std::make_unique<LlamaKvStates>(context(), model_.sequences, model_.kept_memory.most);
    kept_ = open_kept_kv(options_, model_, *states_);
  }
  memory_ = std::make_unique<EngineMemory>(model_, kept_.get());
}

void EngineImpl::begin(double load_seconds) {
  counters_.note_loaded(load_seconds);
  load_bytes_ = bytes_read();
  load_busy_seconds_ = busy_seconds();
  if (model_.weights != nullptr) {
    model_.weights->warm_up();
  }
}

double EngineImpl::busy_seconds() const {
  return model_.reader == nullptr ? 0 : model_.reader->stats().busy_seconds;
}

uint64_t EngineImpl::bytes_read() const {
  if (model_.reader == nullptr) {
    return model_.load_bytes;
  }
  const ReaderStats stats = model_.reader->stats();
  return stats.demand_bytes + stats.prefetch_bytes;
}

uint64_t EngineImpl::missed_on_gpus() const {
  uint64_t missed = 0;
  if (model_.weights != nullptr) {
    for (const GpuStats* gpu : model_.weights->gpu_stats()) {
      missed += gpu->decode_lookups - gpu->decode_hits;
    }
  }
  return missed;
}

EngineStats EngineImpl::stats() const {
  EngineStats stats = counters_.read();
  stats.load_bytes = load_bytes_;
  stats.streamed_bytes = bytes_read() - load_bytes_;
  stats.disk_busy_seconds = busy_seconds() - load_busy_seconds_;
  if (model_.reader != nullptr) {
    stats.copy_bytes = model_.reader->stats().copy_bytes;
  }
  if (model_.weights != nullptr) {
    add_streaming(*model_.weights, stats);
  }
  for (const auto& it : model_.layers_workers) {
    add_worker(it->stats(), stats);
  }
  if (plan().device) {
    add_links(plan().device->upload_rates, stats);
  }
  if (kept_ != nullptr) {
    add_kept(kept_->stats(), stats);
  }
  stats.memory_peak = read_process_memory().peak;
  const MemoryState memory = memory_->state();
  stats.memory_limit = memory.limit;
  stats.memory_given_back_bytes = memory.given_back_bytes;
  stats.memory_shrunk = memory.shrunk;
  stats.memory_grown = memory.grown;
  return stats;
}

RoutingTrace EngineImpl::routing() const {
  return model_.weights != nullptr ? model_.weights->routing() : RoutingTrace();
}

// None was lost, and none that the plan did without has joined.
bool EngineImpl::workers_as_planned() const {
  const std::vector<WorkerCounters> workers = stats().workers;
  const std::vector<WorkerPlan>& planned = model_.plan.workers;
  for (size_t i = 0; i < std::min(workers.size(), planned.size()); ++i) {
    if (workers[i].losses > 0 || (workers[i].joined == 1) != planned[i].asked) {
      return false;
    }
  }
  return true;
}

// A model that only dense weights are streamed of teaches what the disk sustains, any other its calibration: both would
// correct plans twice. Where workers compute some of them the disk rests meanwhile, and calibration is what is left to
// learn. With mirrors neither is the model's disk's alone. Where memory was given back, or workers came or went, the
// plan was another.
RunRecord EngineImpl::run_record() const {
  RunRecord record;
  record.routing = routing();
  const Placement& placement = model_.plan.placement;
  if (!options_.mirrors.empty() || memory_->has_changed() || !workers_as_planned()) {
    return record;
  }
  if (placement.mode() == Mode::kDenseStreaming && model_.conditions.alone) {
    record.disk_bytes_per_second = sustained_rate(stats());
    return record;
  }
  const std::lock_guard lock(mutex_);
  record.calibration =
      calibration_.factor(model_.problem, placement, std::min(options_.predicted_at, model_.context_size));
  return record;
}

Status EngineImpl::close() {
  if (std::exchange(closed_, true) || !options_.run_history) {
    return {};
  }
  return save_history(*model_.file, model_.conditions, run_record());
}

// How the pass ended; an error where an assertion ended it: what that left of the context is not used again.
Result<Status> EngineImpl::decode(const Batch& batch) {
  if (broken_) {
    return propagate(*broken_);
  }
  auto result = guarded(
      ErrorCode::kBadModel, model_.file->files.front().path.string() + ": llama.cpp cannot compute this model",
      [&]() -> Result<Status> { return hypura::decode(context(), batch); }, Guarding::kPass);
  if (!result) {
    broken_ = result.error();
    note_lost_memory(fmt::format("{}; {}", result.error().message, take_llama_error()));
    note_lost_worker();
  }
  return result;
}

// `reason`: what llama.cpp, ggml and its backends said. A pass that was given up there leaves the device's work undone,
// so that it cannot go on with less.
void EngineImpl::note_lost_memory(const std::string& reason) {
  const bool no_memory =
      reason.find("out of memory") != std::string::npos || reason.find("OutOfDeviceMemory") != std::string::npos;
  if (no_memory && model_.plan.device) {
    broken_ = Error{ErrorCode::kBudget,
                    fmt::format("{} has no memory left for a pass, since other programs took it ({}): open the model "
                                "again, for which what is free then will be divided",
                                model_.plan.device->name, reason)};
    must_reopen_ = true;
  }
}

void EngineImpl::note_lost_device(const Error& error) {
  std::string reason = error.message;
  if (model_.weights != nullptr && model_.weights->lost()) {
    broken_ = model_.weights->take_error();
    reason = fmt::format("{}; {}", broken_->message, reason);
  }
  note_lost_memory(reason);
  note_lost_worker();
}

void EngineImpl::note_lost_worker() {
  for (const auto& it : model_.layers_workers) {
    const auto lost = it->lost();
    if (!lost) {
      continue;
    }
    broken_ = Error{lost->code, lost->message +
                                    "; open the model again (run the command again; `hypura serve` does so by itself), "
                                    "which goes on without it until it is back"};
    must_reopen_ = true;
    if (it->refuses()) {
      note_refusal(*it);
    }
  }
}

Status EngineImpl::result_of(const Status& computed) {
  if (computed || computed.error().code == ErrorCode::kContextFull) {
    return computed;
  }
  if (model_.weights != nullptr) {
    return propagate(model_.weights->take_error());
  }
  return propagate(computed.error(), "llama.cpp could not compute");
}

Status EngineImpl::pass(const Batch& batch, uint32_t prompt_tokens) {
  // A pass that evaluates a prompt is one for the cache's figures too, whatever rides on it.
  const Phase phase = prompt_tokens > 0 ? Phase::kPrefill : Phase::kDecode;
  if (model_.weights != nullptr) {
    pass_tokens_.clear();
    for (size_t i = 0; i < batch.size(); ++i) {
      pass_tokens_.push_back(batch.token(i));
    }
    model_.weights->begin_pass(phase, pass_tokens_, batch.outputs());
  }
  const uint64_t bytes_before = bytes_read();
  const uint64_t missed_before = missed_on_gpus();
  const auto start = std::chrono::steady_clock::now();
  const auto result = decode(batch);
  Status computed = result ? *result : Status();
  if (model_.weights != nullptr) {
    Status read = model_.weights->end_pass(batch.size(), seconds_since(start));
    computed = computed ? std::move(read) : std::move(computed);
  }
  if (!result) {
    return propagate(*broken_);
  }
  if (!computed) {
    note_lost_device(computed.error());
  }
  if (broken_) {
    return propagate(*broken_);
  }
  if (computed && mtp_ != nullptr) {
    mtp_->note_pass(batch);
  }
  const double seconds = seconds_since(start);
  const uint64_t bytes = bytes_read() - bytes_before;
  counters_.note_pass({static_cast<uint32_t>(batch.size()), prompt_tokens, seconds, bytes});
  if (computed && phase == Phase::kDecode && batch.size() == 1 && !memory_->has_changed()) {
    const std::lock_guard lock(mutex_);
    calibration_.note({seconds, bytes, batch.position(0), missed_on_gpus() - missed_before});
  }
  return result_of(computed);
}

}  // namespace hypura

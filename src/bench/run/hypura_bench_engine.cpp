#include <algorithm>
#include <utility>

#include "bench/run/bench_engine.h"
#include "generate/engine/open_overridden.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// Weights that stay in memory, by the ledger of a streaming plan.
uint64_t weights_that_stay(const Plan& plan) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : plan.ledger) {
    if (line.purpose == Purpose::kResidentWeights || line.purpose == Purpose::kPinnedWeights) {
      bytes += line.bytes;
    }
  }
  return bytes;
}

std::string key_of(const Plan& plan) {
  std::string key =
      fmt::format("{} {} {}", to_string(plan.mode()), to_string(plan.placement.kv_type), plan.placement.ubatch);
  for (const LedgerLine& line : plan.ledger) {
    key += fmt::format(" {}: {}", to_string(line), line.bytes);
  }
  return key;
}

class HypuraBenchEngine final : public BenchEngine {
 public:
  Status open(const RunSpec& spec) override {
    auto engine = open_overridden(engine_options(spec), plan_overrides(spec));
    if (!engine) {
      return propagate(engine.error());
    }
    engine_ = std::move(*engine);
    auto session = engine_->new_session();
    if (!session) {
      return propagate(session.error());
    }
    session_ = std::move(*session);
    return {};
  }

  std::vector<int32_t> tokenize(const std::string& text) const override {
    return session_->tokenize(text, true, false);
  }
  uint32_t context_size() const override { return session_->context_size(); }

  Result<int32_t> prompt(const std::string& text) override {
    GenerateOptions options;
    options.max_tokens = 1;
    options.sampling.temperature = 0;
    auto generated = session_->complete(text, options);
    if (!generated) {
      return propagate(generated.error());
    }
    return generated->tokens.empty() ? kTokenAfterEnd : generated->tokens.front();
  }

  Result<int32_t> next(int32_t token) override {
    auto logits = session_->evaluate({token});
    if (!logits) {
      return propagate(logits.error());
    }
    return static_cast<int32_t>(std::max_element(logits->begin(), logits->end()) - logits->begin());
  }

  Result<std::vector<int32_t>> answer(const std::string& text, uint32_t count,
                                      const std::function<void()>& look) override {
    GenerateOptions options;
    options.max_tokens = static_cast<int32_t>(count);
    options.sampling.temperature = 0;
    options.keep_going = [&look] {
      look();
      return true;
    };
    return session_->complete(text, options).map([](Generated it) { return std::move(it.tokens); });
  }

  EngineStats counters() const override { return engine_->stats(); }

  void describe(RunResult& result) const override {
    result.resident_bytes = weights_that_stay(engine_->plan());
    result.mode = to_string(engine_->plan().mode());
    result.plan = engine_->plan().sentence;
    result.plan_key = key_of(engine_->plan());
  }

  void close() override {
    if (Status saved = engine_->close(); !saved) {
      logger().debug("the run history was not saved: {}", saved.error().message);
    }
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
};

}  // namespace

EngineOptions engine_options(const RunSpec& spec) {
  EngineOptions options;
  options.model = spec.model;
  if (spec.memory > 0) {
    options.memory = spec.memory;
  }
  options.gpu = spec.gpu;
  if (spec.vram > 0) {
    options.vram = spec.vram;
  }
  options.vram_each = spec.vram_each;
  options.mixed_compute = spec.mixed_compute;
  options.context = spec.context;
  options.predicted_at = spec.prompt_tokens + spec.warmup_tokens + spec.tokens / 2;
  options.threads = spec.threads;
  options.ubatch = spec.ubatch;
  options.repack = spec.repack_streamed;
  options.repacked = spec.repacked;
  options.draft = {spec.draft, spec.draft_ngrams, spec.draft_mtp, spec.draft_tokens};
  options.mirrors.assign(spec.mirrors.begin(), spec.mirrors.end());
  options.workers = spec.workers;
  options.split = parse_worker_split(spec.split).value_or(WorkerSplit::kAuto);
  options.trust_network = spec.trust_network;
  options.run_history = spec.run_history;
  return options;
}

PlanOverrides plan_overrides(const RunSpec& spec) {
  PlanOverrides overrides;
  if (!spec.mode.empty()) {
    overrides.mode = parse_mode(spec.mode).value();
  }
  if (!spec.read_ahead.empty()) {
    overrides.read_ahead = parse_read_ahead(spec.read_ahead).value();
  }
  overrides.keep_draft_model = spec.keep_draft_model;
  if (spec.ring_ahead >= 0) {
    overrides.ring_ahead = static_cast<uint64_t>(spec.ring_ahead);
  }
  if (spec.cached_experts >= 0) {
    overrides.cached_experts = static_cast<uint32_t>(spec.cached_experts);
  }
  if (spec.gpu_layers >= 0) {
    overrides.gpu = GpuOverride{spec.gpu, 0, true, GpuLayers{static_cast<uint32_t>(spec.gpu_layers), true}};
  }
  overrides.warm_start = false;
  return overrides;
}

std::unique_ptr<BenchEngine> make_hypura_engine() {
  return std::make_unique<HypuraBenchEngine>();
}

}  // namespace hypura

#include "hypura/generator.h"

#include <algorithm>

#include "generate/engine/live_experts.h"
#include "generate/engine/open_overridden.h"
#include "generate/generator_request.h"
#include "generate/scheduler/llama_pass_model.h"
#include "generate/scheduler/scheduler_thread.h"
#include "llama/llama_context.h"
#include "llama/llama_guard.h"
#include "llama/llama_kv_memory.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Tokens whose embeddings one pass gives. Each takes a row of logits as well, since llama.cpp makes both.
constexpr uint32_t kEmbeddingRows = 16;
// Sequences of the context, in use and idle. llama.cpp has a row of logits for each, of which there are as many anyway;
// but not for MTP layers, which then have no more than they must.
constexpr uint32_t kSequences = 16;
constexpr uint32_t kLeastIdle = 4;
static_assert(kSequences <= kEmbeddingRows);
// Tokens whose routing is noted for live(), when nothing else asked for more.
constexpr uint64_t kRoutingTokens = 64;

constexpr std::string_view kNoTokens = "the model's vocabulary cannot take the request apart";

class GeneratorImpl final : public Generator {
 public:
  GeneratorImpl(std::unique_ptr<EngineImpl> engine, const Options& options, uint32_t parallel)
      : engine_(std::move(engine)),
        card_(make_model_card(engine_->model())),
        plan_(engine_->plan()),
        format_(engine_->chat()),
        bound_(engine_->vocabulary()),
        memory_(engine_->context(), engine_->sequences()),
        cache_(memory_, cells(engine_->context()), engine_->kept()),
        model_(*engine_, parallel),
        live_(*engine_),
        scheduler_(model_, cache_, engine_->drafting(), parallel, options.queue,
                   [this](bool idle) { live_.note_pass(idle); }) {
    if (parallel < options.parallel) {
      plan_.warnings.push_back(
          fmt::format("the budget holds {} answer{} at once, not {}: give more memory or a smaller "
                      "context",
                      parallel, parallel == 1 ? "" : "s", options.parallel));
    }
  }

  Result<AnswerId> submit(AnswerRequest request, std::shared_ptr<AnswerSink> sink) override {
    if (Status queue = scheduler_.check_queue(); !queue) {
      return propagate(queue.error());
    }
    auto job = guarded(ErrorCode::kBadModel, kNoTokens, [&] { return make_answer_job(served(), request); });
    if (!job) {
      return propagate(job.error());
    }
    sink->on_prompt(static_cast<uint32_t>(job->prompt.size()));
    job->sink = std::move(sink);
    return scheduler_.submit(std::move(*job));
  }

  void cancel(AnswerId id) override { scheduler_.cancel(id); }

  Result<Embedding> embed(const EmbedRequest& request) override {
    auto job = guarded(ErrorCode::kBadModel, kNoTokens, [&] { return make_embed_job(served(), request); });
    if (!job) {
      return propagate(job.error());
    }
    return scheduler_.embed(std::move(*job));
  }

  Result<std::string> render(const AnswerRequest& request) const override {
    if (request.prompt) {
      return *request.prompt;
    }
    return guarded(ErrorCode::kBadModel, kNoTokens, [&] { return format_.text(request, request.messages); });
  }

  std::vector<int32_t> tokenize(const std::string& text) const override {
    return guarded(
               ErrorCode::kBadModel, kNoTokens,
               [&]() -> Result<std::vector<int32_t>> { return tokenize_text(engine_->vocabulary(), text, true, true); })
        .value_or(std::vector<int32_t>());
  }

  std::string detokenize(const std::vector<int32_t>& tokens) const override {
    const Vocabulary vocabulary = engine_->vocabulary();
    std::string text;
    for (const int32_t token : tokens) {
      text += vocabulary.has(token) ? token_text(vocabulary, token, true) : "";
    }
    return text;
  }

  const ModelCard& card() const override { return card_; }
  const Plan& plan() const override { return plan_; }

  GeneratorStats stats() const override {
    GeneratorStats stats = scheduler_.stats();
    stats.engine = engine_->stats();
    return stats;
  }

  std::vector<LiveLayer> live() const override { return live_.layers(); }
  uint32_t context_size() const override { return engine_->context_size(); }
  MemoryState memory() const override { return engine_->memory(); }
  Status set_memory(uint64_t bytes, std::string_view why) override { return engine_->set_memory(bytes, why); }
  Status close() override { return engine_->close(); }
  bool must_reopen() const override { return engine_->must_reopen(); }

 private:
  ServedContext served() const {
    return {format_, engine_->vocabulary(), card_, bound_, pooling_of(engine_->model()), context_size()};
  }

  std::unique_ptr<EngineImpl> engine_;
  ModelCard card_;
  Plan plan_;
  ChatFormat format_;
  TextBound bound_;
  LlamaKvMemory memory_;
  KvCache cache_;
  LlamaPassModel model_;
  LiveExperts live_;
  SchedulerThread scheduler_;  // last: its thread uses all of the above
};

}  // namespace

Result<std::unique_ptr<Generator>> Generator::open(const Options& options) {
  return open_overridden(options, {});
}

Result<std::unique_ptr<Generator>> open_overridden(const Generator::Options& options, const PlanOverrides& overrides) {
  const auto most = most_sequences();
  uint32_t parallel = std::clamp(options.parallel, 1U, most);
  for (;; parallel /= 2) {
    EngineOptions wanted = options.engine;
    wanted.sequences = parallel;
    const uint32_t idle = wanted.draft.mtp ? 0 : kSequences - std::min(parallel, kSequences);
    wanted.idle_sequences = std::max(idle, kLeastIdle);
    wanted.outputs = std::max({wanted.outputs, parallel + wanted.idle_sequences, kEmbeddingRows});
    auto engine = open_engine(wanted, overrides);
    if (!engine && (engine.error().code != ErrorCode::kBudget || parallel == 1)) {
      return propagate(engine.error());
    }
    if (!engine) {
      continue;
    }
    if ((*engine)->weights() != nullptr && !wanted.run_history && !wanted.record_routing) {
      (*engine)->weights()->record_routing(kRoutingTokens);
    }
    const uint32_t answers = (*engine)->answers();
    return std::make_unique<GeneratorImpl>(std::move(*engine), options, answers);
  }
}

}  // namespace hypura

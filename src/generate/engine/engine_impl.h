// The engine behind the public interface: passes over an open model, and what they teach.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "chat/chat_prompt.h"
#include "draft/drafting.h"
#include "draft/mtp_head.h"
#include "generate/engine/engine_memory.h"
#include "generate/scheduler/pass_counters.h"
#include "history/calibration.h"
#include "hypura/engine.h"
#include "llama/batch.h"
#include "llama/kept_kv.h"
#include "llama/llama_kv_states.h"
#include "llama/vocabulary.h"
#include "load/open_model.h"
#include "plan/plan_overrides.h"

namespace hypura {

class EngineImpl final : public Engine {
 public:
  EngineImpl(OpenModel model, EngineOptions options);

  // Makes the drafters. Fails with kUsage when the draft model has another vocabulary.
  Status start_drafting();
  // Opens what keeps keys and values beyond the context, where the options say so.
  void start_keeping();
  // The model is open and that took so long. Begins to read the experts that earlier runs used most; whatever is
  // computed ends it.
  void begin(double load_seconds);

  Result<std::unique_ptr<Session>> new_session() override;
  bool has_chat_template() const override { return chat_.explicit_template(); }
  const Plan& plan() const override { return model_.plan; }
  std::vector<LedgerLine> ledger() const override { return model_.budget->ledger(); }
  MemoryState memory() const override { return memory_->state(); }
  Status set_memory(uint64_t bytes, std::string_view why) override { return memory_->set(bytes, why); }
  EngineStats stats() const override;
  std::string model_name() const override { return model_.file->name; }
  RoutingTrace routing() const override;
  Status close() override;

  // Computes `batch`, of which `prompt_tokens` evaluate a prompt.
  Status pass(const Batch& batch, uint32_t prompt_tokens);
  llama_context& context() { return *model_.context; }
  const llama_model& llama() const { return *model_.llama; }
  Vocabulary vocabulary() const { return Vocabulary(llama()); }
  const ChatPrompt& chat() const { return chat_; }
  // Tokens of context that were asked for; llama.cpp rounds its own number up.
  uint32_t context_size() const { return model_.context_size; }
  uint32_t answers() const { return model_.answers; }
  uint32_t sequences() const { return model_.sequences; }
  uint32_t ubatch() const { return model_.ubatch; }
  uint32_t outputs() const { return model_.outputs; }
  const Model& model() const { return *model_.file; }
  // Null when everything is resident.
  StreamedWeights* weights() { return model_.weights.get(); }
  // Null when nothing is drafted.
  Drafting* drafting() { return drafting_.get(); }
  // As PassCounters.
  void note_drafted(uint32_t drafted, uint32_t accepted) { counters_.note_drafted(drafted, accepted); }
  void note_answered(size_t tokens) { counters_.note_answered(tokens); }
  // Null unless the model's MTP layers draft.
  MtpHead* mtp() { return mtp_.get(); }
  // Null where nothing is kept beyond the context.
  KeptKv* kept() { return kept_.get(); }
  void end_session() { in_session_ = false; }
  bool must_reopen() const override {
    return must_reopen_ || std::ranges::any_of(model_.layers_workers, [](const auto& it) { return it->has_ended(); });
  }

 private:
  Result<Status> decode(const Batch& batch);
  Status result_of(const Status& computed);
  void note_lost_memory(const std::string& reason);
  void note_lost_device(const Error& error);
  void note_lost_worker();
  uint64_t bytes_read() const;
  uint64_t missed_on_gpus() const;
  double busy_seconds() const;
  RunRecord run_record() const;
  bool workers_as_planned() const;

  const EngineOptions options_;
  OpenModel model_;
  ChatPrompt chat_;
  std::unique_ptr<MtpHead> mtp_;
  std::unique_ptr<Drafting> drafting_;  // before model_ is gone: it computes with its threads
  std::unique_ptr<LlamaKvStates> states_;
  std::unique_ptr<KeptKv> kept_;
  std::unique_ptr<EngineMemory> memory_;
  PassCounters counters_;
  uint64_t load_bytes_ = 0;
  double load_busy_seconds_ = 0;
  std::vector<int32_t> pass_tokens_;  // of the pass in work
  mutable std::mutex mutex_;          // guards calibration_
  DecodeCalibration calibration_;
  bool in_session_ = false;
  bool closed_ = false;
  std::atomic<bool> must_reopen_{false};
  std::optional<Error> broken_;  // what stopped llama.cpp in a pass; none is made afterwards
};

// Engine::open, for what needs more than the public interface.
Result<std::unique_ptr<EngineImpl>> open_engine(const EngineOptions& options, const PlanOverrides& overrides = {});

}  // namespace hypura

// The engine behind the public interface.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "chat/chat_prompt.h"
#include "draft/drafting.h"
#include "draft/model_drafter.h"
#include "draft/mtp_head.h"
#include "history/decode_pace.h"
#include "hypura/engine.h"
#include "load/open_engine.h"
#include "plan/budget.h"
#include "plan/plan_overrides.h"

namespace hypura {

class EngineImpl final : public Engine {
 public:
  EngineImpl(Model model, EngineOptions options, PlanOverrides overrides);
  ~EngineImpl() override;

  // Opens the model within `budget`, by a plan made from `knowledge`. What is streamed is read from `mirrors` too.
  Status open(const Budget& budget, const Knowledge& knowledge, std::vector<Mirror> mirrors);
  void note_loaded(double seconds);
  // Begins to read the experts that earlier runs used most; whatever is computed ends it.
  void warm_up();

  Result<std::unique_ptr<Session>> new_session() override;
  bool has_chat_template() const override { return chat_->explicit_template(); }
  const PlanSummary& plan() const override { return plan_; }
  EngineStats stats() const override;
  std::string model_name() const override { return model_.name; }
  RoutingTrace routing() const override;

  // One walk over the weights for `batch`, of which `prompt_tokens` evaluate a prompt.
  Status pass(const llama_batch& batch, uint32_t prompt_tokens);
  llama_context* context() { return parts_->context.get(); }
  const llama_model* llama() const { return parts_->llama.get(); }
  const ChatPrompt& chat() const { return *chat_; }
  // Tokens of context that were asked for; llama.cpp rounds its own number up.
  uint32_t context_size() const { return context_size_; }
  uint32_t sequences() const { return options_.sequences; }
  uint32_t ubatch() const { return parts_->ubatch; }
  uint32_t outputs() const { return options_.outputs; }
  const EngineOptions& options() const { return options_; }
  const Model& model() const { return model_; }
  // Null when everything is resident.
  StreamedWeights* weights() { return parts_->weights.get(); }
  // Null when nothing is drafted.
  Drafting* drafting() { return drafting_.get(); }
  // Of the last passes' tokens `drafted` were drafts, the first `right` of which were right.
  void note_drafted(uint32_t drafted, uint32_t right);
  // A session gave so many tokens.
  void note_answered(size_t tokens);
  // Null unless the model's MTP layers draft.
  MtpHead* mtp() { return mtp_.get(); }
  void end_session() { in_session_ = false; }

 private:
  Result<int> decode(const llama_batch& batch);
  uint64_t bytes_read() const;
  double busy_seconds() const;
  // For later runs, when this one ends.
  void remember_routing() const;
  void remember_disk() const;
  void remember_pace() const;
  void summarise(const OpenRequest& request, const Budget& budget, uint64_t process);
  Status open_draft_model(OpenRequest& request);
  Status start_drafting();

  Model model_;
  EngineOptions options_;
  const PlanOverrides overrides_;
  std::optional<OpenParts> parts_;
  std::optional<ChatPrompt> chat_;
  std::unique_ptr<ModelDrafter> draft_model_;  // until drafting_ has it
  uint64_t draft_bytes_ = 0;
  std::string draft_remark_;  // why the draft model is left out; empty when it is not
  std::unique_ptr<MtpHead> mtp_;
  std::unique_ptr<Drafting> drafting_;  // before parts_ is gone: it computes with their threads
  PlanSummary plan_;
  bool in_session_ = false;
  std::optional<Error> broken_;  // what stopped llama.cpp in a pass; none is made afterwards
  uint32_t context_size_ = 0;
  uint64_t load_bytes_ = 0;
  double load_busy_seconds_ = 0;
  mutable std::mutex mutex_;  // guards stats_ and pace_
  EngineStats stats_;
  DecodePace pace_;
  std::string pace_key_;
  std::string profiled_at_;  // when the profile was measured that plan_ is from; empty: there was none
};

// Engine::open, for what needs more than the public interface.
Result<std::unique_ptr<EngineImpl>> open_engine(const EngineOptions& options, const PlanOverrides& overrides = {});

}  // namespace hypura

// The scheduler's model: llama.cpp's context, inside the engine.
#pragma once

#include <vector>

#include "generate/engine/engine_impl.h"
#include "generate/scheduler/pass_model.h"

namespace hypura {

class LlamaPassModel final : public PassModel {
 public:
  // The engine must have been opened with `sequences` at least, and outlive the object.
  LlamaPassModel(EngineImpl& engine, uint32_t sequences);

  PassLimits limits() const override { return limits_; }
  Status pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) override;
  void note_drafted(uint32_t drafted, uint32_t accepted) override { engine_.note_drafted(drafted, accepted); }
  const float* logits(size_t index) override;
  Status check(size_t index) override;
  Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) override;
  uint32_t embed_limit() const override { return embed_limit_; }

 private:
  EngineImpl& engine_;
  llama_context& context_;
  PassLimits limits_;
  uint32_t embed_limit_;
  Batch batch_;
};

}  // namespace hypura

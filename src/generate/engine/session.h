// One conversation over the engine's context: a scheduler of one sequence, driven on the caller's thread.
#pragma once

#include <string>
#include <vector>

#include "generate/engine/engine_impl.h"
#include "generate/scheduler/llama_pass_model.h"
#include "generate/scheduler/pass_scheduler.h"
#include "llama/kv_cache.h"
#include "llama/llama_kv_memory.h"

namespace hypura {

class SessionImpl final : public Session {
 public:
  explicit SessionImpl(EngineImpl& engine);
  ~SessionImpl() override;

  Result<Generated> complete(std::string_view prompt, const GenerateOptions& options) override;
  Result<Generated> chat(const std::vector<ChatMessage>& messages, const GenerateOptions& options) override;
  std::vector<int32_t> tokenize(std::string_view text, bool add_bos, bool parse_special) const override;
  Result<std::vector<float>> evaluate(const std::vector<int32_t>& tokens) override;
  int32_t vocabulary() const override;
  void clear() override;
  uint32_t context_used() const override { return static_cast<uint32_t>(cache_.tokens(0).size()); }
  uint32_t context_size() const override;

 private:
  Status check(const std::vector<int32_t>& prompt) const;
  Result<Generated> generate(std::vector<int32_t> prompt, const GenerateOptions& options);
  Result<StopReason> stop_reason(const AnswerEnd& end) const;

  EngineImpl& engine_;
  Vocabulary vocab_;
  LlamaKvMemory memory_;
  KvCache cache_;
  LlamaPassModel model_;
  PassScheduler scheduler_;
};

}  // namespace hypura

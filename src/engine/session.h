// One conversation over the engine's context.
#pragma once

#include <string>
#include <vector>

#include "engine/engine_impl.h"

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
  uint32_t context_used() const override { return static_cast<uint32_t>(held_.size()); }
  uint32_t context_size() const override;

 private:
  Result<Generated> generate(const std::vector<int32_t>& prompt, const GenerateOptions& options);
  // Makes the context hold `tokens` and nothing else, keeping what it already has of them; the logits after the last
  // one are ready then. False when `options` said to stop.
  Result<bool> prefill(const std::vector<int32_t>& tokens, const GenerateOptions& options);
  Status pass(const int32_t* tokens, size_t count, bool all_logits, Phase phase);
  void keep_prefix(size_t count);

  EngineImpl& engine_;
  llama_context* context_;
  const llama_vocab* vocab_;
  std::vector<int32_t> held_;  // tokens whose keys and values are in the context
};

}  // namespace hypura

// One conversation over the engine's context.
#pragma once

#include <string>
#include <vector>

#include "generate/engine_impl.h"

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
  // The tokens after `prompt`, which is evaluated.
  Status answer(const std::vector<int32_t>& prompt, const GenerateOptions& options, Generated& generated);
  // Makes the context hold `tokens` and nothing else, keeping what it already has of them; the logits after the last
  // one are ready then. False when `options` said to stop.
  Result<bool> prefill(const std::vector<int32_t>& tokens, const GenerateOptions& options);
  Result<int32_t> sample(llama_sampler& sampler, int32_t row);
  Status pass(const int32_t* tokens, size_t count, bool all_logits, Phase phase);
  // One decode pass: evaluates the answer's last token and what is drafted to follow it.
  Status decode(const std::vector<int32_t>& text, size_t room);
  void note_verified();
  void keep_prefix(size_t count);

  EngineImpl& engine_;
  llama_context* context_;
  const llama_vocab* vocab_;
  std::vector<int32_t> held_;  // tokens whose keys and values are in the context

  // Of the last decode pass: what was drafted, how much of it the model has said since, and the time the pass took.
  Draft draft_;
  uint32_t right_ = 0;
  double pass_seconds_ = 0;  // 0: accounted for
};

}  // namespace hypura

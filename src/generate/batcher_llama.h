// The batcher's model: llama.cpp's context, inside the engine.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include "generate/batcher_model.h"
#include "generate/engine_impl.h"
#include "hypura/generator.h"

namespace hypura {

class LlamaBatchModel final : public BatchModel {
 public:
  // The engine must have been opened with `sequences`, and outlive the object.
  LlamaBatchModel(EngineImpl& engine, uint32_t sequences);
  ~LlamaBatchModel() override;
  LlamaBatchModel(const LlamaBatchModel&) = delete;
  LlamaBatchModel& operator=(const LlamaBatchModel&) = delete;

  uint32_t sequences() const override { return sequences_; }
  PassLimits limits() const override { return limits_; }
  bool can_cut() const override { return can_cut_; }
  Status walk(std::span<const PassToken> tokens, uint32_t prompt_tokens) override;
  void pause() override;
  void note_drafted(uint32_t drafted, uint32_t right) override { engine_.note_drafted(drafted, right); }
  const float* logits(size_t index) override;
  Status check(size_t index) override;
  uint32_t cut(uint32_t sequence, uint32_t count) override;
  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override;
  Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) override;
  uint32_t embed_limit() const override { return embed_limit_; }

  // The experts in memory and in use: as they are when nothing is under way, else as they were at most kLiveInterval
  // ago; kIdleInterval, when nobody had asked for kLiveWanted. Any thread.
  std::vector<LiveLayer> live() const;

 private:
  static constexpr std::chrono::milliseconds kLiveInterval{100};
  static constexpr std::chrono::milliseconds kIdleInterval{1000};
  static constexpr std::chrono::seconds kLiveWanted{3};
  static constexpr uint32_t kLiveTokens = 64;  // whose choices count as lately

  Status run(std::span<const PassToken> tokens, uint32_t prompt_tokens);
  bool holds(uint32_t sequence, uint32_t count) const;
  void note_live();

  EngineImpl& engine_;
  llama_context* context_;
  llama_memory_t memory_;
  uint32_t sequences_;
  PassLimits limits_;
  bool can_cut_;
  uint32_t embed_limit_;
  llama_batch batch_;

  mutable std::atomic<std::chrono::steady_clock::time_point::rep> live_until_{0};
  std::chrono::steady_clock::time_point noted_;  // the batcher's thread's
  bool walked_ = false;                          // since then; the batcher's thread's
  mutable std::mutex live_mutex_;
  std::vector<LiveLayer> live_;  // guarded by live_mutex_
};

}  // namespace hypura

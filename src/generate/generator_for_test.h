// For tests: asks a served model and hears the answer out.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "generate/engine/open_overridden.h"
#include "llama/models_for_test.h"
#include "output/requests_for_test.h"
#include "support/units.h"

namespace hypura {

class HearingSink : public AnswerSink {
 public:
  void on_piece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    heard_.append(std::move(piece));
    ++heard_.pieces;
    changed_.notify_all();
  }

  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    heard_.end = std::move(end);
    ended_ = true;
    changed_.notify_all();
  }

  Heard wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
    return heard_;
  }

  void wait_for_text() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heard_.pieces > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Heard heard_;
  bool ended_ = false;
};

inline std::shared_ptr<HearingSink> submit(Generator& generator, const AnswerRequest& request) {
  auto sink = std::make_shared<HearingSink>();
  if (const auto id = generator.submit(request, sink); !id) {
    AnswerEnd end;
    end.stop = StopReason::kError;
    end.error = id.error();
    sink->on_end(std::move(end));
  }
  return sink;
}

inline Heard ask(Generator& generator, const AnswerRequest& request) {
  return submit(generator, request)->wait();
}

// The cosine of the angle between two vectors.
inline double likeness(const std::vector<float>& a, const std::vector<float>& b) {
  const auto dot = [](const std::vector<float>& x, const std::vector<float>& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

// The demo model of experts, streamed.
inline Generator::Options stories(uint32_t parallel) {
  Generator::Options options;
  options.engine.model = kModels / "hypura-stories-moe.gguf";
  options.engine.memory = 32 * kMiB;
  options.engine.context = 256;
  options.engine.threads = 1;
  options.engine.run_history = false;
  options.parallel = parallel;
  return options;
}

inline std::unique_ptr<Generator> open(const Generator::Options& options, const PlanOverrides& overrides = {}) {
  auto generator = open_overridden(options, overrides);
  EXPECT_TRUE(generator) << generator.error().message;
  return generator ? std::move(*generator) : nullptr;
}

inline const std::vector<std::string> kBeginnings = {
    "Once upon a time, there was a little rabbit", "The old king had three sons, and the youngest",
    "It was a cold night. The fox", "\"Where are you going?\" asked the bear"};

// ggml's kernels round differently when they compute several rows at once, and quantised activations make more of it
// (docs/design/batching.md). A little of that is company; something of another answer's would be far more.
inline void expect_same_but_for_rounding(const Heard& alone, const Heard& together) {
  constexpr double kRounding = 1;
  for (size_t i = 0; i < alone.logprobs.size(); ++i) {
    const TokenLogprob& a = alone.logprobs[i];
    const TokenLogprob& b = together.logprobs.at(i);
    if (a.text != b.text) {
      EXPECT_LT(a.top[0].second - a.top[1].second, kRounding) << a.text << " or " << b.text;
      EXPECT_LT(b.top[0].second - b.top[1].second, kRounding);
      return;
    }
    EXPECT_NEAR(a.logprob, b.logprob, kRounding) << a.text;
  }
  EXPECT_EQ(alone.content, together.content);
}

}  // namespace hypura

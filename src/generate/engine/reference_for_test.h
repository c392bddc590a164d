// For tests: the same tokens through plain llama.cpp, with the same kernels, as the truth to compare with.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "generate/engine/open_overridden.h"
#include "generate/scheduler/pass_model.h"
#include "hypura/engine.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"

namespace hypura {

// What of a reference ggml's device of that name computes: as llama.cpp's --n-gpu-layers and --cpu-moe; and with more
// devices its --tensor-split.
struct ReferenceGpu {
  std::string device;
  uint32_t layers = 0;
  bool experts = true;
  std::vector<std::string> more = {};
  std::vector<uint32_t> of_devices = {};  // layers
};

// A plain llama.cpp context over the whole model: resident, repacked only if so asked, passes of `ubatch` tokens.
class Reference {
 public:
  Reference(const std::filesystem::path& path, uint32_t context, uint32_t ubatch, uint32_t threads,
            uint32_t sequences = 1, bool repacked = false, const ReferenceGpu& gpu = {})
      : ubatch_(ubatch) {
    static_cast<void>(init_llama());
    llama_model_params model = llama_model_default_params();
    model.use_extra_bufts = repacked;
    std::vector<ggml_backend_dev_t> devices = {gpu.device.empty() ? nullptr
                                                                  : ggml_backend_dev_by_name(gpu.device.c_str())};
    for (const std::string& name : gpu.more) {
      devices.push_back(ggml_backend_dev_by_name(name.c_str()));
    }
    devices.push_back(nullptr);
    model.devices = devices.data();
    std::vector<float> shares(std::max(llama_max_devices(), gpu.of_devices.size()));
    std::ranges::copy(gpu.of_devices, shares.begin());
    model.tensor_split = gpu.of_devices.empty() ? nullptr : shares.data();
    model.n_gpu_layers = static_cast<int32_t>(gpu.layers);
    const llama_model_tensor_buft_override on_cpu[] = {
        {"\\.ffn_(up|down|gate|gate_up)_(ch|)exps", ggml_backend_cpu_buffer_type()}, {nullptr, nullptr}};
    model.tensor_buft_overrides = gpu.experts ? nullptr : on_cpu;
    model_.reset(llama_model_load_from_file(path.c_str(), model));
    llama_context_params params = llama_context_default_params();
    params.n_ctx = context;
    params.n_batch = params.n_ubatch = params.n_outputs_max = ubatch;
    params.n_seq_max = sequences;
    params.kv_unified = sequences > 1;
    params.n_threads = params.n_threads_batch = static_cast<int32_t>(threads);
    context_.reset(llama_init_from_model(model_.get(), params));
  }

  llama_context* context() { return context_.get(); }
  const llama_model* model() const { return model_.get(); }

  // One pass, of at most `ubatch` tokens.
  bool decode(const std::vector<PassToken>& tokens) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
    batch.n_tokens = static_cast<int32_t>(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      batch.token[i] = tokens[i].token;
      batch.pos[i] = static_cast<llama_pos>(tokens[i].position);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = static_cast<llama_seq_id>(tokens[i].sequence);
      batch.logits[i] = static_cast<int8_t>(tokens[i].output);
    }
    const bool done = llama_decode(context_.get(), batch) == 0;
    llama_batch_free(batch);
    return done;
  }

  // Those of the last pass, of `count` tokens, all of which had some.
  std::vector<float> logits(size_t count) {
    const auto width = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    std::vector<float> all;
    for (size_t i = 0; i < count; ++i) {
      const float* row = llama_get_logits_ith(context_.get(), static_cast<int32_t>(i));
      all.insert(all.end(), row, row + width);
    }
    return all;
  }

  // Logits after each of `tokens`, in passes of at most `ubatch` tokens, from an empty context on if `fresh`.
  std::vector<float> evaluate(const std::vector<int32_t>& tokens, bool fresh) {
    if (fresh) {
      llama_memory_clear(llama_get_memory(context_.get()), true);
      position_ = 0;
    }
    std::vector<float> all;
    for (size_t done = 0; done < tokens.size();) {
      const size_t count = std::min<size_t>(ubatch_, tokens.size() - done);
      std::vector<PassToken> pass;
      for (size_t i = 0; i < count; ++i) {
        pass.push_back({tokens[done + i], position_++, 0, true});
      }
      if (!decode(pass)) {
        return {};
      }
      const std::vector<float> some = logits(count);
      all.insert(all.end(), some.begin(), some.end());
      done += count;
    }
    return all;
  }

 private:
  uint32_t ubatch_;
  uint32_t position_ = 0;
  LlamaModelPtr model_;
  LlamaContextPtr context_;
};

// How far apart logits are, as a share of what they spread over.
inline double distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double squares = 0;
  double differences = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    squares += double{expected[i]} * expected[i];
    differences += (double{actual[i]} - expected[i]) * (double{actual[i]} - expected[i]);
  }
  return std::sqrt(differences / squares);
}

// `count` tokens that are the same on every run and none of them a control token of the test vocabularies.
inline std::vector<int32_t> test_tokens(size_t count) {
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<int32_t>(300 + (i * 7919 + i * i * 31) % 4000);
  }
  return tokens;
}

// The logits after each of `tokens`, which go on from those before, or from an empty context if `fresh`.
struct Expected {
  std::vector<int32_t> tokens;
  bool fresh = false;
  std::vector<float> logits;
};

// Prompts of so many tokens, each followed by `singles` one by one: evaluated once, for all that is compared with it.
inline std::vector<Expected> expect_all(Reference& reference, const std::vector<size_t>& prompts,
                                        const std::vector<int32_t>& singles) {
  std::vector<Expected> all;
  for (const size_t length : prompts) {
    all.push_back({test_tokens(length), true, {}});
    for (const int32_t token : singles) {
      all.push_back({{token}, false, {}});
    }
  }
  for (Expected& it : all) {
    it.logits = reference.evaluate(it.tokens, it.fresh);
  }
  return all;
}

// That the session's logits are those, bit for bit.
inline void expect_same_logits(Session& session, const std::vector<Expected>& all, const std::string& where) {
  for (const Expected& it : all) {
    if (it.fresh) {
      session.clear();
    }
    const auto actual = session.evaluate(it.tokens);
    ASSERT_TRUE(actual) << where << ": " << actual.error().message;
    ASSERT_FALSE(it.logits.empty());
    ASSERT_EQ(actual->size(), it.logits.size());
    ASSERT_EQ(std::memcmp(actual->data(), it.logits.data(), it.logits.size() * sizeof(float)), 0)
        << where << ": logits differ after " << it.tokens.size() << " tokens";
  }
}

// The smallest budget with which `options` can be opened, found by halving to 1 %; `high` must be enough. A `guess`,
// such as what similar options need, saves most of the search.
inline uint64_t smallest_budget(EngineOptions options, uint64_t high, uint64_t guess = 0,
                                const PlanOverrides& overrides = {}) {
  uint64_t low = 0;
  const auto narrow = [&](uint64_t memory) {
    options.memory = memory;
    (open_overridden(options, overrides) ? high : low) = memory;
  };
  if (guess > 0) {
    narrow(guess);
    narrow(low > 0 ? guess + guess / 50 : guess - guess / 50);
  }
  while (high - low > high / 100) {
    narrow(low + (high - low) / 2);
  }
  return high;
}

inline GenerateOptions greedy(int32_t tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.sampling.temperature = 0;
  return options;
}

// Logits that `engine` gives are those of `reference`, which is empty so far, bit for bit: of a prompt of so many
// tokens, of single ones, and of a few.
inline void expect_logits_of(Reference& reference, Engine& engine, size_t prompt, const std::string& where) {
  auto session = engine.new_session();
  ASSERT_TRUE(session) << session.error().message;
  bool fresh = true;
  for (const size_t length : {prompt, size_t{1}, size_t{1}, size_t{7}, size_t{1}}) {
    const auto actual = (*session)->evaluate(test_tokens(length));
    ASSERT_TRUE(actual) << where << ": " << actual.error().message;
    const std::vector<float> expected = reference.evaluate(test_tokens(length), std::exchange(fresh, false));
    ASSERT_EQ(actual->size(), expected.size());
    EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
        << where << ": logits differ after " << length << " tokens";
  }
}

}  // namespace hypura

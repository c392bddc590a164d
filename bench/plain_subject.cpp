#include <algorithm>

#include "bench/subject.h"
#include "engine/llama_runtime.h"
#include "engine/open_engine.h"

namespace hypura::bench {

namespace {

class PlainSubject final : public Subject {
 public:
  Status open(const RunSpec& spec) override {
    if (Status status = init_llama(); !status) {
      return status;
    }
    llama_model_params model = llama_model_default_params();
    model.load_mode = LLAMA_LOAD_MODE_MMAP;
    model.use_extra_bufts = spec.memory == 0;
    take_llama_error();
    model_.reset(llama_model_load_from_file(spec.model.c_str(), model));
    if (model_ == nullptr) {
      return fail(ErrorCode::kBadModel, "{}: plain llama.cpp cannot load this model: {}", spec.model,
                  take_llama_error());
    }
    vocab_ = llama_model_get_vocab(model_.get());
    llama_context_params context = llama_context_default_params();
    context.n_ctx = spec.context;
    context.n_ubatch = 512;
    context.n_outputs_max = 1;  // as the other side: nobody reads more than the last token's logits
    context.n_threads = static_cast<int32_t>(spec.threads);
    context.n_threads_batch = static_cast<int32_t>(spec.threads);
    context_.reset(llama_init_from_model(model_.get(), context));
    if (context_ == nullptr) {
      return fail(ErrorCode::kBudget, "{}: plain llama.cpp could not make a context of {} tokens: {}", spec.model,
                  spec.context, take_llama_error());
    }
    return {};
  }

  std::vector<int32_t> tokenize(const std::string& text) const override {
    std::vector<int32_t> tokens(text.size() + 8);
    const int32_t count = llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                         static_cast<int32_t>(tokens.size()), true, false);
    tokens.resize(static_cast<size_t>(std::max(count, 0)));
    return tokens;
  }

  Result<int32_t> prompt(const std::string& text) override {
    auto token = evaluate(tokenize(text));
    return token && llama_vocab_is_eog(vocab_, *token) ? kTokenAfterEnd : token;
  }
  Result<int32_t> next(int32_t token) override { return evaluate({token}); }
  void begin_counting() override {}
  void end_counting(RunResult& result) const override {
    result.mode = "mmap";
    result.plan = "llama.cpp with mapped weights";
  }

 private:
  Result<int32_t> evaluate(std::vector<int32_t> tokens) {
    const llama_batch batch = llama_batch_get_one(tokens.data(), static_cast<int32_t>(tokens.size()));
    if (const int32_t code = llama_decode(context_.get(), batch); code != 0) {
      return fail(ErrorCode::kInternal, "plain llama.cpp failed to evaluate {} tokens (llama_decode gave {}): {}",
                  tokens.size(), code, take_llama_error());
    }
    const float* logits = llama_get_logits_ith(context_.get(), -1);
    return static_cast<int32_t>(std::max_element(logits, logits + llama_vocab_n_tokens(vocab_)) - logits);
  }

  LlamaModelPtr model_;
  LlamaContextPtr context_;
  const llama_vocab* vocab_ = nullptr;
};

}  // namespace

std::unique_ptr<Subject> make_plain_subject() {
  return std::make_unique<PlainSubject>();
}

}  // namespace hypura::bench

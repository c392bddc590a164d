#include "bench/run/bench_engine.h"
#include "llama/plain_llama.h"
#include "support/fail.h"

namespace hypura {

namespace {

class PlainBenchEngine final : public BenchEngine {
 public:
  Status open(const RunSpec& spec) override {
    auto llama = PlainLlama::open({spec.model, spec.context, spec.threads, spec.repack});
    if (!llama) {
      return propagate(llama.error());
    }
    llama_ = std::move(*llama);
    return {};
  }

  std::vector<int32_t> tokenize(const std::string& text) const override { return llama_->tokenize(text); }
  uint32_t context_size() const override { return llama_->context_size(); }

  Result<int32_t> prompt(const std::string& text) override {
    auto token = llama_->evaluate(tokenize(text));
    return token && llama_->ends_text(*token) ? kTokenAfterEnd : token;
  }
  Result<int32_t> next(int32_t token) override { return llama_->evaluate({token}); }

  EngineStats counters() const override { return {}; }
  void describe(RunResult& result) const override {
    result.mode = "mmap";
    result.plan = "llama.cpp with mapped weights";
  }

 private:
  std::unique_ptr<PlainLlama> llama_;
};

}  // namespace

std::unique_ptr<BenchEngine> make_plain_engine() {
  return std::make_unique<PlainBenchEngine>();
}

}  // namespace hypura

#include <sstream>

#include "bench/run/bench_engine.h"
#include "llama/plain_llama.h"
#include "support/fail.h"

namespace hypura {

namespace {

class PlainBenchEngine final : public BenchEngine {
 public:
  Status open(const RunSpec& spec) override {
    auto llama = PlainLlama::open(plain_options(spec));
    if (!llama) {
      return propagate(llama.error());
    }
    llama_ = std::move(*llama);
    return {};
  }

  std::vector<int32_t> tokenize(const std::string& text) const override { return llama_->tokenize(text); }
  uint32_t context_size() const override { return llama_->context_size(); }

  Result<int32_t> prompt(const std::string& text) override {
    llama_->clear();
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

PlainLlamaOptions plain_options(const RunSpec& spec) {
  PlainLlamaOptions options = {spec.model, spec.context, spec.threads, spec.repack};
  options.pass = spec.ubatch > 0 ? spec.ubatch : options.pass;
  std::istringstream names(spec.names_gpu() ? spec.gpu : "");
  for (std::string name; std::getline(names, name, ',');) {
    const size_t number = options.gpus.size();
    options.gpus.push_back({name, number < spec.gpu_shares.size() ? spec.gpu_shares[number] : 1});
  }
  options.gpu_layers = spec.gpu_layers;
  options.cpu_expert_layers = spec.cpu_expert_layers;
  options.lazy_tables = spec.lazy_tables;
  return options;
}

std::unique_ptr<BenchEngine> make_plain_engine() {
  return std::make_unique<PlainBenchEngine>();
}

}  // namespace hypura

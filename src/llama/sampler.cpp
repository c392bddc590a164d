#include "llama/sampler.h"

namespace hypura {

SamplerPtr make_sampler(const SamplingOptions& options, const llama_vocab* vocab) {
  SamplerPtr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  if (!options.logit_bias.empty()) {
    std::vector<llama_logit_bias> biases;
    for (const auto& [token, bias] : options.logit_bias) {
      biases.push_back({token, bias});
    }
    llama_sampler_chain_add(
        chain.get(),
        llama_sampler_init_logit_bias(llama_vocab_n_tokens(vocab), static_cast<int32_t>(biases.size()), biases.data()));
  }
  const bool penalised =
      options.repeat_penalty != 1.0F || options.presence_penalty != 0 || options.frequency_penalty != 0;
  if (penalised && options.repeat_last_n != 0) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_penalties(
                                             llama_vocab_n_tokens(vocab), options.repeat_last_n, options.repeat_penalty,
                                             options.frequency_penalty, options.presence_penalty));
  }
  if (options.temperature <= 0) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_greedy());
    return chain;
  }
  llama_sampler_chain_add(chain.get(), llama_sampler_init_top_k(options.top_k));
  if (options.typical_p < 1.0F) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_typical(options.typical_p, 1));
  }
  llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p(options.top_p, 1));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_min_p(options.min_p, 1));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_temp(options.temperature));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_dist(options.seed.value_or(LLAMA_DEFAULT_SEED)));
  return chain;
}

}  // namespace hypura

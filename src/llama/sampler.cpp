#include "llama/sampler.h"

#include <algorithm>
#include <cmath>

#include "llama.h"
#include "llama/candidate_array.h"

namespace hypura {

Sampler::Sampler(const SamplingOptions& options, Vocabulary vocabulary)
    : chain_(llama_sampler_chain_init(llama_sampler_chain_default_params())) {
  if (!options.logit_bias.empty()) {
    std::vector<llama_logit_bias> biases;
    for (const auto& [token, bias] : options.logit_bias) {
      biases.push_back({token, bias});
    }
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_logit_bias(
                                              vocabulary.size(), static_cast<int32_t>(biases.size()), biases.data()));
  }
  const bool penalised =
      options.repeat_penalty != 1.0F || options.presence_penalty != 0 || options.frequency_penalty != 0;
  if (penalised && options.repeat_last_n != 0) {
    llama_sampler_chain_add(
        chain_.get(), llama_sampler_init_penalties(vocabulary.size(), options.repeat_last_n, options.repeat_penalty,
                                                   options.frequency_penalty, options.presence_penalty));
  }
  if (options.temperature <= 0) {
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_greedy());
    return;
  }
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_top_k(options.top_k));
  if (options.typical_p < 1.0F) {
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_typical(options.typical_p, 1));
  }
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_top_p(options.top_p, 1));
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_min_p(options.min_p, 1));
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_temp(options.temperature));
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_dist(options.seed.value_or(LLAMA_DEFAULT_SEED)));
}

void Sampler::Deleter::operator()(llama_sampler* sampler) const {
  llama_sampler_free(sampler);
}

std::optional<int32_t> Sampler::choose(std::span<Candidate> candidates) {
  // The samplers do not expect that no candidate is possible.
  if (std::none_of(candidates.begin(), candidates.end(), [](const Candidate& it) { return it.logit > -INFINITY; })) {
    return std::nullopt;
  }
  llama_token_data_array array = as_llama(candidates);
  llama_sampler_apply(chain_.get(), &array);
  const bool any = array.selected >= 0 && static_cast<size_t>(array.selected) < array.size;
  return any && array.data[array.selected].logit > -INFINITY ? std::optional(array.data[array.selected].id)
                                                             : std::nullopt;
}

void Sampler::accept(int32_t token) {
  llama_sampler_accept(chain_.get(), token);
}

}  // namespace hypura

// A chain of llama.cpp's samplers, in its default order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "hypura/engine.h"
#include "llama/candidate.h"
#include "llama/vocabulary.h"

struct llama_sampler;

namespace hypura {

// Penalties, then the likeliest at temperature 0; else top-k, typical-p, top-p, min-p, temperature, and a draw. Belongs
// to one thread at a time.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, Vocabulary vocabulary);

  // One of `candidates`, which it changes and puts into another order; nothing when none may come.
  std::optional<int32_t> choose(std::span<Candidate> candidates);

  // A token came.
  void accept(int32_t token);

 private:
  struct Deleter {
    void operator()(llama_sampler* sampler) const;
  };

  std::unique_ptr<llama_sampler, Deleter> chain_;
};

}  // namespace hypura

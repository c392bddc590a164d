// Tiny models with random weights, one of each kind that llama.cpp's own test of architectures makes: it decides their
// shapes (tests/test-llama-archs.cpp of llama.cpp's source, compiled as it is). For tests.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct ArchModel {
  std::string architecture;  // as general.architecture
  bool experts = false;      // some architectures come with and without

  // Letters, digits and "_".
  std::string name() const;
};

// All that can be made by this llama.cpp, in its order; none before v0.5.0. It leaves out those of which it says that
// its own test cannot run them (encoders without a vocabulary, RWKV, projectors).
std::vector<ArchModel> arch_models();

// Writes the model, of F32 and the same on every run; six experts of which a token takes two. Backends of ggml must be
// loaded. Fails with kInternal, with llama.cpp's reason.
Status write_arch_model(const ArchModel& model, const std::filesystem::path& file);

}  // namespace hypura

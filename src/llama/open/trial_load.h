// Whether llama.cpp can load a model at all, found by letting it, without weights: it allocates nothing for them and
// reads none, but makes all tensors, a context and its graphs. What a file can have wrong shows here, and is an error,
// where it would end the process: an assertion, a tensor that is used and not there. It takes some tens of milliseconds
// for large models.
#pragma once

#include <filesystem>
#include <string_view>

#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

struct TrialOptions {
  // With the texts of its vocabulary, which take longer to read than all else; without, only their number counts.
  bool vocabulary = false;
  bool mtp = false;  // with a context for its MTP layers
};

// Fails with kBadModel, naming the file, when llama.cpp cannot load the model or make a context of it; with kUsage when
// it can, but the model is none that writes text: an encoder, an encoder-decoder, a diffusion model. init_llama must
// have been called. Any thread.
Status try_model(const Model& model, const TrialOptions& options = {});

// open_model, and then try_model with the vocabulary: for what does something with a model's file that takes long, and
// is of no use when it cannot be run. Any thread.
Result<Model> open_and_try(const std::filesystem::path& path);

// The error for a model that `what`, "is an encoder, which generates no text": the same sentence from every command.
tl::unexpected<Error> not_a_writer(const Model& model, std::string_view what);

}  // namespace hypura

// Drafts by a small model with the same vocabulary, all of it in RAM, or on a GPU with memory of its own.
#pragma once

#include <filesystem>
#include <memory>

#include "draft/drafter.h"
#include "llama/vocabulary.h"

struct ggml_backend_device;
struct ggml_threadpool;

namespace hypura {

// Bytes of a draft model's weights, KV cache and compute buffers.
struct DraftBytes {
  uint64_t in_ram = 0;
  uint64_t on_device = 0;
};

// Tokens that one of its passes takes, at most.
inline constexpr uint32_t kDraftPassTokens = 256;

class ModelDrafter : public Drafter {
 public:
  virtual DraftBytes bytes() const = 0;
  virtual Vocabulary vocabulary() const = 0;
  // Computes with these threads instead of its own. The pool must outlive the object.
  virtual void set_threadpool(ggml_threadpool* pool) = 0;
};

struct DrafterParams {
  uint32_t cells = 0;  // that the sequences share
  uint32_t sequences = 1;
  uint32_t threads = 1;
  ggml_backend_device* device = nullptr;  // with memory of its own, where the model is to lie; nullptr: RAM
};

// Opens the model in `file`. Fails with kIo, kBadModel, with kBudget where the device or llama.cpp has no memory for
// it, or kUsage when it is a model that a draft cannot be taken from (an encoder, a recurrent state).
Result<std::unique_ptr<ModelDrafter>> open_model_drafter(const std::filesystem::path& file,
                                                         const DrafterParams& params);

// Whether the two number the same texts alike, and begin and end alike; else a sentence that names the first difference
// (kUsage).
Status check_vocabularies(Vocabulary target, Vocabulary draft);

}  // namespace hypura

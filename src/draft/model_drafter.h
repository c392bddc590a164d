// Drafts by a small model with the same vocabulary, all of it in memory.
#pragma once

#include <filesystem>
#include <memory>

#include "draft/drafter.h"
#include "llama/vocabulary.h"

struct ggml_threadpool;

namespace hypura {

class ModelDrafter : public Drafter {
 public:
  // Bytes of its weights, KV cache and compute buffers.
  virtual uint64_t bytes() const = 0;
  virtual Vocabulary vocabulary() const = 0;
  // Computes with these threads instead of its own. The pool must outlive the object.
  virtual void set_threadpool(ggml_threadpool* pool) = 0;
};

// Opens the model in `file` for `sequences` sequences, which share `cells`. Fails with kIo, kBadModel, or kUsage
// when it is a model that a draft cannot be taken from (an encoder, a recurrent state).
Result<std::unique_ptr<ModelDrafter>> open_model_drafter(const std::filesystem::path& file, uint32_t cells,
                                                         uint32_t sequences, uint32_t threads);

// Whether the two number the same texts alike, and begin and end alike; else a sentence that names the first difference
// (kUsage).
Status check_vocabularies(Vocabulary target, Vocabulary draft);

}  // namespace hypura

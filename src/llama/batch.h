// The tokens of one pass over a model, the pass, and what it gave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "hypura/result.h"

struct llama_batch;
struct llama_context;

namespace hypura {

// Each token is of one sequence. Not thread-safe.
class Batch {
 public:
  // Room for so many tokens. With `state_width` each has a hidden state of so many numbers beside it, as MTP layers
  // read it.
  explicit Batch(size_t room, size_t state_width = 0);
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void clear();
  // As the last row. `output`: its logits are wanted. `state` is copied; only with a state_width.
  void add(int32_t token, uint32_t position, uint32_t sequence, bool output, const float* state = nullptr);
  // No logits are wanted of the rows that are there.
  void want_none();

  size_t size() const;
  size_t outputs() const;
  int32_t token(size_t row) const;
  uint32_t position(size_t row) const;
  uint32_t sequence(size_t row) const;

 private:
  friend Status decode(llama_context& context, const Batch& batch);

  std::unique_ptr<int32_t[]> tokens_;  // with states only: llama_batch_init makes room for one of the two
  std::unique_ptr<llama_batch> batch_;
  size_t state_width_;
};

// One pass, one llama_decode: all layers. With outputs it has ended when this returns, also on a device that computes
// by itself, so that its time is the pass's and not that of who reads the logits. The rows are valid until the next
// one. Fails with kContextFull when the context has no room for the tokens, and with kInternal, giving llama.cpp's
// reason alone.
Status decode(llama_context& context, const Batch& batch);

// The logits of a row of the last pass that had `output`; empty when there are none.
std::span<const float> logits_at(llama_context& context, size_t row);

// Whether passes give embeddings too, and that of such a row; nullptr when there is none.
void give_embeddings(llama_context& context, bool wanted);
const float* embedding_at(llama_context& context, size_t row);

}  // namespace hypura

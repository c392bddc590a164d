#include "llama/batch.h"

#include <algorithm>

#include "llama.h"
#include "llama/llama_runtime.h"
#include "llama/vocabulary.h"
#include "support/fail.h"

namespace hypura {

Batch::Batch(size_t room, size_t state_width)
    : tokens_(state_width > 0 ? std::make_unique<int32_t[]>(room) : nullptr),
      batch_(std::make_unique<llama_batch>(
          llama_batch_init(static_cast<int32_t>(room), static_cast<int32_t>(state_width), 1))),
      state_width_(state_width) {
  if (tokens_ != nullptr) {
    batch_->token = tokens_.get();
  }
}

Batch::~Batch() {
  if (tokens_ != nullptr) {
    batch_->token = nullptr;
  }
  llama_batch_free(*batch_);
}

void Batch::clear() {
  batch_->n_tokens = 0;
}

void Batch::add(int32_t token, uint32_t position, uint32_t sequence, bool output, const float* state) {
  const auto row = static_cast<size_t>(batch_->n_tokens++);
  batch_->token[row] = token;
  batch_->pos[row] = static_cast<llama_pos>(position);
  batch_->n_seq_id[row] = 1;
  batch_->seq_id[row][0] = static_cast<llama_seq_id>(sequence);
  batch_->logits[row] = static_cast<int8_t>(output);
  if (state_width_ > 0) {
    std::copy_n(state, state_width_, batch_->embd + row * state_width_);
  }
}

void Batch::want_none() {
  std::fill_n(batch_->logits, batch_->n_tokens, int8_t{0});
}

size_t Batch::size() const {
  return static_cast<size_t>(batch_->n_tokens);
}

size_t Batch::outputs() const {
  return static_cast<size_t>(
      std::count_if(batch_->logits, batch_->logits + batch_->n_tokens, [](int8_t it) { return it != 0; }));
}

int32_t Batch::token(size_t row) const {
  return batch_->token[row];
}

uint32_t Batch::position(size_t row) const {
  return static_cast<uint32_t>(batch_->pos[row]);
}

uint32_t Batch::sequence(size_t row) const {
  return static_cast<uint32_t>(batch_->seq_id[row][0]);
}

Status decode(llama_context& context, const Batch& batch) {
  const int32_t code = llama_decode(&context, *batch.batch_);
  if (code == 0) {
    if (batch.outputs() > 0) {
      llama_synchronize(&context);
    }
    return {};
  }
  if (code == 1) {
    return fail(ErrorCode::kContextFull, "the context of {} tokens is full", llama_n_ctx(&context));
  }
  return fail(ErrorCode::kInternal, "{}", take_llama_error());
}

std::span<const float> logits_at(llama_context& context, size_t row) {
  const float* logits = llama_get_logits_ith(&context, static_cast<int32_t>(row));
  const auto width = static_cast<size_t>(Vocabulary(*llama_get_model(&context)).size());
  return {logits, logits == nullptr ? 0 : width};
}

void give_embeddings(llama_context& context, bool wanted) {
  llama_set_embeddings(&context, wanted);
}

const float* embedding_at(llama_context& context, size_t row) {
  return llama_get_embeddings_ith(&context, static_cast<int32_t>(row));
}

}  // namespace hypura

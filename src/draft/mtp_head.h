// Drafts by the model's own MTP layers, in a second context of llama.cpp on the same model.
//
// An MTP layer reads a token together with the model's hidden state before it, and says what comes after that token. It
// has keys and values of its own, so it must see every token that the model sees. That is put off: a pass leaves its
// last tokens and their states here, and they are computed when a draft is wanted, or when there are too many of them.
// By then it is known which of them the model said: a draft that was wrong is never computed here.
//
// For llama.cpp's own way see common_speculative_impl_draft_mtp in its common/speculative.cpp.
//
// Not thread-safe: used on the thread of the passes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "llama/batch.h"
#include "llama/vocabulary.h"

struct llama_context;
struct llama_model;

namespace hypura {

class StreamedWeights;

class MtpHead {
 public:
  // `passes` is the context of the model's passes, `head` the one of its MTP layers, for as many sequences. `weights`
  // is asked why computing failed; nullptr when nothing is streamed. All must outlive the object.
  MtpHead(const llama_model& model, llama_context& passes, llama_context& head, uint32_t sequences,
          StreamedWeights* weights);

  // The model has just computed `batch`. What a sequence was known to hold from the batch's positions on is forgotten.
  void note_pass(const Batch& batch);

  // An empty sequence holds the first `count` tokens of another now.
  void copy(uint32_t from, uint32_t to, uint32_t count);

  // A sequence has forgotten all but its first `left` tokens.
  void forget(uint32_t sequence, uint32_t left);

  // As Drafter. After a failure nothing more is computed here, and every later call fails.
  Result<std::vector<int32_t>> draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most);

  // Cells that its context needs beyond those of the model's, where sequences share some: what waits to be computed is
  // computed for each.
  static constexpr uint32_t cells_besides(uint32_t sequences) { return sequences > 1 ? sequences * kMostWaiting : 0; }

  // Bytes of the object, for states `width` wide and passes of `ubatch` tokens.
  static uint64_t bytes(uint32_t ubatch, uint32_t sequences, uint64_t width);

 private:
  // Tokens that wait for each sequence, at most. More than a draft has: those are never computed before it is known
  // which of them are accepted.
  static constexpr uint32_t kMostWaiting = 64;

  struct Followed {
    uint32_t computed = 0;         // tokens whose keys and values are in the head's context
    std::vector<int32_t> waiting;  // those after them
    std::vector<float> states;     // the model's hidden state before each of these
    std::vector<float> last;       // and the one after the last
    uint32_t known() const { return computed + static_cast<uint32_t>(waiting.size()); }
  };

  void note(uint32_t sequence, const Batch& batch, std::span<const size_t> rows);
  void forget_from(uint32_t sequence, uint32_t count);
  Status compute_waiting(uint32_t sequence);
  void add(uint32_t sequence, int32_t token, const float* state);
  Status compute(uint32_t sequence);
  Status run_head(uint32_t sequence, uint32_t first, uint32_t layer);
  Result<std::vector<int32_t>> draft_on(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most);

  llama_context& passes_;
  llama_context& head_;
  StreamedWeights* weights_;
  Vocabulary vocab_;
  size_t width_;                    // of a hidden state
  uint32_t layers_;                 // with several each drafts one token further
  size_t room_;                     // tokens of a pass
  std::vector<Followed> followed_;  // by sequence
  Batch batch_;
  Status status_;  // of the first failure
};

// `head` must outlive it.
std::unique_ptr<Drafter> make_mtp_drafter(MtpHead& head);

}  // namespace hypura

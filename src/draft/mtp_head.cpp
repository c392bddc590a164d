#include "draft/mtp_head.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/streamed_weights.h"
#include "llama-ext.h"
#include "llama/llama_runtime.h"
#include "support/fail.h"

namespace hypura {

namespace {

class MtpDrafter final : public Drafter {
 public:
  explicit MtpDrafter(MtpHead& head) : head_(head) {}

  Result<std::vector<int32_t>> draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) override {
    return head_.draft(sequence, tokens, most);
  }

  void note_copied(uint32_t from, uint32_t to, uint32_t count) override { head_.copy(from, to, count); }

 private:
  MtpHead& head_;
};

}  // namespace

std::unique_ptr<Drafter> make_mtp_drafter(MtpHead& head) {
  return std::make_unique<MtpDrafter>(head);
}

MtpHead::MtpHead(llama_context& model, llama_context& head, uint32_t sequences, StreamedWeights* weights)
    : model_(&model),
      head_(&head),
      weights_(weights),
      vocab_(llama_model_get_vocab(llama_get_model(&model))),
      width_(static_cast<size_t>(llama_model_n_embd_out(llama_get_model(&model)))),
      layers_(llama_model_n_layer_nextn(llama_get_model(&model))),
      room_(llama_n_batch(&head)),
      followed_(sequences),
      batch_(llama_batch_init(static_cast<int32_t>(room_), static_cast<int32_t>(width_), 1)),
      tokens_(room_) {
  batch_.token = tokens_.data();  // llama_batch_init makes room for tokens or for states, and here go both
  for (Followed& it : followed_) {
    it.last.assign(width_, 0);
    it.states.reserve(kMostWaiting * width_);
  }
}

MtpHead::~MtpHead() {
  batch_.token = nullptr;
  llama_batch_free(batch_);
}

uint64_t MtpHead::bytes(uint32_t ubatch, uint32_t sequences, uint64_t width) {
  return (ubatch + sequences * (kMostWaiting + 1)) * width * sizeof(float);
}

void MtpHead::note_pass(const llama_batch& batch) {
  std::vector<int32_t> rows;
  for (uint32_t sequence = 0; status_ && sequence < followed_.size(); ++sequence) {
    rows.clear();
    for (int32_t row = 0; row < batch.n_tokens; ++row) {
      if (batch.seq_id[row][0] == static_cast<llama_seq_id>(sequence)) {
        rows.push_back(row);
      }
    }
    if (!rows.empty()) {
      note(sequence, batch, rows);
    }
  }
}

// `rows` of the batch are the sequence's, in its order.
void MtpHead::note(uint32_t sequence, const llama_batch& batch, std::span<const int32_t> rows) {
  Followed& it = followed_[sequence];
  forget_from(sequence, static_cast<uint32_t>(batch.pos[rows.front()]));
  const bool wait = rows.size() <= kMostWaiting;
  if (!wait || it.waiting.size() + rows.size() > kMostWaiting) {
    status_ = compute_waiting(sequence);
  }
  size_t filled = 0;
  for (int32_t row : rows) {
    if (!status_) {
      return;
    }
    if (wait) {
      it.waiting.push_back(batch.token[row]);
      it.states.insert(it.states.end(), it.last.begin(), it.last.end());
    } else {
      fill(filled, batch.token[row], sequence, it.computed + static_cast<uint32_t>(filled), it.last.data());
      ++filled;
    }
    std::copy_n(llama_get_embeddings_nextn_ith(model_, row), width_, it.last.begin());
    if (filled == room_ || (filled > 0 && row == rows.back())) {
      status_ = compute(sequence, it.computed, std::exchange(filled, 0));
    }
  }
}

// What the sequence holds after its first `count` tokens. Where that is in the middle of what was computed, the state
// before the next token is not there any more: it is taken to be nothing, as before the first.
void MtpHead::forget_from(uint32_t sequence, uint32_t count) {
  Followed& it = followed_[sequence];
  if (count == it.known()) {
    return;
  }
  if (count > it.computed && count < it.known()) {
    const size_t kept = count - it.computed;
    it.last.assign(it.states.begin() + static_cast<std::ptrdiff_t>(kept * width_),
                   it.states.begin() + static_cast<std::ptrdiff_t>((kept + 1) * width_));
    it.waiting.resize(kept);
    it.states.resize(kept * width_);
    return;
  }
  const bool first_waits = count == it.computed;  // and something waits, or all would be known
  if (first_waits) {
    it.last.assign(it.states.begin(), it.states.begin() + static_cast<std::ptrdiff_t>(width_));
  } else {
    it.last.assign(width_, 0);
  }
  it.waiting.clear();
  it.states.clear();
  // Tokens that were never seen here leave a gap: then what is before it goes as well.
  const uint32_t from = count > it.computed ? 0 : count;
  llama_memory_seq_rm(llama_get_memory(head_), static_cast<llama_seq_id>(sequence), static_cast<llama_pos>(from), -1);
  it.computed = count;
}

void MtpHead::copy(uint32_t from, uint32_t to, uint32_t count) {
  const Followed& source = followed_[from];
  Followed& it = followed_[to];
  forget_from(to, 0);
  if (count > source.known()) {
    return;
  }
  it.computed = std::min(source.computed, count);
  if (it.computed > 0) {
    llama_memory_seq_cp(llama_get_memory(head_), static_cast<llama_seq_id>(from), static_cast<llama_seq_id>(to), 0,
                        static_cast<llama_pos>(it.computed));
  }
  it.waiting = source.waiting;
  it.states = source.states;
  it.last = source.last;
  if (count < source.computed) {
    it.waiting.clear();
    it.states.clear();
    it.last.assign(width_, 0);
  } else {
    forget_from(to, count);
  }
}

void MtpHead::fill(size_t row, int32_t token, uint32_t sequence, uint32_t position, const float* state) {
  batch_.token[row] = token;
  batch_.pos[row] = static_cast<llama_pos>(position);
  batch_.n_seq_id[row] = 1;
  batch_.seq_id[row][0] = static_cast<llama_seq_id>(sequence);
  batch_.logits[row] = 0;
  std::copy_n(state, width_, batch_.embd + row * width_);
}

Status MtpHead::compute_waiting(uint32_t sequence) {
  Followed& it = followed_[sequence];
  Status status;
  size_t filled = 0;
  for (size_t i = 0; status && i < it.waiting.size(); ++i) {
    fill(filled, it.waiting[i], sequence, it.computed + static_cast<uint32_t>(filled), it.states.data() + i * width_);
    ++filled;
    if (filled == room_ || i + 1 == it.waiting.size()) {
      status = compute(sequence, it.computed, std::exchange(filled, 0));
    }
  }
  it.waiting.clear();
  it.states.clear();
  return status;
}

// The first `tokens` rows of the batch are those of the sequence from position `first` on. Every layer has keys and
// values of its own, in the same cells.
Status MtpHead::compute(uint32_t sequence, uint32_t first, size_t tokens) {
  batch_.n_tokens = static_cast<int32_t>(tokens);
  for (int32_t layer = 0; layer < layers_; ++layer) {
    if (Status status = run_head(sequence, first, layer); !status) {
      return status;
    }
  }
  followed_[sequence].computed += static_cast<uint32_t>(tokens);
  return {};
}

// Computes the batch with one of the layers, in place of what the sequence holds from position `first` on.
Status MtpHead::run_head(uint32_t sequence, uint32_t first, int32_t layer) {
  if (layer > 0) {
    llama_memory_seq_rm(llama_get_memory(head_), static_cast<llama_seq_id>(sequence), static_cast<llama_pos>(first),
                        -1);
  }
  llama_set_nextn_layer_offset(head_, layer);
  if (llama_decode(head_, batch_) == 0) {
    return {};
  }
  const std::string reason = weights_ == nullptr ? take_llama_error() : weights_->take_error().message;
  return fail(ErrorCode::kInternal, "the MTP layers could not compute: {}", reason);
}

Result<std::vector<int32_t>> MtpHead::draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) {
  if (!status_) {
    return propagate(status_.error());
  }
  const auto last = static_cast<uint32_t>(tokens.size() - 1);  // which the model has not seen yet
  if (most == 0 || tokens.empty() || followed_[sequence].known() < last) {
    return std::vector<int32_t>();
  }
  forget_from(sequence, last);
  status_ = compute_waiting(sequence);
  if (!status_) {
    return propagate(status_.error());
  }
  auto drafted = draft_on(sequence, tokens, most);
  if (!drafted) {
    status_ = propagate(drafted.error());
  }
  // What was drafted is not known to be accepted, and the token before it comes again with the pass.
  llama_memory_seq_rm(llama_get_memory(head_), static_cast<llama_seq_id>(sequence), static_cast<llama_pos>(last), -1);
  return drafted;
}

// One layer is used again and again, on what it said itself. Of several each is used once; it has not seen what is
// drafted, so that it is given all of it.
Result<std::vector<int32_t>> MtpHead::draft_on(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) {
  const auto first = static_cast<uint32_t>(tokens.size()) - 1;
  const bool chain = layers_ > 1;
  const auto rows = static_cast<uint32_t>(room_);
  most = chain ? std::min({most, static_cast<uint32_t>(layers_), rows}) : most;
  std::vector<int32_t> drafted;
  fill(0, tokens.back(), sequence, first, followed_[sequence].last.data());
  for (uint32_t step = 0; step < most; ++step) {
    const size_t row = chain ? step : 0;
    batch_.n_tokens = static_cast<int32_t>(row) + 1;
    batch_.logits[row] = 1;
    if (Status status = run_head(sequence, first, chain ? static_cast<int32_t>(step) : 0); !status) {
      return propagate(status.error());
    }
    batch_.logits[row] = 0;
    const auto last = static_cast<int32_t>(row);
    const std::span<const float> logits(llama_get_logits_ith(head_, last),
                                        static_cast<size_t>(llama_vocab_n_tokens(vocab_)));
    const auto token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    drafted.push_back(token);
    if (drafted.size() == most || llama_vocab_is_eog(vocab_, token)) {
      break;
    }
    fill(chain ? row + 1 : 0, token, sequence, first + step + 1, llama_get_embeddings_nextn_ith(head_, last));
  }
  return drafted;
}

}  // namespace hypura

#include "draft/mtp_head.h"

#include <algorithm>
#include <utility>

#include "backend/streamed_weights.h"
#include "llama/llama_context.h"
#include "llama/logits.h"
#include "llama/mtp_context.h"
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
  void note_forgotten(uint32_t sequence, uint32_t left) override { head_.forget(sequence, left); }

 private:
  MtpHead& head_;
};

}  // namespace

std::unique_ptr<Drafter> make_mtp_drafter(MtpHead& head) {
  return std::make_unique<MtpDrafter>(head);
}

MtpHead::MtpHead(const llama_model& model, llama_context& passes, llama_context& head, uint32_t sequences,
                 StreamedWeights* weights)
    : passes_(passes),
      head_(head),
      weights_(weights),
      vocab_(model),
      width_(embedding_width(model)),
      layers_(mtp_layers(model)),
      room_(pass_tokens(head)),
      followed_(sequences),
      batch_(room_, width_) {
  for (Followed& it : followed_) {
    it.last.assign(width_, 0);
    it.states.reserve(kMostWaiting * width_);
  }
}

uint64_t MtpHead::bytes(uint32_t ubatch, uint32_t sequences, uint64_t width) {
  return (ubatch + sequences * (kMostWaiting + 1)) * width * sizeof(float);
}

void MtpHead::note_pass(const Batch& batch) {
  std::vector<size_t> rows;
  for (uint32_t sequence = 0; status_ && sequence < followed_.size(); ++sequence) {
    rows.clear();
    for (size_t row = 0; row < batch.size(); ++row) {
      if (batch.sequence(row) == sequence) {
        rows.push_back(row);
      }
    }
    if (!rows.empty()) {
      note(sequence, batch, rows);
    }
  }
}

// `rows` of the batch are the sequence's, in its order.
void MtpHead::note(uint32_t sequence, const Batch& batch, std::span<const size_t> rows) {
  Followed& it = followed_[sequence];
  forget_from(sequence, batch.position(rows.front()));
  const bool wait = rows.size() <= kMostWaiting;
  if (!wait || it.waiting.size() + rows.size() > kMostWaiting) {
    status_ = compute_waiting(sequence);
  }
  for (const size_t row : rows) {
    if (!status_) {
      return;
    }
    if (wait) {
      it.waiting.push_back(batch.token(row));
      it.states.insert(it.states.end(), it.last.begin(), it.last.end());
    } else {
      add(sequence, batch.token(row), it.last.data());
    }
    std::copy_n(state_at(passes_, row), width_, it.last.begin());
    if (batch_.size() == room_ || (!wait && row == rows.back())) {
      status_ = compute(sequence);
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
  forget_tokens(head_, sequence, from);
  it.computed = count;
}

void MtpHead::forget(uint32_t sequence, uint32_t left) {
  if (left < followed_[sequence].known()) {
    forget_from(sequence, left);
  }
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
    copy_beginning(head_, from, to, it.computed);
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

// As the next token of what is to be computed of the sequence.
void MtpHead::add(uint32_t sequence, int32_t token, const float* state) {
  batch_.add(token, followed_[sequence].computed + static_cast<uint32_t>(batch_.size()), sequence, false, state);
}

Status MtpHead::compute_waiting(uint32_t sequence) {
  Followed& it = followed_[sequence];
  Status status;
  for (size_t i = 0; status && i < it.waiting.size(); ++i) {
    add(sequence, it.waiting[i], it.states.data() + i * width_);
    if (batch_.size() == room_ || i + 1 == it.waiting.size()) {
      status = compute(sequence);
    }
  }
  it.waiting.clear();
  it.states.clear();
  return status;
}

// Computes the batch, the next tokens of the sequence. Every layer has keys and values of its own, in the same cells.
Status MtpHead::compute(uint32_t sequence) {
  Followed& it = followed_[sequence];
  for (uint32_t layer = 0; layer < layers_; ++layer) {
    if (Status status = run_head(sequence, it.computed, layer); !status) {
      return status;
    }
  }
  it.computed += static_cast<uint32_t>(batch_.size());
  batch_.clear();
  return {};
}

// Computes the batch with one of the layers, in place of what the sequence holds from position `first` on.
Status MtpHead::run_head(uint32_t sequence, uint32_t first, uint32_t layer) {
  if (layer > 0) {
    forget_tokens(head_, sequence, first);
  }
  use_mtp_layer(head_, layer);
  const Status status = decode(head_, batch_);
  if (status) {
    return {};
  }
  const Error reason = weights_ == nullptr ? status.error() : weights_->take_error();
  return fail(ErrorCode::kInternal, "the MTP layers could not compute: {}", reason.message);
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
  forget_tokens(head_, sequence, last);
  return drafted;
}

// One layer is used again and again, on what it said itself. Of several each is used once; it has not seen what is
// drafted, so that it is given all of it.
Result<std::vector<int32_t>> MtpHead::draft_on(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) {
  const auto first = static_cast<uint32_t>(tokens.size()) - 1;
  const bool chain = layers_ > 1;
  most = chain ? std::min({most, layers_, static_cast<uint32_t>(room_)}) : most;
  std::vector<int32_t> drafted;
  batch_.clear();
  batch_.add(tokens.back(), first, sequence, true, followed_[sequence].last.data());
  for (uint32_t step = 0; step < most; ++step) {
    if (Status status = run_head(sequence, first, chain ? step : 0); !status) {
      return propagate(status.error());
    }
    const size_t last = batch_.size() - 1;
    const int32_t token = likeliest(logits_at(head_, last));
    drafted.push_back(token);
    if (drafted.size() == most || vocab_.ends_text(token)) {
      break;
    }
    if (chain) {
      batch_.want_none();
    } else {
      batch_.clear();
    }
    batch_.add(token, first + step + 1, sequence, true, state_at(head_, last));
  }
  batch_.clear();
  return drafted;
}

}  // namespace hypura

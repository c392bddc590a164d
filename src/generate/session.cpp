#include "generate/session.h"

#include <algorithm>

#include "generate/batcher_plan.h"
#include "llama/llama_guard.h"
#include "llama/logits.h"
#include "llama/sampler.h"
#include "output/text_stream.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "tokenizer/common_beginning.h"

namespace hypura {

Result<std::unique_ptr<Session>> EngineImpl::new_session() {
  if (in_session_) {
    return fail(ErrorCode::kUsage, "the engine has one session at a time and it is in use");
  }
  in_session_ = true;
  return std::make_unique<SessionImpl>(*this);
}

SessionImpl::SessionImpl(EngineImpl& engine)
    : engine_(engine), context_(engine.context()), vocab_(llama_model_get_vocab(engine.llama())) {}

SessionImpl::~SessionImpl() {
  clear();
  engine_.end_session();
}

std::vector<int32_t> SessionImpl::tokenize(std::string_view text, bool add_bos, bool parse_special) const {
  return tokenize_text(vocab_, text, add_bos, parse_special);
}

int32_t SessionImpl::vocabulary() const {
  return llama_vocab_n_tokens(vocab_);
}

uint32_t SessionImpl::context_size() const {
  return engine_.context_size();
}

void SessionImpl::clear() {
  keep_prefix(0);
}

// Forgets all but the first `count` tokens. A memory that cannot be cut (a recurrent state) is emptied instead.
void SessionImpl::keep_prefix(size_t count) {
  llama_memory_t memory = llama_get_memory(context_);
  if (count >= held_.size()) {
    return;
  }
  if (!llama_memory_seq_rm(memory, 0, static_cast<llama_pos>(count), -1)) {
    llama_memory_clear(memory, true);
    count = 0;
  }
  held_.resize(count);
}

Status SessionImpl::pass(const int32_t* tokens, size_t count, bool all_logits, Phase phase) {
  llama_batch batch = llama_batch_init(static_cast<int32_t>(count), 0, 1);
  fill_batch(batch, {tokens, count}, held_.size(), 0, all_logits);
  Status status = engine_.pass(batch, phase == Phase::kPrefill ? static_cast<uint32_t>(count) : 0);
  llama_batch_free(batch);
  if (status) {
    held_.insert(held_.end(), tokens, tokens + count);
  } else {
    // llama.cpp may have kept part of the batch.
    const size_t before = held_.size();
    held_.resize(before + count);
    keep_prefix(before);
  }
  return status;
}

Result<bool> SessionImpl::prefill(const std::vector<int32_t>& tokens, const GenerateOptions& options) {
  keep_prefix(std::min<size_t>(common_beginning(held_, tokens),
                               tokens.size() - 1));  // the last token is evaluated anew: its logits are wanted
  for (size_t done = held_.size(); done < tokens.size();) {
    if (options.keep_going && !options.keep_going()) {
      return false;
    }
    const size_t count = std::min<size_t>(engine_.ubatch(), tokens.size() - done);
    if (Status status = pass(tokens.data() + done, count, false, Phase::kPrefill); !status) {
      return propagate(status.error());
    }
    done += count;
  }
  return true;
}

// What of the last draft the model did not say is forgotten.
void SessionImpl::note_verified() {
  Drafting* drafting = engine_.drafting();
  if (drafting == nullptr || pass_seconds_ == 0) {
    return;
  }
  const auto drafted = static_cast<uint32_t>(draft_.tokens.size());
  keep_prefix(held_.size() - (drafted - right_));
  engine_.note_drafted(drafted, right_);
  drafting->note_verified(draft_, right_);
  drafting->note_pass({1, 1, drafted, right_, pass_seconds_, draft_.seconds});
  draft_ = {};
  right_ = 0;
  pass_seconds_ = 0;
}

Status SessionImpl::decode(const std::vector<int32_t>& text, size_t room) {
  Drafting* drafting = engine_.drafting();
  std::vector<int32_t> tokens = {text.back()};
  if (drafting != nullptr) {
    const size_t most = std::min<size_t>({room, context_size() - text.size(), engine_.ubatch() - 1, kMostDrafted});
    draft_ = drafting->draft(0, text, static_cast<uint32_t>(most), 1, 1);
    tokens.insert(tokens.end(), draft_.tokens.begin(), draft_.tokens.end());
  }
  right_ = 0;
  const auto start = std::chrono::steady_clock::now();
  Status status = pass(tokens.data(), tokens.size(), true, Phase::kDecode);
  pass_seconds_ = seconds_since(start);
  return status;
}

Result<Generated> SessionImpl::generate(const std::vector<int32_t>& prompt, const GenerateOptions& options) {
  if (prompt.empty()) {
    return fail(ErrorCode::kUsage, "the prompt is empty, or the vocabulary has no tokens for it");
  }
  if (std::any_of(prompt.begin(), prompt.end(), [this](int32_t it) { return it < 0 || it >= vocabulary(); })) {
    return fail(
        ErrorCode::kBadModel,
        "{}: the model's vocabulary cannot take the prompt apart: it has no token for a part of it, nor one for "
        "what it does not know",
        engine_.model_name());
  }
  if (prompt.size() >= context_size()) {
    return fail(ErrorCode::kContextFull,
                "the prompt has {} tokens and the context holds {}: shorten it, or give a larger context",
                prompt.size(), context_size());
  }
  Generated generated;
  auto ready = prefill(prompt, options);
  if (!ready) {
    return propagate(ready.error());
  }
  if (!*ready) {
    generated.stop = StopReason::kCancelled;
    return generated;
  }
  Status status = answer(prompt, options, generated);
  engine_.note_answered(generated.tokens.size());
  if (!status) {
    return propagate(status.error());
  }
  return generated;
}

// The token that follows, by the logits at `row`.
Result<int32_t> SessionImpl::sample(llama_sampler& sampler, int32_t row) {
  const float* logits = llama_get_logits_ith(context_, row);
  Status status = check_logits({logits, logits == nullptr ? 0 : static_cast<size_t>(vocabulary())});
  if (!status) {
    return propagate(status.error(), engine_.model_name());
  }
  return guarded(ErrorCode::kBadModel, "no token could be chosen",
                 [&]() -> Result<int32_t> { return llama_sampler_sample(&sampler, context_, row); });
}

Status SessionImpl::answer(const std::vector<int32_t>& prompt, const GenerateOptions& options, Generated& generated) {
  const SamplerPtr sampler = make_sampler(options.sampling, vocab_);
  for (int32_t token : prompt) {
    llama_sampler_accept(sampler.get(), token);
  }
  std::vector<int32_t> text = prompt;
  TextStream stream;
  const auto emit = [&](std::string piece) {
    generated.text += piece;
    return piece.empty() || !options.on_text || options.on_text(piece);
  };
  generated.stop = StopReason::kLength;
  draft_ = {};
  right_ = 0;
  pass_seconds_ = 0;
  int32_t row = -1;  // of the logits after the text
  const size_t most = options.max_tokens < 0 ? SIZE_MAX : static_cast<size_t>(options.max_tokens);
  while (generated.tokens.size() < most) {
    const auto sampled = sample(*sampler, row);
    if (!sampled) {
      return propagate(sampled.error());
    }
    const llama_token token = *sampled;
    if (llama_vocab_is_eog(vocab_, token)) {
      generated.stop = StopReason::kEndOfText;
      break;
    }
    generated.tokens.push_back(token);
    text.push_back(token);
    if (!emit(stream.add(token_text(vocab_, token, false))) || (options.keep_going && !options.keep_going())) {
      generated.stop = StopReason::kCancelled;
      break;
    }
    if (text.size() > context_size()) {
      generated.stop = StopReason::kContextFull;
      break;
    }
    if (generated.tokens.size() == most) {
      break;  // the last token's successor is not wanted
    }
    if (right_ < draft_.tokens.size() && draft_.tokens[right_] == token) {
      row = static_cast<int32_t>(++right_);
      continue;  // what follows it is computed already
    }
    note_verified();
    if (Status status = decode(text, most - generated.tokens.size() - 1); !status) {
      return status;
    }
    row = 0;
  }
  note_verified();
  if (generated.stop != StopReason::kCancelled) {
    emit(stream.finish());
  }
  return {};
}

Result<Generated> SessionImpl::complete(std::string_view prompt, const GenerateOptions& options) {
  const auto tokens = guarded(ErrorCode::kBadModel, "the model's vocabulary cannot take the prompt apart",
                              [&]() -> Result<std::vector<int32_t>> { return tokenize(prompt, true, false); });
  return tokens ? generate(*tokens, options) : propagate(tokens.error());
}

Result<Generated> SessionImpl::chat(const std::vector<ChatMessage>& messages, const GenerateOptions& options) {
  auto tokens = guarded(ErrorCode::kBadModel, "the model's vocabulary cannot take the messages apart",
                        [&] { return engine_.chat().tokens(messages); });
  if (!tokens) {
    return propagate(tokens.error());
  }
  return generate(*tokens, options);
}

Result<std::vector<float>> SessionImpl::evaluate(const std::vector<int32_t>& tokens) {
  const auto width = static_cast<size_t>(vocabulary());
  const size_t step = std::min(engine_.ubatch(), engine_.outputs());
  std::vector<float> logits;
  logits.reserve(tokens.size() * width);
  for (size_t done = 0; done < tokens.size();) {
    const size_t count = std::min(step, tokens.size() - done);
    if (held_.size() + count > context_size()) {
      return fail(ErrorCode::kContextFull, "the context of {} tokens is full", context_size());
    }
    const Phase phase = count == 1 ? Phase::kDecode : Phase::kPrefill;
    if (Status status = pass(tokens.data() + done, count, true, phase); !status) {
      return propagate(status.error());
    }
    for (size_t i = 0; i < count; ++i) {
      const float* row = llama_get_logits_ith(context_, static_cast<int32_t>(i));
      logits.insert(logits.end(), row, row + width);
    }
    done += count;
  }
  return logits;
}

}  // namespace hypura

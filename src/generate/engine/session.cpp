#include "generate/engine/session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "generate/scheduler/session_answer.h"
#include "llama/llama_guard.h"
#include "support/fail.h"

namespace hypura {

Result<std::unique_ptr<Session>> EngineImpl::new_session() {
  if (in_session_) {
    return fail(ErrorCode::kUsage, "the engine allows one session at a time, and one is open");
  }
  in_session_ = true;
  return std::make_unique<SessionImpl>(*this);
}

SessionImpl::SessionImpl(EngineImpl& engine)
    : engine_(engine),
      vocab_(engine.vocabulary()),
      memory_(engine.context(), 1),
      cache_(memory_, UINT32_MAX, engine.kept()),
      model_(engine, 1),
      scheduler_(model_, cache_, engine.drafting()) {}

SessionImpl::~SessionImpl() {
  cache_.keep_rest();
  engine_.end_session();
}

std::vector<int32_t> SessionImpl::tokenize(std::string_view text, bool add_bos, bool parse_special) const {
  return tokenize_text(vocab_, text, add_bos, parse_special);
}

int32_t SessionImpl::vocabulary() const {
  return vocab_.size();
}

uint32_t SessionImpl::context_size() const {
  return engine_.context_size();
}

void SessionImpl::clear() {
  cache_.cut(0, 0);
}

Status SessionImpl::check(const std::vector<int32_t>& prompt) const {
  if (prompt.empty()) {
    return fail(ErrorCode::kUsage, "the prompt is empty, or the vocabulary has no tokens for it");
  }
  if (std::any_of(prompt.begin(), prompt.end(), [this](int32_t it) { return !vocab_.has(it); })) {
    return fail(
        ErrorCode::kBadModel,
        "{}: the model's vocabulary cannot take the prompt apart: it has no token for a part of it, nor one for "
        "what it does not know",
        engine_.model_name());
  }
  if (prompt.size() >= context_size()) {
    return fail(ErrorCode::kContextFull,
                "the prompt has {} tokens, but the context holds {}: shorten it, or use a larger context",
                prompt.size(), context_size());
  }
  return {};
}

Result<Generated> SessionImpl::generate(std::vector<int32_t> prompt, const GenerateOptions& options) {
  if (Status status = check(prompt); !status) {
    return propagate(status.error());
  }
  auto sampler = AnswerSampler::create(options.sampling, vocab_, {});
  if (!sampler) {
    return propagate(sampler.error());
  }
  (*sampler)->accept_prompt(prompt);
  Generated generated;
  Job job;
  job.prompt = std::move(prompt);
  job.limit = context_size();
  job.source = std::make_unique<SessionAnswer>(vocab_, std::move(*sampler), options, generated);
  scheduler_.admit(std::move(job));
  while (!scheduler_.idle()) {
    const bool in_prompt = generated.tokens.empty();  // then nobody has been asked since the last pass
    if (in_prompt && options.keep_going && !options.keep_going()) {
      scheduler_.cancel_all();
    } else {
      scheduler_.pass();
    }
  }
  engine_.note_answered(generated.tokens.size());
  // Copied now, written while the next question is typed.
  while (cache_.keep_some(false) == KvKeeper::Kept::kOne) {
  }
  const auto stop = stop_reason(std::get<AnswerEnd>(scheduler_.take_ended().front().outcome));
  if (!stop) {
    return propagate(stop.error());
  }
  generated.stop = *stop;
  return generated;
}

Result<StopReason> SessionImpl::stop_reason(const AnswerEnd& end) const {
  switch (end.stop) {
    case StopReason::kError:
      return propagate(*end.error);
    case StopReason::kCancelled:
      return StopReason::kCancelled;
    case StopReason::kLength:
    case StopReason::kContextFull:
      return end.tokens.size() > context_size() ? StopReason::kContextFull : StopReason::kLength;
    case StopReason::kStopString:
    case StopReason::kEndOfText:
      return StopReason::kEndOfText;
  }
  return StopReason::kEndOfText;
}

Result<Generated> SessionImpl::complete(std::string_view prompt, const GenerateOptions& options) {
  auto tokens = guarded(ErrorCode::kBadModel, "the model's vocabulary cannot take the prompt apart",
                        [&]() -> Result<std::vector<int32_t>> { return tokenize(prompt, true, false); });
  return tokens ? generate(std::move(*tokens), options) : propagate(tokens.error());
}

Result<Generated> SessionImpl::chat(const std::vector<ChatMessage>& messages, const GenerateOptions& options) {
  auto tokens = guarded(ErrorCode::kBadModel, "the model's vocabulary cannot take the messages apart",
                        [&] { return engine_.chat().tokens(messages); });
  if (!tokens) {
    return propagate(tokens.error());
  }
  return generate(std::move(*tokens), options);
}

Result<std::vector<float>> SessionImpl::evaluate(const std::vector<int32_t>& tokens) {
  const auto width = static_cast<size_t>(vocabulary());
  const PassLimits limits = model_.limits();
  std::vector<float> logits;
  logits.reserve(tokens.size() * width);
  for (size_t done = 0; done < tokens.size();) {
    const uint32_t from = context_used();
    const size_t count = std::min<size_t>({limits.tokens, limits.outputs, tokens.size() - done});
    if (from + count > context_size()) {
      return fail(ErrorCode::kContextFull, "the context of {} tokens is full", context_size());
    }
    std::vector<PassToken> pass;
    for (uint32_t i = 0; i < count; ++i) {
      pass.push_back({tokens[done + i], from + i, 0, true});
    }
    if (Status status = model_.pass(pass, count == 1 ? 0 : static_cast<uint32_t>(count)); !status) {
      cache_.cut(0, from);
      return propagate(status.error());
    }
    cache_.append(0, std::span(tokens).subspan(done, count));
    for (size_t i = 0; i < count; ++i) {
      const float* row = model_.logits(i);
      logits.insert(logits.end(), row, row + width);
    }
    done += count;
  }
  return logits;
}

}  // namespace hypura

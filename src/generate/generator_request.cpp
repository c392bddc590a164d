#include "generate/generator_request.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "chat/thinking_form.h"
#include "generate/fitted_prompt.h"
#include "output/output_pipeline.h"
#include "schema/answer_schema.h"
#include "support/fail.h"

namespace hypura {

namespace {

// A model that never ends its answer would run for ever where a full context is shifted.
constexpr uint32_t kMostContexts = 10;
constexpr int32_t kMostTopLogprobs = 20;

Status check_sampling(const SamplingOptions& sampling) {
  const std::array<std::pair<const char*, float>, 7> numbers = {{{"temperature", sampling.temperature},
                                                                 {"top_p", sampling.top_p},
                                                                 {"min_p", sampling.min_p},
                                                                 {"typical_p", sampling.typical_p},
                                                                 {"repeat_penalty", sampling.repeat_penalty},
                                                                 {"presence_penalty", sampling.presence_penalty},
                                                                 {"frequency_penalty", sampling.frequency_penalty}}};
  for (const auto& [name, value] : numbers) {
    if (!std::isfinite(value)) {
      return fail(ErrorCode::kUsage, "{} must be a finite number", name);
    }
  }
  if (sampling.repeat_penalty <= 0 || !std::isfinite(1 / sampling.repeat_penalty)) {
    return fail(ErrorCode::kUsage, "repeat_penalty must be greater than 0");
  }
  return {};
}

Status check_tokens(Vocabulary vocabulary, const std::vector<int32_t>& tokens) {
  if (std::any_of(tokens.begin(), tokens.end(), [&](int32_t token) { return !vocabulary.has(token); })) {
    return fail(ErrorCode::kUsage, "some tokens are not in this model's vocabulary of {}", vocabulary.size());
  }
  return {};
}

Status check(const ServedContext& served, const AnswerRequest& request) {
  if (request.messages.empty() == !request.prompt) {
    return fail(ErrorCode::kUsage, "a request needs either messages or a prompt");
  }
  if (!request.tools.empty() && request.prompt) {
    return fail(ErrorCode::kUsage, "tools need messages: a raw prompt cannot hold them");
  }
  if (!request.tools.empty() && !served.card.tools) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support tools", served.card.name);
  }
  if ((request.think.value_or(false) || !request.effort.empty()) && !served.card.thinking) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support thinking", served.card.name);
  }
  if (!request.effort.empty() && std::find(kEfforts.begin(), kEfforts.end(), request.effort) == kEfforts.end()) {
    return fail(ErrorCode::kUsage, "the effort \"{}\" is unknown; use minimal, low, medium, high, xhigh or max",
                request.effort);
  }
  if (request.top_logprobs < 0 || request.top_logprobs > kMostTopLogprobs) {
    return fail(ErrorCode::kUsage, "top_logprobs must be between 0 and {}", kMostTopLogprobs);
  }
  if (Status status = check_tokens(served.vocabulary, request.context); !status) {
    return status;
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (!served.vocabulary.has(token) || !std::isfinite(bias)) {
      return fail(ErrorCode::kUsage,
                  "logit_bias: {} is not in the model's vocabulary of {}, or its bias is not a number", token,
                  served.vocabulary.size());
    }
  }
  return check_sampling(request.sampling);
}

struct Held {
  AnswerRules rules;
  AnswerForm form;
};

// What the answer is held to, but for its samplers.
Result<Held> answer_form(const ServedContext& served, const AnswerRequest& request, const AnswerBeginning& beginning) {
  Held held;
  if (!request.prompt) {
    auto chat = served.format.form(request, &beginning);
    if (!chat) {
      return propagate(chat.error());
    }
    held.rules = std::move(chat->rules);
    held.form.parser = std::move(chat->parser);
    held.form.shown = std::move(chat->shown);
    held.form.form_stops = std::move(chat->stops);
  } else if (request.json_schema) {
    auto rules = schema_rules(*request.json_schema);
    if (!rules) {
      return propagate(rules.error());
    }
    held.rules.forms.push_back({std::move(*rules), "", "", {}, ""});
  }
  held.form.stops = request.stop;
  held.form.max_tokens = request.max_tokens;
  held.form.logprobs = request.logprobs;
  held.form.top_logprobs = static_cast<size_t>(request.top_logprobs);
  return held;
}

}  // namespace

Result<Job> make_answer_job(const ServedContext& served, const AnswerRequest& request) {
  if (Status status = check(served, request); !status) {
    return propagate(status.error());
  }
  Job job;
  job.limit = request.context_tokens > 0 ? std::min(request.context_tokens, served.context) : served.context;
  job.keep = request.keep;
  job.shift = request.shift;
  const Vocabulary vocab = served.vocabulary;
  auto prompt = fit_prompt(served.format, vocab, served.bound, request, job.limit);
  if (!prompt) {
    return propagate(prompt.error());
  }
  job.prompt = std::move(prompt->tokens);
  job.cut_from = prompt->cut_from;
  auto held = answer_form(served, request, prompt->answer);
  if (!held) {
    return propagate(held.error());
  }
  if (job.shift) {
    const auto most = static_cast<int32_t>(std::min<uint64_t>(uint64_t{kMostContexts} * job.limit, INT32_MAX));
    held->form.max_tokens = held->form.max_tokens < 0 ? most : std::min(held->form.max_tokens, most);
  }
  SamplingOptions sampling = request.sampling;
  if (sampling.repeat_last_n < 0) {
    sampling.repeat_last_n = static_cast<int32_t>(job.limit);
  }
  auto sampler = AnswerSampler::create(sampling, vocab, held->rules);
  if (!sampler) {
    return propagate(sampler.error());
  }
  const size_t remembered = std::min(job.prompt.size(), static_cast<size_t>(sampling.repeat_last_n));
  (*sampler)->accept_prompt(std::span(job.prompt).last(remembered));
  held->form.sampler = std::move(*sampler);
  job.source = std::make_unique<OutputPipeline>(vocab, std::move(held->form));
  return job;
}

Result<Job> make_embed_job(const ServedContext& served, const EmbedRequest& request) {
  if (!served.card.embeddings) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support embeddings", served.card.name);
  }
  Job job;
  job.limit = served.context;
  const Vocabulary vocab = served.vocabulary;
  if (Status status = check_tokens(vocab, request.tokens); !status) {
    return propagate(status.error());
  }
  auto text = request.tokens.empty() ? fit_text(vocab, served.bound, request.text, request.truncate, served.context)
                                     : fit_tokens(request.tokens, request.truncate, served.context);
  if (!text) {
    return propagate(text.error());
  }
  job.prompt = std::move(text->tokens);
  job.cut_from = text->cut_from;
  if (job.prompt.empty()) {
    return fail(ErrorCode::kUsage, "there is no text to embed");
  }
  job.embed.emplace();
  const auto size = static_cast<uint32_t>(job.prompt.size());
  job.embed->first = served.pooling == Pooling::kLast ? size - 1 : 0;
  job.embed->end = served.pooling == Pooling::kFirst ? 1 : size;
  return job;
}

}  // namespace hypura

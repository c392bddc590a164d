#include "engine/serving_request.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "engine/answer_schema.h"
#include "engine/answer_writer.h"
#include "engine/batcher_plan.h"
#include "engine/thinking_form.h"
#include "llama.h"

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

Status check(const ServedContext& served, const AnswerRequest& request) {
  if (request.messages.empty() == !request.prompt) {
    return fail(ErrorCode::kUsage, "a request has either messages or a prompt");
  }
  if (!request.tools.empty() && request.prompt) {
    return fail(ErrorCode::kUsage, "tools need messages: a prompt as it stands has no place for them");
  }
  if (!request.tools.empty() && !served.card.tools) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support tools", served.card.name);
  }
  if ((request.think.value_or(false) || !request.effort.empty()) && !served.card.thinking) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support thinking", served.card.name);
  }
  if (!request.effort.empty() && std::find(kEfforts.begin(), kEfforts.end(), request.effort) == kEfforts.end()) {
    return fail(ErrorCode::kUsage, "the effort \"{}\" is unknown: it is minimal, low, medium, high, xhigh or max",
                request.effort);
  }
  if (request.top_logprobs < 0 || request.top_logprobs > kMostTopLogprobs) {
    return fail(ErrorCode::kUsage, "top_logprobs must be between 0 and {}", kMostTopLogprobs);
  }
  const int32_t vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(served.model));
  const auto unknown = [&](int32_t token) { return token < 0 || token >= vocabulary; };
  if (std::any_of(request.context.begin(), request.context.end(), unknown)) {
    return fail(ErrorCode::kUsage, "context: it has tokens that the model does not know");
  }
  return check_sampling(request.sampling);
}

size_t tokens_of(const llama_vocab* vocab, const ConversationMessage& message) {
  size_t count = tokenize_text(vocab, message.content, false, false).size() +
                 tokenize_text(vocab, message.thinking, false, false).size();
  for (const ToolCall& call : message.tool_calls) {
    count += tokenize_text(vocab, call.arguments, false, false).size();
  }
  return count;
}

// The conversation's tokens; without its oldest messages where those would be more than `most`.
Result<std::vector<int32_t>> chat_tokens(const ServedContext& served, const AnswerRequest& request, size_t most) {
  auto rendered = served.format.render(request, request.messages);
  if (!rendered || !request.truncate || rendered->tokens.size() <= most) {
    return rendered.map([](RenderedChat& it) { return std::move(it.tokens); });
  }
  const llama_vocab* vocab = llama_model_get_vocab(served.model);
  std::vector<ConversationMessage> messages = request.messages;
  std::vector<int32_t> tokens = std::move(rendered->tokens);
  std::vector<size_t> sizes;
  for (const ConversationMessage& message : messages) {
    sizes.push_back(tokens_of(vocab, message));
  }
  // What the template puts around each message, on average.
  const size_t text = std::accumulate(sizes.begin(), sizes.end(), size_t{0});
  const size_t around = (tokens.size() - std::min(tokens.size(), text)) / sizes.size();
  std::transform(sizes.begin(), sizes.end(), sizes.begin(), [&](size_t size) { return size + around; });
  while (tokens.size() > most && drop_oldest(messages, sizes, tokens.size() - most)) {
    if (auto shorter = served.format.render(request, messages)) {
      tokens = std::move(shorter->tokens);
    }  // else the template does not want a conversation that begins here: it is made shorter still
  }
  return tokens;
}

Result<std::vector<int32_t>> prompt_tokens(const ServedContext& served, const AnswerRequest& request, uint32_t limit) {
  const llama_vocab* vocab = llama_model_get_vocab(served.model);
  std::vector<int32_t> tokens = request.context;
  std::vector<int32_t> rest;
  if (request.prompt) {
    rest = tokenize_text(vocab, *request.prompt, true, true);
  } else {
    auto chat = chat_tokens(served, request, limit - std::min<size_t>(limit, tokens.size()));
    if (!chat) {
      return propagate(chat.error());
    }
    rest = std::move(*chat);
  }
  const bool begins_anew = !tokens.empty() && !rest.empty() && rest.front() == llama_vocab_bos(vocab);
  tokens.insert(tokens.end(), rest.begin() + (begins_anew ? 1 : 0), rest.end());
  if (tokens.empty()) {
    return fail(ErrorCode::kUsage, "the prompt is empty");
  }
  if (tokens.size() <= limit) {
    return tokens;
  }
  if (!request.truncate) {
    return fail(ErrorCode::kContextFull,
                "prompt is too long: the prompt ({} tokens) exceeds the available context size ({} tokens)",
                tokens.size(), limit);
  }
  return cut_middle(tokens, request.keep, limit);
}

struct Held {
  AnswerRules rules;
  AnswerForm form;
};

// What the answer is held to, but for its samplers.
Result<Held> answer_form(const ServedContext& served, const AnswerRequest& request) {
  Held held;
  if (!request.prompt) {
    auto chat = served.format.form(request);
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

bool drop_oldest(std::vector<ConversationMessage>& messages, std::vector<size_t>& sizes, size_t excess) {
  size_t gone = 0;
  bool any = false;
  for (size_t i = 0; i + 1 < messages.size();) {
    const bool orphan = any && messages[i].role == "tool";
    if (gone >= excess && any && !orphan) {
      break;
    }
    if (messages[i].role == "system") {
      ++i;
      continue;
    }
    gone += sizes[i];
    any = true;
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(i));
    sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return any;
}

Result<Job> make_answer_job(const ServedContext& served, const AnswerRequest& request) {
  if (Status status = check(served, request); !status) {
    return propagate(status.error());
  }
  Job job;
  job.limit = request.context_tokens > 0 ? std::min(request.context_tokens, served.context) : served.context;
  job.keep = request.keep;
  job.shift = request.shift;
  auto prompt = prompt_tokens(served, request, job.limit);
  if (!prompt) {
    return propagate(prompt.error());
  }
  job.prompt = std::move(*prompt);
  auto held = answer_form(served, request);
  if (!held) {
    return propagate(held.error());
  }
  if (held->form.max_tokens < 0 && job.shift) {
    held->form.max_tokens = static_cast<int32_t>(std::min<uint64_t>(uint64_t{kMostContexts} * job.limit, INT32_MAX));
  }
  SamplingOptions sampling = request.sampling;
  if (sampling.repeat_last_n < 0) {
    sampling.repeat_last_n = static_cast<int32_t>(job.limit);
  }
  const llama_vocab* vocab = llama_model_get_vocab(served.model);
  auto sampler = AnswerSampler::create(sampling, vocab, held->rules);
  if (!sampler) {
    return propagate(sampler.error());
  }
  const size_t remembered = std::min(job.prompt.size(), static_cast<size_t>(sampling.repeat_last_n));
  (*sampler)->accept_prompt(std::span(job.prompt).last(remembered));
  held->form.sampler = std::move(*sampler);
  job.source = std::make_unique<AnswerWriter>(vocab, std::move(held->form));
  return job;
}

Result<Job> make_embed_job(const ServedContext& served, const EmbedRequest& request) {
  if (!served.card.embeddings) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support embeddings", served.card.name);
  }
  Job job;
  job.limit = served.context;
  job.prompt = tokenize_text(llama_model_get_vocab(served.model), request.text, true, false);
  if (job.prompt.empty()) {
    return fail(ErrorCode::kUsage, "there is no text to embed");
  }
  if (job.prompt.size() > job.limit && !request.truncate) {
    return fail(ErrorCode::kContextFull, "the input length exceeds the context length");
  }
  job.prompt.resize(std::min<size_t>(job.prompt.size(), job.limit));
  job.embed = std::make_unique<EmbedWork>();
  const auto size = static_cast<uint32_t>(job.prompt.size());
  job.embed->first = served.pooling == Pooling::kLast ? size - 1 : 0;
  job.embed->end = served.pooling == Pooling::kFirst ? 1 : size;
  return job;
}

}  // namespace hypura

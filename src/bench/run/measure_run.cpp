#include "bench/run/measure_run.h"

#include <algorithm>
#include <string>
#include <utility>

#include "bench/run/phase_meter.h"
#include "bench/run/prompt_text.h"
#include "machine/memory.h"
#include "profiling/gpu_measuring.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Of texts that are decoded; those of prompts are small.
constexpr uint32_t kFirstSeedOfWords = 1U << 20;

// Each token is of `words`, one for each that is in `chosen`; without any the one that was chosen.
Status decode(BenchEngine& engine, uint32_t count, const std::vector<int32_t>& words, std::vector<int32_t>& chosen) {
  for (uint32_t i = 0; i < count; ++i) {
    auto token = engine.next(words.empty() ? chosen.back() : words[chosen.size() - 1]);
    if (!token) {
      return propagate(token.error());
    }
    chosen.push_back(*token);
  }
  return {};
}

// Opening has no engine yet whose counters could be read: only time and bytes.
Status open_engine(BenchEngine& engine, const RunSpec& spec, PhaseCost& load) {
  const Moment start = moment_of({});
  if (Status status = engine.open(spec); !status) {
    return status;
  }
  const auto phase = phase_between(start, moment_of({}), 0);
  if (!phase) {
    return propagate(phase.error());
  }
  load = phase->cost;
  const uint64_t needed = uint64_t{spec.prompt_tokens} + spec.warmup_tokens + spec.tokens;
  if (needed > engine.context_size()) {
    return fail(ErrorCode::kUsage,
                "{} prompt, {} warm-up and {} measured tokens need a context of {}, but this one holds {}: "
                "measure fewer, or use a larger context if the model was trained for it",
                spec.prompt_tokens, spec.warmup_tokens, spec.tokens, needed, engine.context_size());
  }
  return {};
}

Status measure_prompt(BenchEngine& engine, const std::string& text, RunResult& result) {
  const size_t tokens = engine.tokenize(text).size();
  const Moment start = moment_of(engine.counters());
  const auto first = engine.prompt(text);
  if (!first) {
    return propagate(first.error());
  }
  const auto phase = phase_between(start, moment_of(engine.counters()), tokens);
  if (!phase) {
    return propagate(phase.error());
  }
  result.prefill = phase->cost;
  result.first_token_seconds = result.load.seconds + result.prefill.seconds;
  result.chosen.push_back(*first);
  return {};
}

// The tokens come as the passes give them, so that the answer is asked for as a whole.
Status measure_as_answer(BenchEngine& engine, const RunSpec& spec, const std::string& text, RunResult& result) {
  AnswerMeter meter(engine, spec.warmup_tokens);
  auto tokens = engine.answer(text, 1 + spec.warmup_tokens + spec.tokens, [&meter] { meter.look(); });
  if (!tokens) {
    return propagate(tokens.error());
  }
  const auto phase = meter.stop(tokens->size());
  if (!phase) {
    return propagate(phase.error());
  }
  note_decode(*phase, result);
  result.chosen = std::move(*tokens);
  return {};
}

CountTokens token_counter(const BenchEngine& engine) {
  return [&engine](const std::string& text) { return engine.tokenize(text).size(); };
}

// `warm`: another than is measured.
Result<std::string> text_for(const BenchEngine& engine, const RunSpec& spec, bool warm) {
  if (!spec.sentence.empty()) {
    return repeated_text(token_counter(engine), spec.prompt_tokens, spec.sentence);
  }
  return prompt_text(token_counter(engine), spec.prompt_tokens, 2 * spec.text + (warm ? 2 : 1));
}

// What the model is given while decoding; none where it is given what it chooses. `warm` as text_for().
Result<std::vector<int32_t>> words_for(const BenchEngine& engine, const RunSpec& spec, bool warm) {
  if (!spec.teacher_forced) {
    return std::vector<int32_t>();
  }
  const uint32_t count = spec.warmup_tokens + spec.tokens;
  const uint32_t seed = kFirstSeedOfWords + 2 * spec.text + (warm ? 1 : 0);
  return prompt_text(token_counter(engine), count + 1, seed).map([&](const std::string& text) {
    const std::vector<int32_t> tokens = engine.tokenize(text);
    return std::vector<int32_t>(tokens.end() - count, tokens.end());  // the first may be a beginning-of-text
  });
}

// Another prompt of the same length, so that nothing of what is measured has been computed.
Status warm_prompt(BenchEngine& engine, const RunSpec& spec) {
  const auto text = text_for(engine, spec, true);
  if (!text) {
    return propagate(text.error());
  }
  const auto token = engine.prompt(*text);
  const auto words = words_for(engine, spec, true);
  if (!token || !words) {
    return propagate(token ? words.error() : token.error());
  }
  std::vector<int32_t> chosen{*token};
  return decode(engine, spec.warmup_tokens, *words, chosen);
}

Status measure_decode(BenchEngine& engine, const RunSpec& spec, RunResult& result) {
  const auto words = words_for(engine, spec, false);
  if (!words) {
    return propagate(words.error());
  }
  if (Status status = decode(engine, spec.warmup_tokens, *words, result.chosen); !status) {
    return status;
  }
  const Moment start = moment_of(engine.counters());
  if (Status status = decode(engine, spec.tokens, *words, result.chosen); !status) {
    return status;
  }
  const auto phase = phase_between(start, moment_of(engine.counters()), spec.tokens);
  if (!phase) {
    return propagate(phase.error());
  }
  note_decode(*phase, result);
  return {};
}

Status measure_answer(BenchEngine& engine, const RunSpec& spec, RunResult& result) {
  if (spec.warm_prompt) {
    if (Status status = warm_prompt(engine, spec); !status) {
      return status;
    }
  }
  const auto text = text_for(engine, spec, false);
  if (!text) {
    return propagate(text.error());
  }
  if (Status status = measure_prompt(engine, *text, result); !status) {
    return status;
  }
  const bool answer = (spec.as_answer || spec.drafts()) && spec.tokens > 0;
  return answer ? measure_as_answer(engine, spec, *text, result) : measure_decode(engine, spec, result);
}

// Free on the devices that are to be watched; 0 where there is none.
Result<uint64_t> free_on_device(const RunSpec& spec) {
  if (spec.watched_gpu.empty() && !spec.names_gpu()) {
    return 0;
  }
  return choose_gpus(spec.watched_gpu.empty() ? spec.gpu : spec.watched_gpu).map([](const GpuChoice& choice) {
    uint64_t bytes = 0;
    for (const GpuDeviceInfo& device : choice.devices) {
      bytes += device.memory_free;
    }
    return bytes;
  });
}

}  // namespace

Result<RunResult> measure_run(BenchEngine& engine, const RunSpec& spec) {
  RunResult result;
  const auto free = free_on_device(spec);
  if (!free) {
    return propagate(free.error());
  }
  const Status status =
      open_engine(engine, spec, result.load).and_then([&] { return measure_answer(engine, spec, result); });
  if (!status) {
    return propagate(status.error());
  }
  engine.describe(result);
  result.process_peak = read_process_memory().peak;
  const uint64_t left = free_on_device(spec).value_or(*free);
  result.device_bytes = *free - std::min(*free, left);
  engine.close();
  return result;
}

}  // namespace hypura

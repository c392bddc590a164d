#include "bench/run/serving_run.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bench/run/bench_engine.h"
#include "bench/run/phase_meter.h"
#include "bench/run/prompt_text.h"
#include "generate/engine/open_overridden.h"
#include "machine/memory.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kWarmUpText = 1000;  // another than those that count, which are numbered from 1

// Keeps an answer, and when its first piece came.
class Keeper final : public AnswerSink {
 public:
  void on_piece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    if (first_seconds_ == 0) {
      first_seconds_ = seconds_since(start_);
    }
    text_ += piece.content;
  }
  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    end_ = std::move(end);
    ended_.notify_all();
  }

  AnswerEnd wait() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return end_.has_value(); });
    return *end_;
  }
  double first_seconds() const { return first_seconds_; }  // after wait()
  const std::string& text() const { return text_; }

 private:
  const Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  std::condition_variable ended_;
  double first_seconds_ = 0;
  std::string text_;
  std::optional<AnswerEnd> end_;
};

Result<std::string> some_text(const Generator& generator, uint32_t tokens, uint32_t number) {
  return prompt_text([&](const std::string& text) { return generator.tokenize(text).size(); }, tokens, number);
}

AnswerRequest greedy(uint32_t tokens) {
  AnswerRequest request;
  request.sampling.temperature = 0;
  request.max_tokens = static_cast<int32_t>(tokens);
  return request;
}

Result<std::shared_ptr<Keeper>> ask(Generator& generator, AnswerRequest request) {
  auto keeper = std::make_shared<Keeper>();
  return generator.submit(std::move(request), keeper).map([&](Generator::AnswerId) { return keeper; });
}

Result<AnswerEnd> wait_for(Keeper& keeper) {
  AnswerEnd end = keeper.wait();
  if (end.error) {
    return propagate(*end.error);
  }
  return end;
}

// Asks and waits.
Result<std::shared_ptr<Keeper>> hear(Generator& generator, AnswerRequest request) {
  return ask(generator, std::move(request)).and_then([](std::shared_ptr<Keeper> keeper) {
    return wait_for(*keeper).map([&](const AnswerEnd&) { return keeper; });
  });
}

Result<AnswerRequest> prompt_request(const Generator& generator, uint32_t prompt_tokens, uint32_t tokens,
                                     uint32_t number) {
  return some_text(generator, prompt_tokens, number).map([&](std::string text) {
    AnswerRequest request = greedy(tokens);
    request.prompt = std::move(text);
    return request;
  });
}

Status warm_up(Generator& generator, const RunSpec& spec) {
  return prompt_request(generator, spec.prompt_tokens, spec.warmup_tokens, kWarmUpText)
      .and_then([&](AnswerRequest request) { return hear(generator, std::move(request)); })
      .map([](const std::shared_ptr<Keeper>&) {});
}

// All at once.
Status measure_together(Generator& generator, const RunSpec& spec, RunResult& result) {
  std::vector<AnswerRequest> requests;
  for (uint32_t i = 0; i < spec.answers; ++i) {
    auto request = prompt_request(generator, spec.prompt_tokens, spec.tokens, i + 1);
    if (!request) {
      return propagate(request.error());
    }
    requests.push_back(std::move(*request));
  }
  const Moment start = moment_of(generator.stats().engine);
  std::vector<std::shared_ptr<Keeper>> keepers;
  for (AnswerRequest& request : requests) {
    auto keeper = ask(generator, std::move(request));
    if (!keeper) {
      return propagate(keeper.error());
    }
    keepers.push_back(std::move(*keeper));
  }
  uint64_t tokens = 0;
  AnswerEnd last;
  for (const auto& keeper : keepers) {
    auto end = wait_for(*keeper);
    if (!end) {
      return propagate(end.error());
    }
    tokens += end->answer_tokens;
    last = std::move(*end);
  }
  // The drafts of the last pass may be missing: an answer ends before they are counted.
  const auto phase = phase_between(start, moment_of(generator.stats().engine), tokens);
  if (!phase) {
    return propagate(phase.error());
  }
  note_decode(*phase, result);
  if (keepers.size() == 1) {  // prompt and answer do not overlap
    result.prefill = {last.prompt_tokens, last.prompt_seconds, 0};
    result.decode.tokens = tokens - 1;  // the first came with the prompt
    result.decode.seconds = last.answer_seconds;
  }
  return {};
}

Status measure_turns(Generator& generator, const RunSpec& spec, RunResult& result) {
  auto text = some_text(generator, spec.prompt_tokens, 1);
  if (!text) {
    return propagate(text.error());
  }
  AnswerRequest request = greedy(spec.tokens);
  const auto say = [&request](const char* role, std::string content) {
    request.messages.push_back({role, std::move(content), {}, {}, {}, {}});
  };
  say("user", std::move(*text));
  const auto first = hear(generator, request);
  if (!first) {
    return propagate(first.error());
  }
  say("assistant", (*first)->text());
  say("user", "And what did the fox say then?");
  const auto second = hear(generator, request);
  if (!second) {
    return propagate(second.error());
  }
  result.first_token_seconds = (*first)->first_seconds();
  result.second_turn_seconds = (*second)->first_seconds();
  return {};
}

}  // namespace

Result<RunResult> measure_serving(const RunSpec& spec) {
  Generator::Options options;
  options.engine = engine_options(spec);
  options.parallel = spec.answers;
  RunResult result;
  const auto start = Clock::now();
  const auto generator = open_overridden(options, plan_overrides(spec));
  if (!generator) {
    return propagate(generator.error());
  }
  result.load.seconds = seconds_since(start);
  if ((*generator)->stats().parallel < spec.answers) {
    return fail(ErrorCode::kBudget, "the budget holds the context of only {} answers", (*generator)->stats().parallel);
  }
  const Status status = warm_up(**generator, spec).and_then([&] {
    return spec.turns > 1 ? measure_turns(**generator, spec, result) : measure_together(**generator, spec, result);
  });
  if (!status) {
    return propagate(status.error());
  }
  result.mode = to_string((*generator)->plan().mode());
  result.plan = (*generator)->plan().sentence;
  result.process_peak = read_process_memory().peak;
  if (Status saved = (*generator)->close(); !saved) {
    logger().debug("the run history was not saved: {}", saved.error().message);
  }
  return result;
}

}  // namespace hypura

#include "measure/serving_run.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hardware/memory.h"
#include "hypura/serving.h"
#include "measure/subject.h"
#include "storage/process_reads.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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

// About `tokens` tokens, another text for every `number`.
std::string some_text(const Serving& serving, uint32_t tokens, uint32_t number) {
  std::string text = fmt::format("Story number {}:", number);
  for (uint32_t word = 0; serving.tokenize(text).size() < tokens; ++word) {
    text += (word + number) % 3 == 0 ? " the rabbit" : (word * number) % 2 == 0 ? " and the fox" : " went home";
  }
  return text;
}

AnswerRequest greedy(uint32_t tokens) {
  AnswerRequest request;
  request.sampling.temperature = 0;
  request.max_tokens = static_cast<int32_t>(tokens);
  return request;
}

Result<std::shared_ptr<Keeper>> ask(Serving& serving, AnswerRequest request) {
  auto keeper = std::make_shared<Keeper>();
  return serving.submit(std::move(request), keeper).map([&](Serving::AnswerId) { return keeper; });
}

Result<AnswerEnd> wait_for(Keeper& keeper) {
  AnswerEnd end = keeper.wait();
  if (end.error) {
    return propagate(*end.error);
  }
  return end;
}

Status warm_up(Serving& serving, const RunSpec& spec) {
  AnswerRequest request = greedy(spec.warmup_tokens);
  request.prompt = some_text(serving, spec.prompt_tokens, 0);
  return ask(serving, std::move(request))
      .and_then([](const std::shared_ptr<Keeper>& it) { return wait_for(*it); })
      .map([](const AnswerEnd&) {});
}

// All at once.
Status measure_together(Serving& serving, const RunSpec& spec, RunResult& result) {
  std::vector<AnswerRequest> requests;
  for (uint32_t i = 0; i < spec.answers; ++i) {
    requests.push_back(greedy(spec.tokens));
    requests.back().prompt = some_text(serving, spec.prompt_tokens, i + 1);
  }
  const EngineStats before = serving.stats().engine;
  const auto bytes_before = process_read_bytes();
  const auto start = Clock::now();
  std::vector<std::shared_ptr<Keeper>> keepers;
  for (AnswerRequest& request : requests) {
    auto keeper = ask(serving, std::move(request));
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
  const double seconds = seconds_since(start);
  const auto bytes = process_read_bytes();
  if (!bytes_before || !bytes) {
    return propagate(bytes ? bytes_before.error() : bytes.error());
  }
  const EngineStats counted = serving.stats().engine.since(before);
  result.decode = {tokens, seconds, *bytes - *bytes_before, split_of(counted, seconds), counted.disk_busy_seconds};
  if (keepers.size() == 1) {  // prompt and answer do not overlap
    result.prefill = {last.prompt_tokens, last.prompt_seconds, 0};
    result.decode.tokens = tokens - 1;  // the first came with the prompt
    result.decode.seconds = last.answer_seconds;
  }
  result.expert_lookups = counted.expert_lookups;
  result.expert_hits = counted.expert_hits;
  result.io_wait_seconds = counted.io_wait_seconds;
  result.streamed_bytes = counted.streamed_bytes;
  return {};
}

Status measure_turns(Serving& serving, const RunSpec& spec, RunResult& result) {
  AnswerRequest request = greedy(spec.tokens);
  request.messages.push_back({"user", some_text(serving, spec.prompt_tokens, 1), {}, {}, {}, {}});
  const auto first = ask(serving, request);
  if (!first) {
    return propagate(first.error());
  }
  if (const auto end = wait_for(**first); !end) {
    return propagate(end.error());
  }
  result.first_token_seconds = (*first)->first_seconds();
  request.messages.push_back({"assistant", (*first)->text(), {}, {}, {}, {}});
  request.messages.push_back({"user", "And what did the fox say then?", {}, {}, {}, {}});
  const auto second = ask(serving, request);
  if (!second) {
    return propagate(second.error());
  }
  if (const auto end = wait_for(**second); !end) {
    return propagate(end.error());
  }
  result.second_turn_seconds = (*second)->first_seconds();
  return {};
}

}  // namespace

Result<RunResult> measure_serving(const RunSpec& spec) {
  Serving::Options options;
  options.engine = engine_options(spec);
  options.parallel = spec.answers;
  RunResult result;
  const auto start = Clock::now();
  const auto serving = Serving::open(options);
  if (!serving) {
    return propagate(serving.error());
  }
  result.load.seconds = seconds_since(start);
  if ((*serving)->stats().parallel < spec.answers) {
    return fail(ErrorCode::kBudget, "the budget holds the context of {} answers only", (*serving)->stats().parallel);
  }
  const Status status = warm_up(**serving, spec).and_then([&] {
    return spec.turns > 1 ? measure_turns(**serving, spec, result) : measure_together(**serving, spec, result);
  });
  if (!status) {
    return propagate(status.error());
  }
  result.mode = (*serving)->plan().mode;
  result.plan = (*serving)->plan().sentence;
  result.process_peak = read_process_memory().peak;
  return result;
}

}  // namespace hypura

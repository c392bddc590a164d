#include "bench/measure.h"

#include <array>
#include <chrono>
#include <fstream>
#include <utility>

#include "hardware/memory.h"

namespace hypura::bench {

namespace {

using Clock = std::chrono::steady_clock;

// Adds what passes between construction and stop() to a phase.
class PhaseMeter {
 public:
  explicit PhaseMeter(PhaseCost& cost) : cost_(cost), bytes_(process_read_bytes()), start_(Clock::now()) {}

  Status stop(uint64_t tokens) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const auto bytes = process_read_bytes();
    if (!bytes_ || !bytes) {
      return propagate(bytes_ ? bytes.error() : bytes_.error());
    }
    cost_ = {tokens, seconds, *bytes - *bytes_};
    return {};
  }

 private:
  PhaseCost& cost_;
  Result<uint64_t> bytes_;
  Clock::time_point start_;
};

constexpr std::array kWords = {"the",   "little", "rabbit", "ran",  "into", "a",    "big",  "forest", "and",  "saw",
                               "there", "was",    "once",   "tree", "with", "many", "red",  "apples", "he",   "liked",
                               "to",    "play",   "in",     "sun",  "but",  "his",  "mom",  "said",   "that", "it",
                               "time",  "go",     "home",   "now",  "so",   "they", "went", "back",   "very", "happy"};

// A text that the tokenizer turns into exactly `count` tokens, the same for every run.
Result<std::string> text_of(const Subject& subject, uint32_t count) {
  std::string text;
  uint32_t state = 1;
  size_t refused = 0;
  while (true) {
    const size_t length = subject.tokenize(text).size();
    if (length == count) {
      return text;
    }
    if (length > count || refused > 4 * kWords.size()) {
      return fail(ErrorCode::kInternal, "no text of exactly {} tokens was found for this model's tokenizer", count);
    }
    state = state * 1664525U + 1013904223U;
    const std::string longer = text + (text.empty() ? "" : " ") + kWords[(state >> 16) % kWords.size()];
    if (subject.tokenize(longer).size() <= count) {
      text = longer;
    } else {
      ++refused;
    }
  }
}

Status decode(Subject& subject, uint32_t count, std::vector<int32_t>& chosen) {
  for (uint32_t i = 0; i < count; ++i) {
    auto token = subject.next(chosen.back());
    if (!token) {
      return propagate(token.error());
    }
    chosen.push_back(*token);
  }
  return {};
}

}  // namespace

Result<uint64_t> process_read_bytes() {
  std::ifstream file("/proc/self/io");
  std::string key;
  uint64_t value = 0;
  while (file >> key >> value) {
    if (key == "read_bytes:") {
      return value;
    }
  }
  return fail(ErrorCode::kIo, "/proc/self/io has no read_bytes: the kernel must be built with task I/O accounting");
}

Result<RunResult> measure(Subject& subject, const RunSpec& spec) {
  RunResult result;
  PhaseMeter load(result.load);
  if (Status status = subject.open(spec).and_then([&] { return load.stop(0); }); !status) {
    return propagate(status.error());
  }
  const auto text = text_of(subject, spec.prompt_tokens);
  if (!text) {
    return propagate(text.error());
  }
  PhaseMeter prefill(result.prefill);
  const auto first = subject.prompt(*text);
  if (!first) {
    return propagate(first.error());
  }
  if (Status status = prefill.stop(spec.prompt_tokens); !status) {
    return propagate(status.error());
  }
  result.first_token_seconds = result.load.seconds + result.prefill.seconds;
  result.chosen.push_back(*first);
  if (Status status = decode(subject, spec.warmup_tokens, result.chosen); !status) {
    return propagate(status.error());
  }
  subject.begin_counting();
  PhaseMeter meter(result.decode);
  if (Status status = decode(subject, spec.tokens, result.chosen); !status) {
    return propagate(status.error());
  }
  if (Status status = meter.stop(spec.tokens); !status) {
    return propagate(status.error());
  }
  subject.end_counting(result);
  result.process_peak = read_process_memory().peak;
  return result;
}

}  // namespace hypura::bench

// One of the two engines compared, as the measuring loop sees it: both are driven by the same loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/run_spec.h"
#include "hypura/result.h"

namespace hypura::bench {

// Takes the place of an end-of-text token chosen after the prompt (the engine under test does not show that one): an
// ordinary token of every vocabulary.
inline constexpr int32_t kTokenAfterEnd = 300;

// Belongs to one thread. Every choice of a token is the likeliest one.
class Subject {
 public:
  virtual ~Subject() = default;

  virtual Status open(const RunSpec& spec) = 0;
  virtual std::vector<int32_t> tokenize(const std::string& text) const = 0;

  // Evaluates the whole prompt from an empty context; gives the next token.
  virtual Result<int32_t> prompt(const std::string& text) = 0;

  // Evaluates one more token; gives the next.
  virtual Result<int32_t> next(int32_t token) = 0;

  // Called where decoding that counts begins, and where it ends: the engine's own counters go into `result`.
  virtual void begin_counting() = 0;
  virtual void end_counting(RunResult& result) const = 0;
};

// llama.cpp as it comes, weights mapped (mmap). With a budget its weights are not repacked: repacking copies all of
// them into memory that cannot be dropped.
std::unique_ptr<Subject> make_plain_subject();

// This project's engine with its defaults, within the budget.
std::unique_ptr<Subject> make_hypura_subject();

}  // namespace hypura::bench

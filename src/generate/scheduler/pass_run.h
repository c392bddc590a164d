// A job that the scheduler was given. Private to it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "generate/scheduler/job.h"
#include "generate/scheduler/pass_scheduler.h"

namespace hypura {

struct PassScheduler::Run {
  Run(Job its_job, uint64_t its_order)
      : job(std::move(its_job)), tokens(job.prompt), all(job.prompt), order(its_order) {}

  // Tokens of its own prompt that may be taken over: an embedding wants to see those that it is made of.
  uint32_t most_reused() const { return job.embed ? job.embed->first : UINT32_MAX; }

  Job job;
  std::vector<int32_t> tokens;  // that its sequence is to hold: what of it is not held is pending
  std::vector<int32_t> all;     // prompt and answer, whatever was dropped
  uint64_t order;               // the larger the younger
  bool waited = false;          // for a beginning that another evaluates: then for all of it
  bool parked = false;          // at least once
  uint32_t cached = 0;
  uint32_t sampled = 0;
  std::vector<float> embedding;                // the sum of those that count
  std::optional<Clock::time_point> began;      // when it first had a sequence
  std::optional<Clock::time_point> answering;  // since the prompt was evaluated
};

}  // namespace hypura

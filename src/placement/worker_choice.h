// Which of the workers that are there are asked, and what each is worth.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/problem.h"

namespace hypura {

// A worker must make tokens so many times as fast to be asked: less is within what a prediction is off, and it could
// as well cost something.
inline constexpr double kLeastWorkerGain = 1.03;

// Why a worker does not pay: what alone, were it perfect, would make it pay.
enum class WorkerHindrance : uint8_t {
  kNone,       // it pays
  kRoundTrip,  // the way takes too long
  kBandwidth,  // it carries too little
  kSpeed,      // it computes or reads too slowly, or has too little memory
  kNothing,    // the same where nothing is read that it could save
  kMessages,   // messages to it take memory that is worth more here; never an answer of choose_workers()
};

struct WorkerChoice {
  bool asked = false;
  double with = 0;     // seconds of a token: with it and the others that are asked,
  double without = 0;  // and with these alone
  WorkerHindrance hindrance = WorkerHindrance::kNone;
};

// For each of `found`, with `placement`, which streams experts or dense weights; problem.workers does not count. The
// one that gains most is taken first, then the one that gains most beside it, until none gains kLeastWorkerGain. `all`:
// all are asked, whatever they gain.
std::vector<WorkerChoice> choose_workers(const PlacementProblem& problem, const Placement& placement,
                                         std::span<const WorkerPart> found, bool all);

}  // namespace hypura

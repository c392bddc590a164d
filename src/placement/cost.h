// What a division of the memory costs in time: the model of docs/design/placement.md.
//
// A pass over the weights computes and reads at the same time. Its time is the larger of two sums: the computing, in
// which an expert layer waits for its own reads, because only then its router tells what to read; and all bytes that
// must come from disk, by the disk's speed.
#pragma once

#include <cstdint>
#include <vector>

#include "placement/problem.h"

namespace hypura {

// An expert layer computes and reads at once, but not perfectly so: the last expert is computed after it has arrived,
// and the disk rests while a long product is computed. Its time is the longer of the two and this share of the shorter.
// Measured: 0.3 while decoding, 0.4 to 0.6 in prompts (docs/lab/experiments.md).
inline constexpr double kOverlapLoss = 0.4;

// Where the next layer's experts are read ahead the disk works while this layer's last ones and the next one's
// attention are computed: nothing is lost. Measured: a token takes 13 to 18 % less, a prompt of 128 tokens as long as
// its computing (docs/lab/experiments.md, "Reading ahead" and "Prompts of small experts").
inline constexpr double kOverlapLossAhead = 0;

// A pass of no more tokens is taken for a token with its drafts, or for several answers' tokens: predictions are made
// for few tokens only, and do not read as much ahead as in a prompt.
inline constexpr uint32_t kMostDecoded = 16;

// Of the ring, beyond two of the largest ranges: bytes that keep the disk busy while a pinned tensor is computed.
// Chosen, not measured: at 2 GB/s the disk fills them in 32 ms.
inline constexpr uint64_t kRingAhead = 64 << 20;

// Seconds of computing in a pass of `tokens` tokens with all dense weights, and what is neither dense nor an expert.
double dense_computing(const PlacementProblem& problem, uint32_t tokens);

// Seconds of computing in one layer of `group` for a pass of `tokens` tokens, which chose `uses` experts, without
// reading.
double layer_computing(const ExpertGroup& group, double uses, uint32_t tokens);

// What a second of reading adds to a layer that computes for longer than it reads, and the other way round. An expert
// layer loses the share above anyway, and that covers what reading and computing take from each other
// (PlacementProblem::contention): the larger of the two counts. `tokens` in the pass, with `spare` slots: while
// decoding, predictions need one for each expert of a token, and nothing is counted on them for several tokens.
Contention overlap_costs(const PlacementProblem& problem, const ExpertGroup& group, uint32_t spare, uint32_t tokens);

// Of the reading of one layer of `group` in a prompt's pass of `tokens` tokens, what goes on under the computing that
// comes before its experts, attention and routers: as much as `spare` slots take.
double read_before(const PlacementProblem& problem, const ExpertGroup& group, uint32_t spare, uint32_t tokens);

// A layer that computes and reads at once; `computing` and `reading` are the times of each alone. `before`: of the
// reading, done when it begins.
double overlapped(double computing, double reading, const Contention& costs, double before = 0);

// Bytes of everything but slots, pinned weights and ring. `rows`: of tables, only rows are in memory.
uint64_t base_bytes(const PlacementProblem& problem, Mode mode, const KvChoice& kv, const UbatchChoice& pass,
                    bool rows = false);

// Of these, for looking up rows.
uint64_t table_buffer_bytes(const PlacementProblem& problem, Mode mode, bool rows);

// What a pass of `tokens` tokens waits for their rows, and what it reads of them.
struct Lookups {
  double seconds = 0;
  double bytes = 0;
};
Lookups lookups(const PlacementProblem& problem, Mode mode, bool rows, uint32_t tokens);

// Bytes in the memory of the GPUs that compute the last layers, of all and of each; 0 where none does.
uint64_t split_device_bytes(const PlacementProblem& problem, const KvChoice& kv, const UbatchChoice& pass);
std::vector<uint64_t> split_bytes_of_devices(const PlacementProblem& problem, const KvChoice& kv,
                                             const UbatchChoice& pass);

// The first of those GPUs whose memory does not hold that; nullptr: each does.
const GpuSplitShare* too_small_share(const PlacementProblem& problem, const KvChoice& kv, const UbatchChoice& pass);

// Seconds of computing in a pass with everything resident.
double resident_computing(const PlacementProblem& problem, uint32_t tokens);

// Bytes of everything in RAM.
uint64_t total_bytes(const PlacementProblem& problem, const Placement& placement);

// The problem of a token that has `more` tokens before it than those that `problem` reckons with; may be less than 0.
PlacementProblem problem_after(PlacementProblem problem, double more);

// One pass of `tokens` tokens, caches warm.
struct PassCost {
  double seconds = 0;
  double compute = 0;  // of these, if no byte had to be waited for; issuing reads is part of it
  double bytes = 0;    // from disk
  double uses = 0;     // of experts: distinct ones, over all layers
  double misses = 0;   // of these, not cached
  // With workers `bytes` and `compute` are this machine's, `uses` and `misses` those of all.
  double elsewhere = 0;  // seconds of computing that workers do in its place
  // With a GPU:
  double uploaded = 0;       // bytes copied to it
  double device_misses = 0;  // of the uses, without a slot there
  double uploading = 0;      // seconds of copying, of cutting the work for a choice of experts, and of reading; they
  double cutting = 0;        // may go on beside computing
  double reading = 0;
  double processors = 0;  // of the processors' computing, with mixed computing; beside the device's
};
PassCost pass_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens);

// A prompt of `tokens` tokens, in passes of the ubatch. Only what follows the last token is asked for, so the experts
// of the last layer compute one row, as llama.cpp's graphs have it. `cold`: nothing is cached yet, so the first of the
// passes reads all experts that it uses.
double prompt_seconds(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, bool cold);

// Bytes that the ring may have under way when an expert layer asks for its reads, which then wait for them.
uint64_t ring_under_way(const PlacementProblem& problem, uint64_t ring_bytes);

// What a byte of streamed dense weights takes of the disk, seconds: its transfer, and its share of the wait for a first
// read, which every turn of the ring has once.
double dense_byte_seconds(const PlacementProblem& problem, uint64_t ring_bytes);

// Experts of layers of `group` that are alike but for one expert: `layers` with `cached` experts each.
struct QuotaShare {
  uint32_t layers = 0;
  uint32_t cached = 0;
};
// How `slots` cached experts lie on the layers of `group`: evenly, the first layers taking one more.
std::vector<QuotaShare> quota_shares(const ExpertGroup& group, uint32_t slots);

// The prompt that a placement is chosen by: so many of its tokens are read for each that is made.
struct PromptWeight {
  uint32_t tokens = 1;
  double share = 1;
};

// On the processors. Chosen: as many tokens read as made.
inline constexpr uint32_t kPromptTokens = 512;
inline constexpr double kPromptShare = 1.0;

// That one; where prompts are a GPU's in all layers, kGpuPromptShare tokens of kGpuPromptTokens (gpu_cost.h).
PromptWeight prompt_weight(const PlacementProblem& problem);

// What a placement is chosen by: the time for a token made and tokens of a prompt read by prompt_weight(), caches warm.
// Where a GPU computes, gpu_objective().
double objective(const PlacementProblem& problem, const Placement& placement);

// The same for kGpuPromptShare tokens of a prompt of kGpuPromptTokens (gpu_cost.h): GPUs have their placement chosen by
// it, and are held against the processors by it.
double gpu_objective(const PlacementProblem& problem, const Placement& placement);

}  // namespace hypura

// Which of a model's last layers GPUs compute whose memory has no room for all of them, and what a token and a prompt
// then take. The processors compute the others, from RAM as far as they fit there, and from disk beyond that
// (docs/design/gpu.md, "Dense models"). Pure policy over sizes and speeds.
//
// All sizes are bytes, all times seconds.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "placement/problem.h"

namespace hypura {

// A layer, or the output, which is the last of them.
struct SplitLayer {
  uint64_t weights = 0;
  uint64_t kv = 0;           // keys and values of all cells, on whichever side computes the layer
  PassSeconds on_cpu;        // with its weights in RAM
  uint64_t more_on_gpu = 0;  // what it takes there besides: padding, and the embeddings where they are the output too
};

struct SplitDevice {
  uint64_t budget = 0;
  uint64_t fixed = 0;                                    // compute buffers, once it computes anything
  uint32_t most = std::numeric_limits<uint32_t>::max();  // layers that it may get
  std::vector<PassSeconds> seconds;    // for each of SplitProblem::layers, with its weights in the device's memory
  double upload_bytes_per_second = 1;  // of the processors' weights to it, for passes that it takes from them
  double handover = 0;                 // what handing a pass to it takes, from the processors or from another device
};

struct SplitProblem {
  std::vector<SplitLayer> layers;    // in order
  std::vector<SplitDevice> devices;  // at least one, in the order of their layers
  bool all_devices = false;          // each is to have some
  bool in_ram = false;  // the one device's budget is a part of ram_budget: it computes in the machine's memory
  bool remote = false;  // the devices are workers: of each pass the processors compute the end, whatever those have
  uint64_t ram_budget = 0;
  uint64_t ram_fixed = 0;    // what is in RAM whoever computes: embeddings, vocabulary, compute buffers
  double token_lookup = 0;   // seconds that a pass of one token waits for rows of tables, before it computes,
  double prompt_lookup = 0;  // and one of prompt_pass
  uint64_t ring = 0;         // of RAM, once anything is streamed: the least with which that works
  DiskSpeed disk;            // for the ring's reads
  double token_part = 1;     // of what is streamed, that a pass of one token reads: with experts, those that it uses
  double overlap_loss = 0;   // of the shorter of computing and reading, what is not hidden: with experts (cost.h)
  uint32_t prompt_pass = 1;  // tokens of a prompt's pass
  uint32_t offload_from =
      0;  // passes of so many tokens are the first device's in all layers that none has; 0: none are
};

struct GpuSplit {
  uint32_t layers = 0;                  // the last so many are the GPUs': llama.cpp's --n-gpu-layers
  std::vector<uint32_t> device_layers;  // of each device; they follow each other
  uint64_t gpu_bytes = 0;               // on all of them
  uint64_t ram_bytes = 0;               // with what a GPU takes of it
  uint64_t streamed_bytes = 0;          // read from disk in every pass
  double token_seconds = 0;             // of a pass of one token
  double prompt_seconds = 0;            // of a pass of prompt_pass tokens
  double objective = 0;                 // as placement/cost.h's: a token made and a prompt's token read
};

// With so many of the last layers on GPUs, at most all; none when they do not fit there, or the rest not into RAM. The
// devices divide them as takes the least time.
//
// A pass computes layer after layer; meanwhile the disk reads what is streamed, but for the time in which the ring is
// full and the GPUs compute: the longer of the two counts. A layer of a pass that a GPU takes from the processors
// waits for its weights, since llama.cpp copies them when it comes to them.
std::optional<GpuSplit> split_at(const SplitProblem& problem, uint32_t gpu_layers);

// The best by its objective, with at least `fewest` layers on GPUs and `most` there; of equals, but for rounding, the
// one with fewer. None when nothing fits.
std::optional<GpuSplit> best_split(const SplitProblem& problem, uint32_t fewest = 0, uint32_t most = UINT32_MAX);

// The GPUs' part of that with so many layers on each device. Their budgets and what they have are the problem's.
GpuSplitPart gpu_part(const SplitProblem& problem, std::span<const uint32_t> device_layers);

// Seconds of computing in a pass of `tokens` tokens, of which the processors' layers take `on_cpu` where they compute
// them.
double split_computing(const GpuSplitPart& part, double on_cpu, uint32_t tokens);

// Seconds of a pass for which the disk stands still: the ring, of `ring` bytes, is full and the GPUs compute their
// layers.
double disk_idles(const GpuSplitPart& part, uint64_t ring, double bytes_per_second, uint32_t tokens);

}  // namespace hypura

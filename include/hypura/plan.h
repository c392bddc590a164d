// What would be done with a model, and how fast it would be, told from its headers alone. docs/design/placement.md has
// the model behind the figures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "hypura/profile.h"
#include "hypura/result.h"

namespace hypura {

enum class TensorRole;  // model/model.h
struct Model;

// Where a tensor's bytes are at home.
enum class Tier { kDevice, kRam, kDisk };

struct PlacedTensor {
  std::string name;
  std::string type;  // as ggml calls it: "q4_0"
  TensorRole role{};
  int layer = -1;  // -1: outside the layers
  uint64_t bytes = 0;
  Tier tier = Tier::kRam;  // kDisk: streamed, wholly or in part
  std::string way;         // "pinned", "slots", "ring" or "unused"
  double ram_share = 1;    // of its bytes, kept in memory between tokens
};

enum class Limit { kDisk, kCompute };

// Expected with warm caches, a short conversation and nothing else running. Times in seconds.
struct Prediction {
  double tokens_per_second = 0;               // of decoding
  double decode_seconds = 0;                  // for a token
  double full_context_tokens_per_second = 0;  // of decoding when as many tokens are in the context as it holds
  // How much longer than by the plan's sums tokens took in earlier runs of this model in this mode, since the machine
  // was measured; the three above have it in them. None: nothing is known.
  std::optional<double> pace;
  double bytes_per_token = 0;      // read from disk
  std::optional<double> hit_rate;  // of expert uses while decoding; none when no experts are streamed
  std::string hit_rate_source;     // "the routing of 512 earlier tokens", or "the prior"
  double prefill512_seconds = 0;   // for a prompt of 512 tokens
  double prefill4096_seconds = 0;  // and of 4096, whatever the context
  double load_seconds = 0;         // reading what stays, by the disk's best rate
  double first_token_seconds = 0;  // loading and a prompt of 512 tokens
  // The physical bound: no engine with this division of memory is faster than the disk delivers what is missed, nor
  // than the processor computes the model when it is resident.
  double bound_tokens_per_second = 0;
  Limit bound_by = Limit::kDisk;
  uint64_t memory_peak = 0;  // of the process: what the ledger lists, and what the process took before
};

struct ModelPlan {
  std::string mode;      // as PlanSummary
  std::string sentence;  // one line: what is done
  std::string why;       // one line: what to expect of it, and what limits it
  uint64_t budget = 0;   // bytes, for what the ledger lists
  uint64_t process = 0;  // bytes besides
  uint32_t context = 0;  // tokens
  uint32_t ubatch = 0;   // tokens in the largest pass of a prompt
  std::string kv_type;   // "f16" or "q8_0"

  uint32_t expert_slots = 0;          // of expert_total
  uint32_t expert_total = 0;          // experts in all layers; 0: no MoE
  std::vector<uint32_t> layer_slots;  // experts kept, for each MoE layer that is streamed
  uint64_t pinned_bytes = 0;          // of the dense weights that could be streamed
  uint64_t ring_bytes = 0;
  std::vector<LedgerLine> ledger;     // estimated
  std::vector<PlacedTensor> tensors;  // in file order

  Prediction prediction;
  bool lp = false;    // found by linear program: false where this build has no solver
  double lp_gap = 0;  // at most this share of the time could be saved by another plan; 0 without a solver
  double more_memory_tokens_per_second = 0;  // predicted with 1 GiB more
  double more_disk_tokens_per_second = 0;    // predicted with a disk faster by 1 GB/s
  // Predicted with a repacked copy (hypura/pack.h). 0 where that is none of the choices: the plan reads one, or streams
  // nothing, or no matrix that it may stream has a faster layout here, or the options rule it out.
  double packed_tokens_per_second = 0;
  std::vector<std::string> warnings;  // sentences
};

// Plans without loading weights: reads the headers only. Without `profile` the speeds are assumed, and a warning says
// so. A budget in `options` is taken as it stands, with a warning where this machine allows less. Any thread. Fails as
// Engine::open does: kBadModel, kIo, kUsage, kBudget.
Result<ModelPlan> plan_model(const EngineOptions& options, const MachineProfile* profile);

// The same for a model whose headers have been read: options.model is not looked at.
Result<ModelPlan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile);

}  // namespace hypura

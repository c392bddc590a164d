// How a model runs, and how fast it should be: planned from its headers, or for an open model. docs/design/placement.md
// explains the figures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypura/memory.h"
#include "hypura/placement.h"
#include "hypura/result.h"

namespace hypura {

enum class TensorRole;  // model/model.h
struct EngineOptions;
struct MachineProfile;
struct Model;

// How a tensor is held.
enum class Way : uint8_t { kPinned, kSlots, kRing, kRows, kUnused };

const char* to_string(Way way);  // "pinned", "slots", "ring", "rows" (of a table), "unused"

struct PlacedTensor {
  std::string name;
  std::string type;  // ggml's name: "q4_0"
  TensorRole role{};
  int layer = -1;  // -1: outside the layers
  uint64_t bytes = 0;
  Tier tier = Tier::kRam;  // kDisk: streamed, wholly or in part
  Way way = Way::kPinned;
  double ram_share = 1;     // of its bytes, kept in RAM between tokens
  double device_share = 0;  // and in the memory of a GPU, without those
};

// How much of a layer's weights stays in memory, a GPU's or RAM. A layer's experts are its routed ones; all else of it
// is dense.
struct LayerShare {
  int32_t layer = 0;
  uint64_t dense_bytes = 0;
  uint64_t dense_kept = 0;
  uint64_t expert_bytes = 0;
  uint64_t expert_kept = 0;  // as many as its quota, whichever experts these are
};

enum class Limit : uint8_t { kDisk, kCompute, kUpload };

const char* to_string(Limit limit);  // "disk", "compute", "upload": the copies to a GPU

// Predicted for warm caches, a short conversation and an otherwise idle machine. Times in seconds.
struct Prediction {
  double tokens_per_second = 0;               // of decoding
  double decode_seconds = 0;                  // for a token
  double full_context_tokens_per_second = 0;  // of decoding with a full context
  // Calibration factor: decode time of earlier runs of this model in this mode, divided by the plan's own estimate,
  // since the machine was profiled. The three figures above include it. None: no such runs.
  std::optional<double> calibration;
  double bytes_per_token = 0;      // read from disk
  std::optional<double> hit_rate;  // of expert uses while decoding, in any memory; none when no experts are streamed
  std::string hit_rate_source;     // "the routing of 512 earlier tokens", or "the prior"
  double prefill512_seconds = 0;   // for a prompt of 512 tokens
  double prefill4096_seconds = 0;  // and of 4096 tokens, whatever the context
  double load_seconds = 0;         // reading resident weights at the disk's full rate
  double first_token_seconds = 0;  // loading and a prompt of 512 tokens
  // The physical bound: with this division of memory, no engine is faster than the disk delivers the misses, or than
  // the processor computes the resident model.
  double bound_tokens_per_second = 0;
  Limit bound_by = Limit::kDisk;
  uint64_t memory_peak = 0;  // of the process: the ledger, and what the process took before
};

// One of several GPUs that compute a model together, each some layers that follow each other. Bytes.
struct DeviceShare {
  std::string name;
  uint64_t budget = 0;       // of its memory
  uint64_t bytes = 0;        // of that, for all that lies there
  uint32_t first_layer = 0;  // of the model
  uint32_t layers = 0;       // so many from that one on; the last device has the output too
  uint32_t experts = 0;      // with a place there
};

// The GPU that computes, alone or beside the processors, as planned; or several together. Bytes and seconds; those of a
// token while decoding.
struct DevicePlan {
  std::string name;         // "CUDA0", "CUDA0 and CUDA1"
  std::string description;  // the driver's name for it, that of the first
  uint64_t budget = 0;      // of its memory, for all that the ledger lists there; the sum of all
  uint64_t weights = 0;     // that lie there for good
  uint32_t experts = 0;     // of all layers, with a place there
  // The model's last layers that it has, whose output is its too; none: it computes all of them.
  std::optional<uint32_t> layers;
  uint32_t all_layers = 0;             // of the model
  std::vector<DeviceShare> shares;     // of several, in the order of their layers; empty with one
  bool stages = false;                 // prompts bring whole layers; else some experts at a time
  std::optional<double> hit_rate;      // of expert uses, found there; none when all experts lie there
  std::optional<double> ram_hit_rate;  // and found in RAM; the rest is read from disk
  double uploaded_bytes_per_token = 0;
  // By GPU that has layers, in their order: bytes of experts a second from RAM to it, as measured; 0: they were not.
  std::vector<double> upload_rates;
  bool mixed = false;  // as GpuPlacement
  // Where a token's time goes.
  double compute_seconds = 0;
  double upload_seconds = 0;  // copies to the device
  double cpu_seconds = 0;     // the processors' computing, of their layers; with mixed computing beside the device's
  double cut_seconds = 0;     // waiting for the router's choice, layer by layer
  double disk_seconds = 0;
};

// A worker (EngineOptions::workers) as it was found when the plan was made. Bytes and seconds.
struct WorkerPlan {
  std::string name;     // its address
  bool there = false;   // it answered, and may compute for this model; else `reason` says why not
  bool asked = false;   // it computes experts, or layers; of a dense model feed-forward parts, here and below
  std::string reason;   // why it is not asked, with figures; empty: it is
  uint32_t layers = 0;  // whole ones that it computes, the model's last, by WorkerSplit::kLayers
  uint32_t slots = 0;   // for experts
  uint32_t threads = 0;
  uint64_t budget = 0;               // of its memory
  bool measured = false;             // it knows how fast it reads and computes; else both are taken for this machine's
  double disk_bytes_per_second = 0;  // of its reads of an expert's matrices
  double slower = 0;                 // it takes so many times what this machine does to compute an expert
  double round_trip_seconds = 0;     // of an answer that takes no computing: half of them were shorter,
  double slow_round_trip_seconds = 0;  // and nine of ten
  double send_bytes_per_second = 0;    // to it
  double receive_bytes_per_second = 0;
  double share = 0;     // of a token's experts, that it computes
  double hit_rate = 0;  // of these, in its memory
  // Predicted, of decoding: with it and the others that are asked, and with these alone.
  double with_tokens_per_second = 0;
  double without_tokens_per_second = 0;
};

// The decisions, and why they were made.
struct Plan {
  Placement placement;
  Mode mode() const { return placement.mode(); }

  std::optional<DevicePlan> device;  // none: the processors compute
  // Of the options, in their order; empty where they have nothing to compute.
  std::vector<WorkerPlan> workers;
  // Where there are workers: prediction.tokens_per_second of this machine alone; else 0.
  double alone_tokens_per_second = 0;
  uint64_t budget = 0;            // bytes for all that the ledger lists in RAM
  uint64_t process_overhead = 0;  // bytes the process may take besides: code, stacks, allocator
  uint32_t context = 0;           // tokens of one sequence
  uint64_t pinned_bytes = 0;      // of the dense weights that could be streamed
  // As planned; for an open model, with the real sizes of llama.cpp's buffers. Engine::ledger() has what is reserved.
  std::vector<LedgerLine> ledger;
  std::vector<PlacedTensor> tensors;  // in file order
  std::vector<LayerShare> layers;     // ascending

  Prediction prediction;
  // From plan_model() only: predictions with 1 GiB more memory, and with a disk faster by 1 GB/s.
  double more_memory_tokens_per_second = 0;
  double more_disk_tokens_per_second = 0;
  double more_vram_tokens_per_second = 0;  // with 1 GiB more of a GPU's memory; 0 where there is no GPU
  // With EngineOptions::mixed_compute the other way; 0 where no GPU has slots for some of the experts.
  double mixed_other_way_tokens_per_second = 0;
  // And with a repacked copy (hypura/repack.h), also how long a prompt of 512 tokens then takes. 0 where that is no
  // choice: the plan reads one already, or streams nothing, or no matrix that it may stream has a faster layout here,
  // or the options want other kernels.
  double repacked_tokens_per_second = 0;
  double repacked_prefill512_seconds = 0;

  // For people.
  std::string sentence;          // one line: what the plan does
  std::string why;               // one line: the expected speed, and what limits it
  uint32_t cells = 0;            // of the KV cache, in tokens: what all answers share
  std::string context_sentence;  // the chosen context and why; empty where it was given and there are cells for all
  std::string kept_sentence;     // of an open model: where conversations are kept beyond the context; empty: nowhere
  std::vector<std::string> warnings;
  // For an open model with mirrors: the paths that EngineStats::copy_bytes counts for, the model, then each mirror as
  // given.
  std::vector<std::string> copies;
};

// Plans without loading weights: reads the headers only. Without `profile` the speeds are assumed, with a
// warning. A budget in `options` is used as given, with a warning where this machine allows less. Any thread. Fails as
// Engine::open does: kBadModel, kIo, kUsage, kBudget.
Result<Plan> plan_model(const EngineOptions& options, const MachineProfile* profile);

// The same for a model whose headers have been read; ignores options.model.
Result<Plan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile);

}  // namespace hypura

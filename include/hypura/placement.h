// How the weights of a model are divided among the tiers of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "hypura/memory.h"
#include "hypura/result.h"

namespace hypura {

// A placement in one word: which groups of weights are streamed, experts, dense matrices, both or neither.
enum class Mode : uint8_t { kResident, kExpertStreaming, kDenseStreaming, kMixedStreaming };

const char* to_string(Mode mode);                // "resident", "expert-streaming", "dense-streaming", "mixed-streaming"
Result<Mode> parse_mode(std::string_view text);  // fails with kUsage
bool streams_experts(Mode mode);
bool streams_dense(Mode mode);

// The type of the KV cache. kAuto, which a plan never has, stands for the faster one.
enum class KvType : uint8_t { kF16, kQ8_0, kAuto };  // NOLINT(readability-identifier-naming): ggml's name

const char* to_string(KvType type);                   // "f16", "q8_0", "auto"
Result<KvType> parse_kv_type(std::string_view text);  // fails with kUsage

// Which predictor's experts are prefetched: none's, the next layer's router's, co-activation's; or the router's for as
// long as decoding is faster with them.
enum class ReadAhead : uint8_t { kNone, kRouter, kCoactivation, kAuto };

const char* to_string(ReadAhead way);                       // "none", "router", "coactivation", "auto"
Result<ReadAhead> parse_read_ahead(std::string_view text);  // fails with kUsage

// What workers compute of a model: experts, or of one without any feed-forward parts; whole layers; or whichever of the
// two is faster.
enum class WorkerSplit : uint8_t { kAuto, kExperts, kLayers };

const char* to_string(WorkerSplit split);                       // "auto", "experts", "layers"
Result<WorkerSplit> parse_worker_split(std::string_view text);  // fails with kUsage

// Where a group of weights is. A group that is not streamed stays in llama.cpp's own buffers. Of a streamed group, some
// weights are pinned, and some lie in slots (experts) or in the ring (dense); the rest is read when needed.
struct GroupPlacement {
  bool streamed = false;
  Tier pinned_on = Tier::kRam;
  Tier slots_on = Tier::kRam;
  Tier streamed_from = Tier::kDisk;
};

// The dense matrices that can be streamed, in order of use; the larger ones in ranges of their rows.
struct DensePlacement : GroupPlacement {
  std::vector<bool> pinned = {};  // by range: whether it stays; empty when none is streamed
  uint64_t pinned_bytes = 0;      // slot bytes of those that stay
  uint64_t ring_bytes = 0;        // for the others
  uint64_t streamed_bytes = 0;    // of the others, on disk: read in every pass
};

// The routed experts.
struct ExpertPlacement : GroupPlacement {
  uint32_t all = 0;          // experts of all layers
  uint32_t slots = 0;        // for experts
  uint32_t spare_slots = 0;  // of these, kept free between passes; 0 when all experts have a slot
  std::vector<uint32_t> group_slots =
      {};  // by group of layers that are alike: experts kept; the sum is slots - spare_slots
  std::vector<uint32_t> layer_slots = {};  // the same by MoE layer
};

// Tables of which a pass uses a row for each of its tokens, and nothing else, such as token embeddings. Streamed, their
// rows are read when they are looked up.
struct TablePlacement : GroupPlacement {};

// GPUs that compute the model, each some layers that follow each other, with all of their dense weights in its memory.
// With ExpertPlacement::streamed some experts of each layer have slots there, over those in RAM; without, all weights
// are there.
struct GpuPlacement {
  std::vector<uint32_t> layer_slots = {};  // by MoE layer: experts with a slot on its device
  // Layers of which all experts are needed pass through memory for two of them; else some experts at a time are
  // computed.
  bool stages = true;
  // While nothing passes through, layers that are alike borrow that memory as further slots. Set where stages is.
  bool borrows = false;
  // In passes of few tokens the processors compute the experts that have no slot there (EngineOptions::mixed_compute).
  bool mixed = false;
  uint64_t slot_bytes = 0;     // all slots, on all devices
  uint64_t staging_bytes = 0;  // for layers that pass through
  // By device: how many layers of the model it has, those that follow the devices before it; the output counts as one,
  // the last. 0: it is not used.
  std::vector<uint32_t> device_layers = {};
  // The layers before these, which the processors compute because the devices have no room for their dense weights:
  // those lie in RAM, and so do experts, with a slot or read when needed.
  uint32_t host_layers = 0;
};

struct Placement {
  DensePlacement dense;
  ExpertPlacement experts;
  TablePlacement tables;
  std::optional<GpuPlacement> gpu;  // none: the processors compute
  KvType kv_type = KvType::kF16;
  uint32_t ubatch = 0;  // tokens in the largest pass of a prompt

  double objective = 0;  // what the solver minimised, seconds (placement/cost.h)
  std::optional<double>
      bound;  // no placement has less: the least optimum of all linear programs; none without a solver

  Mode mode() const;
  // How far the placement may be from the best, as a share of its objective; 0 without a bound.
  double gap() const;
};

}  // namespace hypura

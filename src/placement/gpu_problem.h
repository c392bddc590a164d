// What GPUs add to a placement problem: their memory, what lies there, and how fast they are. Plain numbers;
// plan/gpu_problem.h fills them in.
//
// All sizes are bytes, all times seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placement/gpu_speeds.h"
#include "placement/problem_parts.h"

namespace hypura {

// MoE layers that are alike, the group of PlacementProblem::experts with the same number.
struct GpuGroup {
  uint64_t slot_bytes = 0;   // of one expert in the device's memory
  uint64_t layer_bytes = 0;  // that the slots of a layer take besides: padding
  bool borrows = false;      // these layers may borrow slots (residency/borrowed_slots.h)
};

// A layer of the model, or the output, which follows the last.
struct GpuModelLayer {
  uint64_t weights = 0;  // all but the experts that can be streamed
  double kv_share = 0;   // of all keys and values
  bool streams = false;  // its experts can be streamed: it is the next of PlacementProblem::layer_groups
  uint32_t dense = 0;    // of its weights so many can be streamed: the next of PlacementProblem::dense
};

// One of the devices. What it has of the model is for put_layers() to say (placement/gpu_devices.h).
struct GpuPart {
  uint64_t budget = 0;  // of its memory
  std::vector<GpuSpeeds>
      speeds;  // for each of GpuProblem::ubatch, in passes of up to that size: all of the model there

  uint32_t layers = 0;            // of GpuProblem::layers, those that follow the devices before; 0: it is not used
  size_t first_streamed = 0;      // of PlacementProblem::layer_groups, from this one
  size_t end_streamed = 0;        // to the one before this
  uint64_t weights = 0;           // there, all but the experts that can be streamed
  std::vector<uint64_t> kv;       // bytes there, for each of GpuProblem::kv
  std::vector<uint64_t> compute;  // the same of compute buffers, for each of GpuProblem::ubatch

  bool has(size_t streamed_layer) const { return streamed_layer >= first_streamed && streamed_layer < end_streamed; }
};

// The model's first layers, where the processors compute them beside the devices. How many is for divide_layers() to
// say, and the rest for put_layers().
struct GpuHostLayers {
  uint32_t layers = 0;       // of GpuProblem::layers, before those of the devices
  size_t end_streamed = 0;   // of PlacementProblem::layer_groups, those before this one
  size_t end_dense = 0;      // of PlacementProblem::dense, those before this one
  uint64_t weights = 0;      // in RAM, all but the experts that can be streamed
  std::vector<uint64_t> kv;  // bytes there, for each of GpuProblem::kv
  // Their dense weights may all stay there, or be pinned in a part and pass through a ring.
  bool may_stay = true;
  bool may_stream = false;
};

struct GpuProblem {
  std::vector<GpuPart> devices;       // at least one, in the order of the layers
  std::vector<GpuModelLayer> layers;  // of the model, and the output
  GpuHostLayers host;                 // the first of these
  bool required = false;              // all of them are to compute, also where fewer or the processors would be faster,
  bool or_processors = true;          // and the processors where they cannot
  // The one device computes in the machine's memory: its slots are RAM's, nothing is below them, and its budget is a
  // part of RAM's.
  bool in_ram = false;
  bool may_hold_all = true;          // everything may lie there
  bool may_stream = false;           // some experts may be in slots there, over slots in RAM
  bool may_look_up = false;          // tables may be looked up row by row where experts are in slots
  bool may_leave_layers = false;     // the first layers may be the processors' where the others fit there
  uint32_t offload_from = 0;         // passes of so many tokens have their dense products in those layers computed by
                                     // the first device, which gets the weights copied; 0: none have
  bool mixed = false;                // in passes of few tokens the processors compute what has no slot there,
  uint64_t mixed_bytes = 0;          // for which they take so much RAM
  uint64_t host_weights = 0;         // that stay in RAM: the table of embeddings
  uint64_t other = 0;                // what streaming takes on each device besides slots and staging
  std::vector<KvChoice> kv;          // of all layers; at least one
  std::vector<UbatchChoice> ubatch;  // at least one; device_bytes are those of one device
  std::vector<GpuGroup> groups;
  std::string obstacle;   // why it can compute nothing of this model; empty: it can
  std::string undivided;  // why none of the model's layers are there where all are too many; empty: they are

  // Set by hand, for measurements: so many experts of each layer have slots, or all of them; and GpuPlacement::stages.
  std::optional<uint32_t> layer_slots;
  std::optional<bool> stages;

  uint64_t budget() const;   // of all that have layers
  uint64_t weights() const;  // GpuPart::weights of all
  // In RAM, of the processors' layers; 0 where they have none.
  uint64_t host_kv(KvType type) const;
  uint64_t host_bytes(const UbatchChoice& pass) const { return host.layers > 0 ? pass.host_bytes : 0; }
  uint64_t host_expert_bytes(const UbatchChoice& pass) const { return host.layers > 0 ? pass.host_expert_bytes : 0; }
  uint32_t used() const;  // devices that have layers
  // Of that device, for placements with passes of `tokens` tokens.
  const GpuSpeeds& speeds_for(const GpuPart& device, uint32_t tokens) const;
};

}  // namespace hypura

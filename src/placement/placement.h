// Where the bytes of a model go inside a memory budget. Pure policy over sizes: no files, no llama.cpp, no OS.
//
// What is read for every token has the highest value a byte: everything outside the experts is kept resident before
// any expert is. What remains goes to expert slots. Only when not even the dense weights fit are they streamed too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

enum class Mode { kResident, kExpertStreaming, kDenseStreaming, kMixedStreaming };

const char* mode_name(Mode mode);

// Sizes in bytes, of one model under one set of options.
struct PlacementInput {
  uint64_t budget = 0;
  uint64_t fixed = 0;    // weights that are never streamed
  uint64_t runtime = 0;  // KV cache, compute and row buffers, vocabulary: measured, or estimated before loading

  uint64_t dense = 0;         // weights that the ring could stream; rooms included
  uint64_t largest_room = 0;  // the largest of them
  uint64_t experts = 0;       // all routed experts, on disk
  uint64_t slot_stride = 0;   // one expert's slot
  uint32_t expert_slots = 0;  // slots that would hold all experts: layers x experts
  uint32_t experts_used = 0;  // experts a token uses in one layer
};

struct Placement {
  Mode mode = Mode::kResident;
  uint32_t slots = 0;         // for experts
  uint32_t spare_slots = 0;   // of these, kept free between passes
  uint64_t pinned_bytes = 0;  // of the dense weights
  uint64_t ring_bytes = 0;    // for the others
};

// The modes that can hold the model at all, best first; empty when none can. `input.runtime` may be an estimate.
std::vector<Mode> feasible_modes(const PlacementInput& input);

// The smallest budget under which `mode` works.
uint64_t minimum_budget(const PlacementInput& input, Mode mode);

// The smallest budget under which the model can be streamed at all, in the mode that needs least.
uint64_t minimum_budget(const PlacementInput& input);

// Divides the budget under `mode`. Fails with kBudget, naming the smallest budget, when it cannot work.
Result<Placement> place(const PlacementInput& input, Mode mode);

}  // namespace hypura

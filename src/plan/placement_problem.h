// From a model, its options and what is known of machine and model to a placement problem; and what that problem's
// numbers are when the model is open.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "backend/stream_layout.h"
#include "history/knowledge.h"
#include "hypura/engine.h"
#include "model/model.h"
#include "placement/placement.h"
#include "plan/plan_overrides.h"
#include "storage/reader.h"
#include "store/packed_copy.h"

namespace hypura {

// What one attempt to open a model needs to know.
struct OpenRequest {
  const EngineOptions& options;
  const Model& model;
  uint64_t budget = 0;
  uint32_t threads = 0;
  uint32_t context = 0;  // tokens of one sequence
  const Knowledge& knowledge;
  uint32_t sequences = 1;            // at once
  std::vector<Mirror> mirrors = {};  // found and compared
  PackedCopy packed = {};            // that is read instead of the model's files, when it has any
  std::string context_remark = {};   // as PlanSummary::context
  PlanOverrides overrides = {};

  bool reads_packed() const { return !packed.files.empty(); }
  // Tokens that the KV cache holds.
  uint32_t cells() const { return context * sequences; }
  // Most tokens of a pass of `ubatch` that give logits: at least one of each sequence.
  uint32_t outputs(uint32_t ubatch) const { return std::max(std::min(options.outputs, ubatch), sequences); }
};

// Whether a repacked copy is read where there is one.
inline bool may_read_packed(const EngineOptions& options) {
  return options.repacked && options.repack && options.mirrors.empty();
}

// Threads as asked for or one a core; the context as asked for or as long as the model knows, or chosen; the model's
// repacked copy where the options allow it. The references must outlive the result.
OpenRequest make_request(const EngineOptions& options, const Model& model, uint64_t budget, const Knowledge& knowledge,
                         const PlanOverrides& overrides = {});

inline constexpr uint32_t kLargestUbatch = 512;
inline constexpr uint32_t kSmallestUbatch = 32;

// Fails with kUsage when options.kv_type is none that there is, or one that the model's heads do not divide into.
Result<PlacementProblem> placement_problem(const OpenRequest& request);

// MoE layers of the model that can be streamed, ascending, and the group of the problem that each belongs to.
std::vector<size_t> groups_of_layers(const StreamLayout& layout);

// By MoE layer: how many of its experts `placement` keeps.
std::vector<uint32_t> layer_slots(const StreamLayout& layout, const PlacementProblem& problem,
                                  const Placement& placement);

// Puts in what the KV cache and the compute buffers of `placement` really take, and corrects the other choices' sizes
// that are estimates in the same proportion.
void correct_estimates(PlacementProblem& problem, const Placement& placement, uint64_t kv, uint64_t compute);

// A pace holds for runs of the same mode, threads and kernels: "expert-streaming, 2 threads, packed".
std::string pace_key(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

}  // namespace hypura

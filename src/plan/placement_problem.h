// From a model, its options and what is known of machine and model to a placement problem; and what that problem's
// numbers are when the model is open.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "backend/stream_layout.h"
#include "history/run_history.h"
#include "hypura/engine.h"
#include "llama/llama_context.h"
#include "model/model.h"
#include "placement/placement.h"
#include "plan/budget_choice.h"
#include "plan/gpu_choice.h"
#include "plan/machine_speeds.h"
#include "plan/plan_overrides.h"
#include "plan/worker_speeds.h"
#include "storage/reader.h"
#include "store/repacked_copy.h"

namespace hypura {

// What one attempt to open a model needs to know.
struct OpenRequest {
  EngineOptions options;
  const Model& model;
  uint64_t budget = 0;
  uint32_t threads = 0;
  uint32_t context = 0;  // tokens of one sequence
  const RunHistory& history;
  uint32_t sequences = 1;                   // at once
  std::vector<Mirror> mirrors = {};         // found and compared
  RepackedCopy repacked = {};               // that is read instead of the model's files, when it has any
  std::string context_remark = {};          // as Plan::context_sentence
  std::string budget_remark = {};           // as BudgetChoice::remark
  std::string split_remark = {};            // why workers compute what they do, a clause; empty: nothing was to choose
  uint64_t process_memory = 0;              // bytes that the process has before it is opened
  bool spare_sequence = false;              // the context has one more, which parts of others pass through
  uint32_t most_outputs = options.outputs;  // as EngineOptions::outputs; more where drafts are verified
  PlanOverrides overrides = {};
  ChosenGpu gpu = {};                            // those that may compute
  std::optional<GpuLayers> planned_layers = {};  // a plan's choice (plan/gpu_layers.h)
  std::vector<PlannedWorker> workers = {};       // that were looked for
  uint32_t pool = 0;                             // cells that all sequences share; 0: as many as all could want

  bool reads_repacked() const { return !repacked.files.empty() && gpu_layers() == nullptr; }
  // The layers that GPUs compute without slots; nullptr: none.
  const GpuLayers* gpu_layers() const {
    if (overrides.gpu && overrides.gpu->layers) {
      return &*overrides.gpu->layers;
    }
    return planned_layers ? &*planned_layers : nullptr;
  }
  // Of these, how many each of gpu.devices has; empty where there are none.
  std::vector<uint32_t> layers_of_devices() const;
  // Which of gpu.devices have some, in the order of the layers; the first where the number of layers is 0.
  std::vector<size_t> devices_with_layers() const;
  std::vector<std::string> names_with_layers() const;
  // Whether weights are laid out for the processors' fastest kernels. Beside a GPU with layers of its own they are not:
  // it takes them as they are, and a product must not depend on who computes it at which budget.
  bool repacks() const { return options.repack && gpu_layers() == nullptr; }
  // Dense matrices of more bytes move in ranges of their rows.
  uint64_t range_bytes() const;
  // As lay_out(), of what the processors compute; `from_copy`: the repacked one; `rows`: of tables, only rows are read.
  // Beside a GPU with layers of its own token embeddings that are the output matrix too stay. `host_layers`: beside
  // GPUs with slots, where the dense ones are of so many layers, the first; in the order of a layout of all.
  StreamLayout layout(bool experts, bool dense, bool from_copy, bool rows = false,
                      std::optional<uint32_t> host_layers = {}) const;
  // Of the workers that are named those for whose messages memory is planned: all but those that are left out, which
  // are not connected to again.
  uint32_t messaged_workers() const;
  bool leaves_out(size_t worker) const { return worker < workers.size() && workers[worker].left_out(); }
  // Tokens that the KV cache holds.
  uint32_t cells() const { return pool > 0 ? pool : context * sequences; }
  // Most tokens of a pass of `ubatch` that give logits: at least one of each sequence.
  uint32_t outputs(uint32_t ubatch) const { return std::max(std::min(most_outputs, ubatch), sequences); }
};

// Whether a repacked copy is read where there is one.
inline bool may_read_repacked(const EngineOptions& options) {
  return options.repacked && options.repack && options.mirrors.empty();
}

// Threads as asked for or one a core; the context as asked for or as long as the model knows, or chosen; the model's
// repacked copy where the options allow it. The references must outlive the result.
OpenRequest make_request(const EngineOptions& options, const Model& model, const BudgetChoice& budget,
                         const RunHistory& history, const PlanOverrides& overrides = {}, const ChosenGpu& gpu = {});

// The same in two steps, between which workers may be looked for (load/workers.h), by which a context is then chosen:
// up to there it is as asked for, or 0.
OpenRequest begin_request(const EngineOptions& options, const Model& model, const BudgetChoice& budget,
                          const RunHistory& history, const PlanOverrides& overrides, const ChosenGpu& gpu);
void choose_contexts(OpenRequest& request);

inline constexpr uint32_t kLargestUbatch = 512;
inline constexpr uint32_t kSmallestUbatch = 32;

// Fails with kUsage when options.kv_type is one that the model's heads do not divide into, or the mode that is set by
// hand none of the model's.
Result<PlacementProblem> placement_problem(const OpenRequest& request);

// One matrix on the processors, or some of its rows. The output is of a prompt's last token only.
PassSeconds matrix_seconds(const MachineSpeeds& speeds, const TensorInfo& tensor);
PassSeconds item_seconds(const MachineSpeeds& speeds, const DenseItem& item);

// What a layer without experts takes besides its products, for each pass.
double layer_operations(const MachineSpeeds& speeds);
// What one with experts takes besides that, where they are computed from slots.
double expert_layer_operations(const MachineSpeeds& speeds, const Model& model);

// By MoE layer that can be streamed, ascending: the group of layers like it.
std::vector<size_t> groups_of_layers(const StreamLayout& layout);

// `problem` with no other choice left of what is streamed, and of what computes, than `placement` makes.
PlacementProblem only_as(const Placement& placement, PlacementProblem problem);

// Puts in what the KV cache and the compute buffers of `placement` really take, and corrects the other choices' sizes
// that are estimates in the same proportion.
void correct_estimates(PlacementProblem& problem, const Placement& placement, const ContextMemory& real);

// Scales `estimate`, of another choice than was measured.
uint64_t in_proportion(uint64_t estimate, uint64_t measured, uint64_t its_estimate);

// A calibration factor holds for runs of the same mode, threads and kernels: "expert-streaming, 2 threads, repacked
// copy"; of a GPU, also where both tiers above the disk hold all experts or lack some: "expert-streaming on CUDA0, f16,
// from disk".
std::string calibration_key(const OpenRequest& request, const Placement& placement);

}  // namespace hypura

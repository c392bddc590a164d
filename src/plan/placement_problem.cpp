#include "plan/placement_problem.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/loading/own_layouts.h"
#include "backend/repack_buffer.h"
#include "backend/streamed_weights.h"
#include "llama/open/memory_estimate.h"
#include "llama/open/mtp_layers.h"
#include "placement/popularity.h"
#include "plan/expert_routing.h"
#include "plan/gpu_layers.h"
#include "plan/gpu_problem.h"
#include "plan/gpu_share.h"
#include "plan/machine_speeds.h"
#include "plan/multiplied.h"
#include "plan/worker_parts.h"
#include "storage/reader.h"
#include "support/fail.h"
#include "tiers/direct_place.h"
#include "tiers/slot_layout.h"
#include "tiers/table_rows.h"

namespace hypura {

namespace {

// Small operations of llama.cpp's graphs, views left out: two norms with their weights, rotations, the KV cache's
// update, attention, two additions; with experts also the router's choice, and a sum over those used.
constexpr double kLayerOperations = 14;

// Bytes by which weights grow when llama.cpp's loader puts them into a layout of the processor's own: that may be
// larger than the file's, and an output matrix that is the table of the embeddings too is then there twice, since rows
// are looked up in the file's layout.
uint64_t own_layout_growth(const Model& model) {
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : model.tensors) {
    const bool matrix = is_multiplied(tensor, has_output) && tensor.shape[2] == 1;
    const auto own = matrix ? own_layout_bytes(tensor.type, tensor.shape[0], tensor.shape[1]) : std::nullopt;
    const uint64_t before = tensor.role == TensorRole::kEmbedding ? 0 : tensor.extent.length;
    bytes += own ? *own - std::min(*own, before) : 0;
  }
  return bytes;
}
constexpr double kExpertOperations = 10;
// llama_decode itself: its inputs, its graph, the logits. Measured on a model that is computed in a millisecond.
constexpr double kPassSeconds = 0.0002;
// What streaming costs an expert layer besides its products: bookkeeping, measured; and where it waits for a read, the
// waking of the threads that slept meanwhile. 80 us fit the stories model at three budgets (docs/lab/experiments.md,
// "How far the predictions are off").
constexpr double kBlockSeconds = 0.00003;
constexpr double kWakeSeconds = 0.00008;
// Attention with a quantised KV cache, as a share of all computing. Assumed: it makes "auto" keep f16 unless the memory
// gained brings more.
constexpr double kQuantisedKvCost = 0.02;

}  // namespace

namespace {

PassSeconds product_with(const MachineSpeeds& speeds, const TensorInfo& tensor, int64_t elements, uint64_t bytes) {
  PassSeconds seconds = speeds.matrix(tensor.type, static_cast<double>(bytes), static_cast<double>(elements));
  if (gives_logits(tensor)) {
    seconds.more = 0;  // they are wanted of a prompt's last token only
  }
  return seconds;
}

}  // namespace

PassSeconds matrix_seconds(const MachineSpeeds& speeds, const TensorInfo& tensor) {
  return product_with(speeds, tensor, tensor.shape[0] * tensor.shape[1] * tensor.shape[2], tensor.extent.length);
}

PassSeconds item_seconds(const MachineSpeeds& speeds, const DenseItem& item) {
  const TensorInfo& tensor = *item.tensor;
  return product_with(speeds, tensor, tensor.shape[0] * item.rows.rows * tensor.shape[2], item.extent.length);
}

double layer_operations(const MachineSpeeds& speeds) {
  return kLayerOperations * speeds.operation();
}

double expert_layer_operations(const MachineSpeeds& speeds, const Model& model) {
  return (kExpertOperations + static_cast<double>(model.experts_used)) * speeds.operation() + kBlockSeconds;
}

namespace {

uint32_t experts_used(const Model& model) {
  return static_cast<uint32_t>(std::max<int64_t>(model.experts_used, 1));
}

// Layers are alike when their experts are of one number and size. In the order of their first layer.
struct Alike {
  uint32_t experts = 0;
  uint64_t bytes = 0;
  bool operator==(const Alike&) const = default;
};

Alike alike(const ExpertLayer& layer) {
  Alike it{layer.experts, 0};
  for (const ExpertPart& part : layer.parts) {
    it.bytes += part.slice_bytes;
  }
  return it;
}

// How many the reader makes of so many bytes.
double reads_of(uint64_t bytes) {
  return std::ceil(static_cast<double>(bytes) / static_cast<double>(ReaderOptions{}.chunk_bytes));
}

class ProblemBuilder {
 public:
  explicit ProblemBuilder(const OpenRequest& request)
      : request_(request),
        speeds_(request.history.profile, request.threads),
        layout_(request.layout(true, true, request.reads_repacked(), true)) {}

  PlacementProblem build();

 private:
  void add_sizes();
  void add_choices();
  void add_dense();
  DenseWeight dense_weight(const DenseItem& item) const;
  void add_experts();
  void add_expert_seconds(ExpertGroup& group, const ExpertLayer& layer) const;
  void add_tables();
  void add_rest();
  void add_resident();
  bool keeps_dense() const;
  void add_modes();
  void add_overrides();

  const OpenRequest& request_;
  MachineSpeeds speeds_;
  StreamLayout layout_;
  PlacementProblem problem_;
};

PlacementProblem ProblemBuilder::build() {
  add_sizes();
  add_choices();
  add_dense();
  add_experts();
  add_tables();
  add_rest();
  add_resident();
  add_modes();
  add_overrides();
  if (request_.gpu_layers() != nullptr) {
    add_gpu_layers(request_, problem_);
  }
  return std::move(problem_);
}

void ProblemBuilder::add_sizes() {
  problem_.budget = request_.budget;
  problem_.fixed = layout_.resident_bytes;
  if (const GpuLayers* layers = request_.gpu_layers()) {
    problem_.fixed -= gpu_weight_bytes(request_.model, *layers);
  }
  problem_.unused = loaded_though_unused(request_.model);
  problem_.growth = request_.repacks() ? own_layout_growth(request_.model) : 0;
  problem_.other = vocabulary_bytes(request_.model);
  problem_.expert_bytes = layout_.expert_bytes;
  problem_.slot_stride = SlotLayout(layout_.expert_layers).stride();
}

void ProblemBuilder::add_choices() {
  const EngineOptions& options = request_.options;
  const GpuLayers* layers = request_.gpu_layers();
  const double kept = layers == nullptr ? 1 : kv_share_before_gpu(request_.model, *layers);
  for (const KvType type : {KvType::kF16, KvType::kQ8_0}) {
    const bool usable =
        options.kv_type == type || (options.kv_type == KvType::kAuto && kv_type_fits(request_.model, type));
    if (usable) {
      const double slower = type == KvType::kF16 ? 0 : kQuantisedKvCost;
      const uint64_t all = estimate_context_bytes(request_.model, request_.cells(), type, request_.sequences);
      problem_.kv.push_back({type, static_cast<uint64_t>(static_cast<double>(all) * kept), slower});
    }
  }
  // Every running sequence has a token in every pass.
  const uint32_t least = std::max(kSmallestUbatch, request_.sequences);
  uint32_t ubatch = std::min(options.ubatch > 0 ? options.ubatch : largest_pass(request_), request_.context);
  ubatch = std::max(ubatch, request_.sequences);
  const StreamLayout experts = request_.layout(true, false, request_.reads_repacked());
  do {
    const uint64_t repacking = request_.repacks() ? RepackBuffer::bytes(experts, ubatch) : 0;
    const uint64_t both = request_.repacks() ? RepackBuffer::bytes(layout_, ubatch) : 0;
    problem_.ubatch.push_back(
        {ubatch, estimate_compute_bytes(request_.model, ubatch, request_.cells(), request_.outputs(ubatch)),
         StreamedWeights::expert_buffer_bytes(layout_, ubatch) + repacking, both - repacking});
    ubatch /= 2;
  } while (options.ubatch == 0 && ubatch >= least);
}

void ProblemBuilder::add_dense() {
  uint64_t largest = 1;
  double reads = 0;
  for (const DenseItem& item : layout_.dense) {
    reads += reads_of(item.extent.length);
    problem_.dense.push_back(dense_weight(item));
    largest = std::max(largest, item.extent.length);
  }
  add_worker_parts(layout_, problem_);
  const ReaderOptions reader;
  problem_.dense_disk = speeds_.disk(largest, reader.prefetch_depth);
  problem_.dense_disk.latency += kWakeSeconds;
  problem_.best_dense_bytes_per_second = speeds_.disk_at_best(largest, reader.prefetch_depth).bytes_per_second;
  problem_.dense_ahead = reader.prefetch_depth * reader.chunk_bytes;
  problem_.dense_issuing = reads > 0 ? reads * speeds_.read_seconds() / static_cast<double>(problem_.dense_bytes()) : 0;
}

// As computed by us: repacked for the passes of a prompt, where that pays.
DenseWeight ProblemBuilder::dense_weight(const DenseItem& item) const {
  const TensorInfo& tensor = *item.tensor;
  DenseWeight weight = {item.extent.length, place_capacity(item.extent.length), item_seconds(speeds_, item)};
  PassSeconds& seconds = weight.seconds;
  if (item.repacked) {
    const auto faster = speeds_.repacked_dense(tensor.type);
    const double prompt = seconds.of(kPromptTokens) / faster.prompt;
    seconds.first /= faster.token;
    seconds.more = gives_logits(tensor) ? 0 : std::max(0.0, prompt - seconds.first) / (kPromptTokens - 1);
  } else if (request_.repacks() && RepackBuffer::repacks(item) && !gives_logits(tensor)) {
    const auto bytes = static_cast<double>(item.extent.length);
    const auto elements = static_cast<double>(tensor.shape[0] * item.rows.rows);
    weight.repacked = speeds_.repacked_matrix(tensor.type, bytes, elements);
    weight.repacked_from =
        static_cast<double>(RepackBuffer::least_rows(layout_, tensor.type, tensor.shape[0], item.rows.rows));
  }
  return weight;
}

void ProblemBuilder::add_experts() {
  const std::vector<size_t> groups = groups_of_layers(layout_);
  problem_.layer_groups = groups;
  uint64_t slice = UINT64_MAX;
  for (size_t i = 0; i < groups.size(); ++i) {
    const ExpertLayer& layer = layout_.expert_layers[i];
    if (groups[i] == problem_.experts.size()) {
      const uint32_t used = std::min(experts_used(request_.model), layer.experts);
      ExpertGroup group;
      group.experts = layer.experts;
      group.used = used;
      group.bytes = alike(layer).bytes;
      for (const ExpertPart& part : layer.parts) {
        slice = std::min(slice, part.slice_bytes);
        group.issuing += reads_of(part.slice_bytes) * speeds_.read_seconds();
      }
      add_expert_seconds(group, layer);
      add_routing(request_.history, layout_, groups, groups[i], group);
      problem_.experts.push_back(std::move(group));
    }
    ++problem_.experts[groups[i]].layers;
  }
  problem_.expert_disk = speeds_.disk(slice, ReaderOptions{}.depth);
  problem_.best_expert_bytes_per_second = speeds_.disk_at_best(slice, ReaderOptions{}.depth).bytes_per_second;
  problem_.expert_disk.latency += kWakeSeconds;
  problem_.reads_ahead = request_.overrides.read_ahead != ReadAhead::kNone;
}

void ProblemBuilder::add_expert_seconds(ExpertGroup& group, const ExpertLayer& layer) const {
  for (const ExpertPart& part : layer.parts) {
    const TensorInfo& tensor = *part.tensor;
    const auto bytes = static_cast<double>(part.slice_bytes);
    const auto elements = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
    if (part.repacked) {
      const PassSeconds repacked = speeds_.repacked_expert(tensor.type, bytes, elements);
      group.seconds += repacked;
      group.repacked += repacked;
      continue;
    }
    const PassSeconds plain = speeds_.expert_matrix(tensor.type, bytes, elements);
    const int64_t from = RepackBuffer::least_rows(layout_, tensor.type, tensor.shape[0], tensor.shape[1]);
    group.seconds += plain;
    if (request_.repacks() && from < std::numeric_limits<int64_t>::max()) {
      group.repacked += speeds_.repacked_alone(tensor.type, bytes, elements);
      group.repacked_from = std::min(group.repacked_from, static_cast<double>(from));
    } else {
      group.repacked += plain;
    }
  }
}

void ProblemBuilder::add_tables() {
  TableGroup& tables = problem_.tables;
  uint64_t smallest = UINT64_MAX;
  for (const TableItem& table : layout_.tables) {
    // Whole blocks; in most cases a row's bytes reach into one more than they fill.
    const uint64_t row = table.tensor->row_bytes();
    const auto token =
        static_cast<double>(round_up(row, kDirectAlignment)) + static_cast<double>(row % kDirectAlignment);
    smallest = std::min(smallest, row);
    (table.is_output ? tables.output_buffer_bytes : tables.buffer_bytes) += TableRows::bytes_for(table);
    (table.is_output ? tables.output_token_bytes : tables.token_bytes) += token;
  }
  tables.bytes = layout_.table_bytes;
  tables.may_stream = tables.bytes > 0;
  tables.may_stay = !request_.overrides.row_cache || tables.bytes == 0;
  if (!layout_.tables.empty()) {
    problem_.table_disk = speeds_.disk(smallest, ReaderOptions{}.depth);
    problem_.table_disk.latency += kWakeSeconds;
  }
}

void ProblemBuilder::add_rest() {
  const Model& model = request_.model;
  const bool has_output = std::any_of(model.tensors.begin(), model.tensors.end(), is_output);
  for (const TensorInfo& tensor : model.tensors) {
    const bool on_device = request_.gpu_layers() != nullptr && on_gpu(model, *request_.gpu_layers(), tensor);
    if (is_multiplied(tensor, has_output) && !layout_.streams(tensor) && !on_device) {
      problem_.rest += matrix_seconds(speeds_, tensor);
    }
  }
  const auto moe = static_cast<double>(layout_.expert_layers.size());
  const GpuLayers* layers = request_.gpu_layers();
  const double ours = layers == nullptr ? 1 : kv_share_before_gpu(model, *layers);
  const double operations = ours * kLayerOperations * static_cast<double>(model.layers) +
                            moe * (kExpertOperations + static_cast<double>(model.experts_used));
  problem_.rest.first += operations * speeds_.operation() + kPassSeconds;
  problem_.attention = ours * speeds_.attention(attention_width(model));
  problem_.rest.first += problem_.attention * std::min(request_.options.predicted_at, request_.context);
  problem_.rest.more += ours * speeds_.prompt_attention(attention_width(model)) * (kPromptTokens / 2.0);
  problem_.contention = speeds_.contention();
  problem_.computing_lasts = speeds_.computing_lasts();
  problem_.block_seconds = kBlockSeconds;
}

// Everything resident: the same products, in llama.cpp's repacked form where it has one.
void ProblemBuilder::add_resident() {
  const bool repack = request_.repacks();
  double token = problem_.rest.first;
  double prompt = problem_.rest.of(kPromptTokens);
  for (const DenseItem& item : layout_.dense) {
    const auto faster = repack ? speeds_.resident_dense(item.tensor->type) : MachineSpeeds::Repacked{};
    const PassSeconds seconds = item_seconds(speeds_, item);
    token += seconds.first / faster.token;
    prompt += seconds.of(kPromptTokens) / faster.prompt;
  }
  const std::vector<size_t> groups = groups_of_layers(layout_);
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::vector<ExpertPart>& parts = layout_.expert_layers[i].parts;
    const auto faster = repack ? speeds_.repacked_expert(parts.front().tensor->type) : MachineSpeeds::Repacked{};
    PassSeconds expert;
    for (const ExpertPart& part : parts) {
      const TensorInfo& tensor = *part.tensor;
      expert += speeds_.expert_matrix(tensor.type, static_cast<double>(part.slice_bytes),
                                      static_cast<double>(tensor.shape[0] * tensor.shape[1]));
    }
    const ExpertGroup& group = problem_.experts[groups[i]];
    const double touched = expected_experts(group.popularity, 0, kPromptTokens);
    const double rows = static_cast<double>(kPromptTokens) * group.used;
    token += group.used * expert.first / faster.token;
    prompt += (touched * expert.first + std::max(0.0, rows - touched) * expert.more) / faster.prompt;
  }
  problem_.resident = {token, std::max(0.0, prompt - token) / (kPromptTokens - 1)};
}

// Whether none of the dense weights is left to llama.cpp, even where all of them stay. What a repacked copy has in
// ggml's fastest layout only we can compute with; and what we repack for prompts has other last bits than what
// llama.cpp then computes, which must not depend on the budget. (Prompts of a MoE are faster by 5 to 10 % for it.)
bool ProblemBuilder::keeps_dense() const {
  return std::any_of(layout_.dense.begin(), layout_.dense.end(), [&](const DenseItem& item) {
    const TensorInfo& tensor = *item.tensor;
    const bool repacked =
        request_.repacks() && RepackBuffer::repacks(item) &&
        RepackBuffer::least_rows(layout_, tensor.type, tensor.shape[0], tensor.shape[1]) <= kLargestUbatch;
    return item.repacked || repacked;
  });
}

// A MoE's experts are what most tokens do not use: they are streamed before anything else is.
void ProblemBuilder::add_modes() {
  const bool experts = !layout_.expert_layers.empty();
  if (request_.options.resident || (!experts && layout_.dense.empty())) {
    problem_.modes.push_back(Mode::kResident);
  }
  if (experts && !keeps_dense()) {
    problem_.modes.push_back(Mode::kExpertStreaming);
  }
  if (!layout_.dense.empty() || (request_.gpu_layers() != nullptr && !experts && !layout_.tables.empty())) {
    problem_.modes.push_back(experts ? Mode::kMixedStreaming : Mode::kDenseStreaming);
  }
}

void ProblemBuilder::add_overrides() {
  const PlanOverrides& overrides = request_.overrides;
  problem_.ring_ahead = overrides.ring_ahead;
  problem_.cached = overrides.cached_experts;
  if (overrides.mode) {
    std::erase_if(problem_.modes, [&](Mode mode) { return mode != *overrides.mode; });
  }
}

}  // namespace

uint64_t in_proportion(uint64_t estimate, uint64_t measured, uint64_t its_estimate) {
  const double factor = its_estimate > 0 ? static_cast<double>(measured) / static_cast<double>(its_estimate) : 1;
  return static_cast<uint64_t>(factor * static_cast<double>(estimate));
}

Result<PlacementProblem> placement_problem(const OpenRequest& request) {
  const KvType type = request.options.kv_type;
  if (type != KvType::kAuto && !kv_type_fits(request.model, type)) {
    return fail(ErrorCode::kUsage,
                "{}: the KV cache cannot be of type {}: the width of the model's heads is not a multiple of 32",
                request.model.name, to_string(type));
  }
  PlacementProblem problem = ProblemBuilder(request).build();
  problem.gpu = request.gpu_layers() == nullptr ? gpu_problem(request, problem) : std::nullopt;
  if (problem.modes.empty() && !problem.gpu) {
    return fail(ErrorCode::kUsage, "{} cannot run in the mode '{}'", request.model.name,
                request.overrides.mode ? to_string(*request.overrides.mode) : "");
  }
  return problem;
}

std::vector<size_t> groups_of_layers(const StreamLayout& layout) {
  std::vector<Alike> kinds;
  std::vector<size_t> groups;
  for (const ExpertLayer& layer : layout.expert_layers) {
    const auto it = std::find(kinds.begin(), kinds.end(), alike(layer));
    groups.push_back(static_cast<size_t>(it - kinds.begin()));
    if (it == kinds.end()) {
      kinds.push_back(alike(layer));
    }
  }
  return groups;
}

PlacementProblem only_as(const Placement& placement, PlacementProblem problem) {
  problem.tables.may_stay = !placement.tables.streamed;
  problem.tables.may_stream = placement.tables.streamed;
  if (!placement.gpu) {
    problem.gpu.reset();
    problem.modes = {placement.mode()};
    return problem;
  }
  problem.gpu->required = true;
  problem.gpu->or_processors = false;
  problem.gpu->may_hold_all = !placement.experts.streamed;
  problem.gpu->may_stream = placement.experts.streamed;
  problem.gpu->host.may_stay = !placement.dense.streamed;
  problem.gpu->host.may_stream = placement.dense.streamed;
  return problem;
}

void correct_estimates(PlacementProblem& problem, const Placement& placement, const ContextMemory& real) {
  if (placement.gpu) {
    correct_gpu_estimates(*problem.gpu, placement, real);
    return;
  }
  const KvChoice cache = problem.kv_choice(placement);
  const UbatchChoice pass = problem.ubatch_choice(placement);
  const uint64_t kv = real.kv - real.device_kv;
  const uint64_t compute = real.compute - real.device_compute;
  if (problem.split) {
    correct_gpu_layers(*problem.split, real);
  }
  for (KvChoice& it : problem.kv) {
    if (it.type == cache.type) {
      it.bytes = kv;
      it.device_bytes = real.device_kv;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(it.bytes, kv, cache.bytes);
      it.device_bytes = in_proportion(it.device_bytes, real.device_kv, cache.device_bytes);
    }
  }
  for (UbatchChoice& it : problem.ubatch) {
    if (it.tokens == pass.tokens) {  // with another KV cache it may take less
      it.bytes = it.measured ? std::max(it.bytes, compute) : compute;
      it.device_bytes = it.measured ? std::max(it.device_bytes, real.device_compute) : real.device_compute;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(it.bytes, compute, pass.bytes);
      it.device_bytes = in_proportion(it.device_bytes, real.device_compute, pass.device_bytes);
    }
  }
}

}  // namespace hypura

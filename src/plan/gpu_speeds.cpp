#include "plan/gpu_speeds.h"

#include <algorithm>
#include <limits>

#include "llama/open/memory_estimate.h"
#include "placement/cost.h"
#include "placement/popularity.h"
#include "plan/multiplied.h"

namespace hypura {

namespace {

// What a backend starts for a layer besides its products, several of ggml's nodes being one where it can: two norms,
// two rotations with the KV cache's update, values put there, attention in two parts, two additions; for experts the
// router's choice, activation, weights and sum. Counted in llama.cpp's graphs, not timed.
constexpr double kLayerNodes = 9;
constexpr double kExpertNodes = 4;
// llama_decode itself, as for the processors (placement_problem.cpp).
constexpr double kDecodeSeconds = 0.0002;

}  // namespace

PassSeconds product_seconds(const GpuFigures& gpu, const TensorInfo& tensor, uint32_t ubatch) {
  const auto elements = static_cast<double>(tensor.shape[0] * tensor.shape[1] * tensor.shape[2]);
  PassSeconds seconds = gpu.matrix(tensor.type, static_cast<double>(tensor.extent.length), elements, ubatch);
  if (is_output(tensor)) {
    seconds.more = 0;  // logits are wanted of a prompt's last token only
  }
  return seconds;
}

double layer_launches(const GpuFigures& gpu) {
  return kLayerNodes * gpu.operation();
}

namespace {

// One expert of that layer, such that a pass of `ubatch` tokens takes what its rows do, or its bytes.
PassSeconds expert_seconds(const GpuFigures& gpu, const ExpertLayer& layer, const ExpertGroup& group, uint32_t ubatch) {
  const double uses = std::max(1.0, expected_experts(group.popularity, 0, ubatch));
  const double rows = static_cast<double>(ubatch) * group.used;
  PassSeconds expert;
  for (const ExpertPart& part : layer.parts) {
    const TensorInfo& tensor = *part.tensor;
    const auto elements = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
    const double first = gpu.expert_bytes(tensor.type, static_cast<double>(part.slice_bytes));
    const double all = rows * gpu.expert_row(tensor.type, elements, rows / uses);
    expert.first += first;
    expert.more += rows > uses ? std::max(0.0, all - uses * first) / (rows - uses) : 0;
  }
  return expert;
}

PassSeconds rest_seconds(const GpuFigures& gpu, const OpenRequest& request, const StreamLayout& layout,
                         double attention, uint32_t ubatch) {
  const Model& model = request.model;
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  PassSeconds rest;
  for (const TensorInfo& tensor : model.tensors) {
    if (is_multiplied(tensor, has_output) && !layout.streams(tensor)) {
      rest += product_seconds(gpu, tensor, ubatch);
    }
  }
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      rest.first += gpu.experts_least(part.tensor->type);
    }
  }
  const double nodes =
      kLayerNodes * static_cast<double>(model.layers) + kExpertNodes * static_cast<double>(layout.expert_layers.size());
  rest.first += nodes * gpu.operation() + kDecodeSeconds;
  rest.first += attention * static_cast<double>(std::min(request.options.predicted_at, request.context));
  return rest;
}

double seconds_with_all_there(const GpuSpeeds& speeds, const PlacementProblem& problem, uint32_t tokens) {
  double seconds = speeds.rest.of(tokens);
  for (const PassSeconds& it : speeds.dense) {
    seconds += it.of(tokens);
  }
  for (size_t i = 0; i < problem.experts.size(); ++i) {
    ExpertGroup group = problem.experts[i];
    group.seconds = speeds.experts[i];
    group.repacked_from = std::numeric_limits<double>::infinity();
    seconds += group.layers * layer_computing(group, expected_experts(group.popularity, 0, tokens), tokens);
  }
  return seconds;
}

// Bytes a second of one expert after another: its matrices are of several sizes.
void set_copies(const GpuFigures& gpu, const StreamLayout& layout, GpuSpeeds& speeds) {
  double bytes = 0;
  double up = 0;
  double down = 0;
  const auto add = [&](double size) {
    bytes += size;
    up += gpu.upload(size);
    down += gpu.download(size);
  };
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      add(static_cast<double>(part.slice_bytes));
    }
  }
  for (const DenseItem& item : layout.dense) {
    if (layout.expert_layers.empty()) {
      add(static_cast<double>(item.tensor->extent.length));
    }
  }
  if (bytes > 0) {
    speeds.upload_bytes_per_second = bytes / up;
    speeds.download_bytes_per_second = bytes / down;
  }
}

}  // namespace

GpuSpeeds gpu_speeds(const GpuFigures& gpu, const OpenRequest& request, const PlacementProblem& problem,
                     uint32_t ubatch) {
  const StreamLayout layout = lay_out(request.model, true, true, request.reads_repacked());
  const uint32_t tokens = std::max(ubatch, 2U);
  GpuSpeeds speeds;
  speeds.sync_seconds = gpu.cut();
  speeds.attention = gpu.attention(attention_width(request.model));
  speeds.rest = rest_seconds(gpu, request, layout, speeds.attention, tokens);
  for (const DenseItem& item : layout.dense) {
    speeds.dense.push_back(product_seconds(gpu, *item.tensor, tokens));
  }
  const std::vector<size_t> groups = groups_of_layers(layout);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] == speeds.experts.size()) {
      speeds.experts.push_back(expert_seconds(gpu, layout.expert_layers[i], problem.experts[groups[i]], tokens));
    }
  }
  set_copies(gpu, layout, speeds);
  speeds.resident.first = seconds_with_all_there(speeds, problem, 1);
  const double many = seconds_with_all_there(speeds, problem, tokens);
  speeds.resident.more = std::max(0.0, many - speeds.resident.first) / (tokens - 1);
  return speeds;
}

std::string type_without_kernel(const GpuFigures& gpu, const Model& model) {
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  for (const TensorInfo& tensor : model.tensors) {
    if (is_multiplied(tensor, has_output) && gpu.lacks(tensor.type, tensor.role == TensorRole::kRoutedExpert)) {
      return type_name(tensor.type);
    }
  }
  return "";
}

}  // namespace hypura

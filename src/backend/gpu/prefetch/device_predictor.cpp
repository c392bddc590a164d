#include "backend/gpu/prefetch/device_predictor.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kAlignment = 256;  // of a tensor on a device, at most

// At least as long as what a router sees.
int64_t most_width(const StreamLayout& layout) {
  int64_t width = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      width = std::max({width, part.tensor->shape[0], part.tensor->shape[1]});
    }
  }
  return width;
}

// Of what router_steps() asks for.
bool may_be_asked_for(const ggml_tensor& tensor) {
  const std::string_view name = tensor.name;
  const auto is = [&](std::string_view end) { return name.ends_with(end); };
  return tensor.op == GGML_OP_NONE && tensor.buffer != nullptr && name.starts_with("blk.") &&
         (is(".ffn_gate_inp.weight") || is(".ffn_gate_inp.bias") || is(".exp_probs_b.bias") || is("_norm.weight") ||
          is(".nextn.eh_proj.weight"));
}

// A tensor of the product in a place of its own.
bool put(ggml_tensor* tensor, const ggml_tensor& place) {
  return ggml_backend_tensor_alloc(place.buffer, tensor, place.data) == GGML_STATUS_SUCCESS;
}

}  // namespace

DevicePredictor::Bytes DevicePredictor::bytes_for(const StreamLayout& layout) {
  const uint64_t layers = layout.expert_layers.size();
  const auto width = static_cast<uint64_t>(most_width(layout));
  constexpr auto kRows = static_cast<uint64_t>(kMostRows);
  const uint64_t scores = kRows * layout.experts * sizeof(float);
  return {(layers + kRows) * width * sizeof(float) + scores + (layers + 3) * kAlignment,
          scores + layers * (width + 2 * layout.experts) * sizeof(float)};
}

Result<std::unique_ptr<DevicePredictor>> DevicePredictor::create(const StreamLayout& layout, GpuDevice& device) {
  std::unique_ptr<DevicePredictor> made(new DevicePredictor(layout, device));
  if (Status status = made->allocate(); !status) {
    return propagate(status.error());
  }
  return made;
}

Status DevicePredictor::allocate() {
  const size_t layers = layout_.expert_layers.size();
  const int64_t width = most_width(layout_);
  context_ = describe_tensors(layers + 2);
  std::vector<ggml_tensor*> all;
  for (size_t i = 0; i < layers; ++i) {
    all.push_back(rescale_.emplace_back(ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, width)));
  }
  all.push_back(scaled_ = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, width, kMostRows));
  all.push_back(scores_ = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, layout_.experts, kMostRows));
  ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(device_.stream());
  auto buffer = allocate_on(type, bytes_in(type, all), "the prediction of experts");
  if (!buffer) {
    return propagate(buffer.error());
  }
  buffer_ = std::move(*buffer);
  auto host = allocate_pinned(device_.inner(), ggml_nbytes(scores_));
  if (!host) {
    return propagate(host.error());
  }
  host_ = std::move(*host);
  fetched_ = {static_cast<float*>(ggml_backend_buffer_get_base(host_.get())),
              static_cast<size_t>(ggml_nelements(scores_))};
  return place_in(buffer_.get(), all);
}

bool DevicePredictor::is_complete() const {
  return !steps_.empty() &&
         std::all_of(steps_.begin(), steps_.end() - 1, [](const RouterStep& step) { return step.router != nullptr; });
}

void DevicePredictor::look_at(ggml_cgraph* graph) {
  if (is_complete()) {
    return;
  }
  const size_t known = weights_.size();
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    for (const ggml_tensor* source : ggml_graph_node(graph, i)->src) {
      if (source != nullptr && may_be_asked_for(*source)) {
        weights_.emplace(source->name, source);
      }
    }
  }
  if (weights_.size() == known) {
    return;
  }
  steps_ = router_steps(layout_, [this](const std::string& name) {
    const auto it = weights_.find(name);
    return it == weights_.end() ? nullptr : it->second;
  });
  products_.clear();
  products_.resize(steps_.size() * kMostRows);
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (steps_[i].router != nullptr) {
      ggml_backend_tensor_set(rescale_[i], steps_[i].rescale.data(), 0, steps_[i].rescale.size() * sizeof(float));
    }
  }
}

DevicePredictor::Product& DevicePredictor::product_of(const ChoosingBlock& block) {
  return products_[static_cast<size_t>(block.layer * kMostRows + block.tokens() - 1)];
}

// Of the block's input, rescaled, and the next layer's router.
Status DevicePredictor::make_product(const ChoosingBlock& block, Product& it) {
  const RouterStep& step = steps_[block.layer];
  constexpr size_t kTensors = 8;
  it.input = block.input->data;
  it.buffer = buffer_of(*block.input);
  it.context.reset(
      ggml_init({kTensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(kTensors, false), nullptr, true}));
  ggml_context* context = it.context.get();
  ggml_tensor* input = ggml_new_tensor_2d(context, GGML_TYPE_F32, block.input->ne[0], block.tokens());
  input->data = block.input->data;
  input->buffer = it.buffer;
  ggml_tensor* rescale = ggml_view_1d(context, rescale_[block.layer], block.input->ne[0], 0);
  rescale->buffer = rescale_[block.layer]->buffer;
  ggml_tensor* scaled = ggml_mul(context, input, rescale);
  ggml_tensor* scores = ggml_mul_mat(context, const_cast<ggml_tensor*>(step.router), scaled);
  it.graph = ggml_new_graph_custom(context, kTensors, false);
  ggml_build_forward_expand(it.graph, scores);
  if (!put(scaled, *scaled_) || !put(scores, *scores_)) {
    return fail(ErrorCode::kInternal, "ggml could not place the scores of a router");
  }
  const bool computes =
      ggml_backend_dev_supports_op(device_.inner(), scaled) && ggml_backend_dev_supports_op(device_.inner(), scores);
  it.graph = computes ? it.graph : nullptr;
  return {};
}

Status DevicePredictor::begin(const ChoosingBlock& block) {
  begun_rows_ = 0;
  const ggml_tensor* router = steps_.empty() ? nullptr : steps_[block.layer].router;
  const ggml_tensor* input = block.input;
  if (router == nullptr || input->type != GGML_TYPE_F32 || input->ne[0] != router->ne[0] ||
      ggml_nelements(input) != input->ne[0] * block.tokens() || !ggml_is_contiguous(input) ||
      block.tokens() > kMostRows) {
    return {};
  }
  Product& it = product_of(block);
  if (it.input != input->data || it.buffer != buffer_of(*input)) {
    if (Status status = make_product(block, it); !status) {
      return status;
    }
  }
  if (it.graph == nullptr) {
    return {};
  }
  if (ggml_backend_graph_compute_async(device_.stream(), it.graph) != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not ask a router on {}", ggml_backend_dev_name(device_.inner()));
  }
  const ggml_tensor* scores = ggml_graph_node(it.graph, -1);
  if (!device_.computes_in_ram()) {
    ggml_backend_tensor_get_async(device_.stream(), scores, fetched_.data(), 0, ggml_nbytes(scores));
  }
  begun_ = block.layer;
  begun_rows_ = block.tokens();
  return {};
}

size_t DevicePredictor::predict(const ChoosingBlock& block, std::span<const uint16_t> /*routed*/,
                                std::span<ExpertPrediction> out) {
  if (begun_ != block.layer || begun_rows_ != block.tokens()) {
    return 0;
  }
  const RouterStep& step = steps_[block.layer];
  const auto rows = static_cast<size_t>(std::exchange(begun_rows_, 0));
  const auto experts = static_cast<size_t>(step.router->ne[1]);
  if (device_.computes_in_ram()) {
    const ggml_tensor* scores = ggml_graph_node(product_of(block).graph, -1);
    ggml_backend_tensor_get(scores, fetched_.data(), 0, ggml_nbytes(scores));
  }
  return ranking_.rank(step, fetched_.first(rows * experts), rows, static_cast<size_t>(block.used()), out);
}

}  // namespace hypura

#include "backend/gpu/cpu_experts.h"

#include <algorithm>
#include <map>

#include "backend/gpu/device_memory.h"

namespace hypura {

namespace {

// Of a layer's experts' biases, at most.
uint64_t bias_bytes(const Model& model) {
  std::map<int, uint64_t> by_layer;
  uint64_t most = 0;
  for (const TensorInfo& tensor : model.tensors) {
    if (tensor.name.find("exps.bias") != std::string::npos) {
      most = std::max(most, by_layer[tensor.layer] += tensor.extent.length);
    }
  }
  return most;
}

uint32_t most_pairs(const Model& model) {
  return static_cast<uint32_t>(CpuExperts::kMostTokens * std::max<int64_t>(model.experts_used, 1));
}

// Of a block's copy: rows that come in, and rows that go out.
uint64_t copy_bytes(const StreamLayout& layout, const Model& model) {
  constexpr uint64_t kPadding = 4096;  // around each of a few tensors
  int64_t in = 0;
  int64_t out = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      in = std::max(in, part.tensor->shape[0]);
      out = std::max(out, part.tensor->shape[1]);
    }
  }
  return most_pairs(model) * static_cast<uint64_t>(in + out) * sizeof(float) + bias_bytes(model) + kPadding;
}

}  // namespace

Result<std::unique_ptr<CpuExperts>> CpuExperts::create(const Parts& parts) {
  std::unique_ptr<CpuExperts> experts(new CpuExperts(parts));
  auto memory = allocate_pinned(parts.device.inner(), copy_bytes(parts.layout, parts.model));
  if (!memory) {
    return propagate(memory.error(), "the rows that the processors compute");
  }
  experts->memory_ = std::move(*memory);
  const uint32_t pairs = most_pairs(parts.model);
  auto batch = ExpertBatch::create(parts.layout, parts.below, parts.processors, pairs, nullptr);
  if (!batch) {
    return propagate(batch.error());
  }
  experts->batch_ = std::move(*batch);
  experts->leased_ = std::make_unique<LeasedExperts>(parts.below, *experts->batch_, pairs);
  experts->pairs_.resize(parts.layout.experts);
  return experts;
}

uint64_t CpuExperts::bytes_for(const StreamLayout& layout, const Model& model) {
  return most_pairs(model) * ExpertBatch::row_bytes(layout) + copy_bytes(layout, model);
}

bool CpuExperts::takes(const ExpertBlock& block) const {
  return block.tokens() <= kMostTokens && HostBlock::bytes_for(block) <= ggml_backend_buffer_get_size(memory_.get());
}

void CpuExperts::fetch(const ExpertBlock& block) {
  auto* memory = static_cast<std::byte*>(ggml_backend_buffer_get_base(memory_.get()));
  host_.copy(block, {memory, ggml_backend_buffer_get_size(memory_.get())});
  for (const HostBlock::Copy& input : host_.inputs()) {
    ggml_backend_tensor_get_async(it_.device.stream(), input.device, input.host->data, 0, ggml_nbytes(input.device));
  }
}

void CpuExperts::choose(std::span<const uint16_t> routed, std::span<const uint32_t> experts) {
  for (std::vector<uint32_t>& pairs : pairs_) {
    pairs.clear();
  }
  for (uint32_t pair = 0; pair < routed.size(); ++pair) {
    pairs_[routed[pair]].push_back(pair);
  }
  experts_.assign(experts.begin(), experts.end());
  fetch_biases();
}

// Only of these experts: those of a layer may be as large as some of its experts.
void CpuExperts::fetch_biases() {
  for (const HostBlock::Copy& bias : host_.biases()) {
    const size_t row = ggml_row_size(bias.device->type, bias.device->ne[0]);
    for (const uint32_t expert : experts_) {
      const size_t at = expert * bias.device->nb[1];
      ggml_backend_tensor_get_async(it_.device.stream(), bias.device, static_cast<std::byte*>(bias.host->data) + at, at,
                                    row);
    }
  }
  if (!host_.biases().empty()) {
    ggml_backend_synchronize(it_.device.stream());
  }
}

Status CpuExperts::compute(bool decode) {
  it_.below.acquire(host_.block().layer, {{}, 1, decode}, experts_);  // it ranks by what the tier above was told
  Status status = batch_->keep_inputs(host_.block());
  if (status) {
    status = leased_->compute(host_.block(), pairs_);
  }
  it_.below.finish();
  if (status) {
    put();
    it_.stats.cpu_experts += decode ? experts_.size() : 0;
  }
  return status;
}

void CpuExperts::put() {
  const int64_t used = host_.block().used();
  for (const HostBlock::Copy& result : host_.results()) {
    const size_t row = ggml_row_size(result.host->type, result.host->ne[0]);
    for (const uint32_t expert : experts_) {
      for (const uint32_t pair : pairs_[expert]) {
        const size_t at = pair / used * result.host->nb[2] + pair % used * result.host->nb[1];
        ggml_backend_tensor_set_async(it_.device.stream(), result.device,
                                      static_cast<std::byte*>(result.host->data) + at, at, row);
      }
    }
  }
}

}  // namespace hypura

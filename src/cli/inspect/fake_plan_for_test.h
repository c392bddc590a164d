// A small mixture of experts and a plan for it, as the engine would make it, for this folder's tests.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string>

#include "cli/inspect/facts.h"
#include "support/units.h"

namespace hypura {

// ggml's numbers, which GGUF files fix.
inline constexpr int kF32 = 0;
inline constexpr int kQ40 = 2;

inline void add_tensor(Model& model, const std::string& name, TensorRole role, int layer, std::array<int64_t, 4> shape,
                       int type = kQ40) {
  TensorInfo tensor;
  tensor.name = name;
  tensor.role = role;
  tensor.layer = layer;
  tensor.type = type;
  tensor.shape = shape;
  const int64_t elements = shape[0] * shape[1] * shape[2] * shape[3];
  tensor.extent = {0, model.bytes, static_cast<uint64_t>(type == kF32 ? elements * 4 : elements / 32 * 18)};
  model.parameters += elements;
  model.bytes += tensor.extent.length;
  model.tensors.push_back(tensor);
}

// `layers` layers of 8 experts, 2 used; the first layer is dense.
inline Model small_moe(int64_t layers) {
  Model model;
  model.files = {{"models/small.gguf", 0}};
  model.architecture = "qwen3moe";
  model.name = "small";
  model.layers = layers;
  model.embedding_length = 256;
  model.context_length = 4096;
  model.vocabulary = 1024;
  model.experts = 8;
  model.experts_used = 2;
  add_tensor(model, "token_embd.weight", TensorRole::kEmbedding, -1, {256, 1024, 1, 1});
  for (int layer = 0; layer < static_cast<int>(layers); ++layer) {
    const std::string start = fmt::format("blk.{}.", layer);
    add_tensor(model, start + "attn_norm.weight", TensorRole::kNorm, layer, {256, 1, 1, 1}, kF32);
    add_tensor(model, start + "attn_q.weight", TensorRole::kAttention, layer, {256, 256, 1, 1});
    if (layer == 0) {
      add_tensor(model, start + "ffn_up.weight", TensorRole::kDenseFfn, layer, {256, 512, 1, 1});
    } else {
      add_tensor(model, start + "ffn_gate_inp.weight", TensorRole::kRouter, layer, {256, 8, 1, 1}, kF32);
      add_tensor(model, start + "ffn_up_exps.weight", TensorRole::kRoutedExpert, layer, {256, 128, 8, 1});
    }
  }
  add_tensor(model, "output.weight", TensorRole::kOutput, -1, {256, 1024, 1, 1});
  model.files.front().size = model.bytes + 4096;
  return model;
}

// Pins everything but the experts, of which `share` are kept.
inline Plan small_plan(const Model& model, double share) {
  Plan plan;
  plan.placement.experts.streamed = true;
  plan.sentence = "small in 8 MiB: 3 of 8 experts a layer in memory.";
  plan.why = "The experts do not fit.";
  plan.budget = 8 * kMiB;
  plan.process_overhead = 64 * kMiB;
  plan.context = 4096;
  plan.placement.ubatch = 512;
  plan.placement.experts.slots = 3 * static_cast<uint32_t>(model.layers - 1);
  plan.placement.experts.all = 8 * static_cast<uint32_t>(model.layers - 1);
  plan.placement.experts.layer_slots.assign(static_cast<size_t>(model.layers - 1), 3);
  for (const TensorInfo& tensor : model.tensors) {
    PlacedTensor placed;
    placed.name = tensor.name;
    placed.type = type_name(tensor.type);
    placed.role = tensor.role;
    placed.layer = tensor.layer;
    placed.bytes = tensor.extent.length;
    const bool expert = tensor.role == TensorRole::kRoutedExpert;
    placed.tier = expert ? Tier::kDisk : Tier::kRam;
    placed.way = expert ? Way::kSlots : Way::kPinned;
    placed.ram_share = expert ? share : 1.0;
    plan.tensors.push_back(placed);
  }
  plan.ledger = {{Purpose::kResidentWeights, 2 * kMiB}, {Purpose::kExpertSlots, 4 * kMiB}, {Purpose::kKvCache, kMiB}};
  plan.prediction.tokens_per_second = 7.5;
  plan.prediction.full_context_tokens_per_second = 5;
  plan.prediction.decode_seconds = 1 / 7.5;
  plan.prediction.bytes_per_token = 233.0 * static_cast<double>(kMiB);
  plan.prediction.hit_rate = 0.61;
  plan.prediction.hit_rate_source = "prior";
  plan.prediction.prefill512_seconds = 17;
  plan.prediction.prefill4096_seconds = 136;
  plan.prediction.load_seconds = 1.2;
  plan.prediction.first_token_seconds = 18.4;
  plan.prediction.bound_tokens_per_second = 10;
  plan.prediction.bound_by = Limit::kDisk;
  plan.prediction.memory_peak = 60 * kMiB;
  plan.placement.objective = 1;
  plan.placement.bound = 0.997;
  plan.more_memory_tokens_per_second = 8.25;
  plan.more_disk_tokens_per_second = 9;
  plan.warnings = {"the cache is below one token's cycle"};
  return plan;
}

// One worker that computes most experts, one that does not pay, and one that is not there.
inline void add_workers(Plan& plan) {
  plan.alone_tokens_per_second = 4;
  WorkerPlan& good = plan.workers.emplace_back();
  good.name = "box:1";
  good.there = good.asked = good.measured = true;
  good.slots = 20;
  good.threads = 8;
  good.budget = 4 * kMiB;
  good.disk_bytes_per_second = 512.0 * static_cast<double>(kMiB);
  good.slower = 1.3;
  good.round_trip_seconds = 0.0003;
  good.slow_round_trip_seconds = 0.0004;
  good.send_bytes_per_second = 112.0 * static_cast<double>(kMiB);
  good.receive_bytes_per_second = 110.0 * static_cast<double>(kMiB);
  good.share = 0.6;
  good.hit_rate = 0.5;
  good.with_tokens_per_second = 7.5;
  good.without_tokens_per_second = 4;
  WorkerPlan far = good;
  far.name = "far:1";
  far.asked = far.measured = false;
  far.share = far.hit_rate = 0;
  far.reason = "it is too far";
  plan.workers.push_back(far);
  WorkerPlan& gone = plan.workers.emplace_back();
  gone.name = "gone:1";
  gone.reason = "Connection refused";
}

}  // namespace hypura

// The next layer's own router, asked by the device that computes: one product more for each layer, whose scores come to
// the host together with the choice of the layer itself.
//
// Routers and norms lie in the device's memory, where llama.cpp put them, and have no other copy: they are found by
// name in the graphs that are computed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/block_predictor.h"
#include "backend/gpu/device_memory.h"
#include "backend/gpu/gpu_device.h"
#include "backend/router_steps.h"

namespace hypura {

class DevicePredictor final : public BlockPredictor {
 public:
  // Bytes that the object takes of the device's memory and of RAM.
  struct Bytes {
    uint64_t on_device = 0;
    uint64_t in_ram = 0;
  };
  static Bytes bytes_for(const StreamLayout& layout);

  // The references must outlive the object. Fails with kBudget.
  static Result<std::unique_ptr<DevicePredictor>> create(const StreamLayout& layout, GpuDevice& device);

  void look_at(ggml_cgraph* graph) override;
  Status begin(const ChoosingBlock& block) override;
  size_t predict(const ChoosingBlock& block, std::span<const uint16_t> routed,
                 std::span<ExpertPrediction> out) override;

 private:
  // The product of one layer for so many tokens. What a device recorded of a graph it can play again as long as all
  // addresses stay.
  struct Product {
    const void* input = nullptr;             // it was made for,
    ggml_backend_buffer_t buffer = nullptr;  // in this
    ggml_context_ptr context;
    ggml_cgraph* graph = nullptr;
  };

  DevicePredictor(const StreamLayout& layout, GpuDevice& device) : layout_(layout), device_(device) {}
  Status allocate();
  bool is_complete() const;
  Product& product_of(const ChoosingBlock& block);
  Status make_product(const ChoosingBlock& block, Product& it);

  const StreamLayout& layout_;
  GpuDevice& device_;
  ggml_context_ptr context_;
  ggml_backend_buffer_ptr buffer_;
  ggml_backend_buffer_ptr host_;
  std::vector<ggml_tensor*> rescale_;  // by layer that is left
  ggml_tensor* scaled_ = nullptr;      // [width, rows]
  ggml_tensor* scores_ = nullptr;      // [experts, rows]
  std::span<float> fetched_;           // the scores

  std::unordered_map<std::string, const ggml_tensor*> weights_;
  std::vector<RouterStep> steps_;  // by layer that is left
  std::vector<Product> products_;  // likewise, each for one token to kMostRows
  RouterRanking ranking_;
  uint32_t begun_ = 0;      // the layer whose scores are fetched_,
  int64_t begun_rows_ = 0;  // for so many tokens; 0: none are
};

}  // namespace hypura

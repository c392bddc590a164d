// Layers of experts on a disk that is not there, for the tests of this room.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "tiers/slices.h"

namespace hypura {

// `layers` layers of `experts` experts with two matrices each: one of whole blocks, which begins somewhere in a block,
// and one whose slices begin each somewhere else. Layers are numbered from 10 on.
class ExpertsOnDisk {
 public:
  static constexpr uint64_t kWholeBlocks = 8192;
  static constexpr uint64_t kOddBytes = 5000;

  ExpertsOnDisk(uint32_t layers, uint32_t experts) {
    uint64_t offset = 1000;
    for (uint32_t i = 0; i < layers; ++i) {
      ExpertLayer layer = {static_cast<int>(10 + i), experts, {}};
      for (const uint64_t bytes : {kWholeBlocks, kOddBytes}) {
        TensorInfo& tensor = tensors_.emplace_back();
        tensor.name = "blk." + std::to_string(layer.layer) + ".of_" + std::to_string(bytes);
        tensor.role = TensorRole::kRoutedExpert;
        tensor.layer = layer.layer;
        tensor.shape = {static_cast<int64_t>(bytes), 1, experts, 1};
        tensor.extent = {i % 2, offset, bytes * experts};
        offset += tensor.extent.length + 96;
        layer.parts.push_back({&tensor, bytes});
      }
      layers_.push_back(std::move(layer));
    }
  }

  const std::vector<ExpertLayer>& layers() const { return layers_; }

 private:
  std::deque<TensorInfo> tensors_;
  std::vector<ExpertLayer> layers_;
};

}  // namespace hypura

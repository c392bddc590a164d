// A copy of a device's expert block whose rows lie in memory of the host, so that the processors can compute some of
// its pairs.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "backend/expert_block.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class HostBlock {
 public:
  // A tensor of the device's block and its copy, alike but for where the data are.
  struct Copy {
    ggml_tensor* device = nullptr;
    ggml_tensor* host = nullptr;
  };

  // Bytes of the host's memory that the copy of `block` takes.
  static size_t bytes_for(const ExpertBlock& block);

  // Copies `block`, with no data yet, into `memory`, at least bytes_for() it. Both must outlive the use of the copy.
  void copy(const ExpertBlock& block, std::span<std::byte> memory);

  // With the number of tokens and the choice of the device's.
  const ExpertBlock& block() const { return block_; }

  std::span<const Copy> inputs() const { return inputs_; }    // rows from outside of the block
  std::span<const Copy> biases() const { return biases_; }    // [ne0, experts]
  std::span<const Copy> results() const { return results_; }  // rows that are used outside of it

 private:
  ggml_tensor* host_of(const ExpertBlock& block, ggml_tensor* source, std::vector<Copy>& outside);
  ggml_tensor* add(ggml_tensor* original);
  std::byte* take(size_t bytes);

  ExpertBlock block_;
  std::deque<ggml_tensor> tensors_;
  std::vector<Copy> copies_;  // of tensors_
  std::vector<Copy> inputs_;
  std::vector<Copy> biases_;
  std::vector<Copy> results_;
  std::span<std::byte> memory_;
  size_t taken_ = 0;
};

}  // namespace hypura

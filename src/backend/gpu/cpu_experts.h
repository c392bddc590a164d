// Mixed computing: of a block whose other experts a device computes, the processors compute those that are not there,
// from the tier below, and put their rows where the device goes on with them.
//
// Rows are computed by other kernels than the device's, so their last bits are others.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/host_block.h"
#include "backend/leased_experts.h"
#include "backend/stream_layout.h"

namespace hypura {

// Not thread-safe: the owner serialises. For each block: fetch(), the device synchronised, choose(), the block handed
// to the device, compute().
class CpuExperts {
 public:
  // Of a pass, at most: what drafts and answers in company make. Experts for more are worth bringing.
  static constexpr int64_t kMostTokens = 16;

  // What it works with; all must outlive the object.
  struct Parts {
    const StreamLayout& layout;
    const Model& model;
    ExpertStore& below;
    InnerGraph& processors;
    GpuDevice& device;
    GpuStats& stats;
  };

  // Fails with kBudget.
  static Result<std::unique_ptr<CpuExperts>> create(const Parts& parts);

  // Bytes of RAM that it takes.
  static uint64_t bytes_for(const StreamLayout& layout, const Model& model);

  // Whether the block is of no more tokens, and there is room for it.
  bool takes(const ExpertBlock& block) const;

  // Begins to copy the block's inputs to the host, in the order of the device's stream, which has computed them.
  void fetch(const ExpertBlock& block);

  // Of the choice `routed`, [token][used], the processors are to compute `experts`, ascending. Of a block with biases
  // fetches these experts'.
  void choose(std::span<const uint16_t> routed, std::span<const uint32_t> experts);

  // Computes these, wherever they are, and begins to copy their rows into the block's results, in the order of the
  // stream: over what the device makes of these rows. `below` must hold no leases. Fails with kIo, with kInternal when
  // ggml refused.
  Status compute(bool decode);

 private:
  explicit CpuExperts(const Parts& parts) : it_(parts) {}
  void fetch_biases();
  void put();

  Parts it_;
  ggml_backend_buffer_ptr memory_;  // of the block's copy: pinned, where the device has such memory
  std::unique_ptr<ExpertBatch> batch_;
  std::unique_ptr<LeasedExperts> leased_;
  HostBlock host_;
  std::vector<std::vector<uint32_t>> pairs_;  // by expert
  std::vector<uint32_t> experts_;             // to be computed
};

}  // namespace hypura

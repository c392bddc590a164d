// Experts for a device that computes in the machine's memory: read from disk to where it computes with them. Nothing is
// copied up, and there is no tier between.
//
// The processors write there, not the device: who brings experts sees to it that the device has done with what lay
// there. With slots the object waits for the device itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/gpu/expert_source.h"
#include "backend/gpu/gpu_stats.h"
#include "storage/reader.h"
#include "tiers/slices.h"
#include "tiers/slot_layout.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class DirectReads final : public ExpertSource {
 public:
  // The references must outlive the object. Targets are matrices of ExpertRoom.
  DirectReads(std::span<const ExpertLayer> layers, Reader& reader, GpuStats& stats)
      : layers_(layers), reader_(reader), stats_(stats), layout_(layers) {}

  // Blocks until all is there.
  Status run(const UploadTarget& to, std::span<UploadItem> items, bool decode) override;
  void copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole,
                      std::span<UploadItem> items) override;
  // At once: the device does not compute with `to`.
  void copy_one(ggml_backend_t stream, uint32_t layer, std::span<ggml_tensor* const> from, uint32_t from_place,
                std::span<ggml_tensor* const> to, uint32_t to_place) override;
  void settle() override {}
  void synchronized(ggml_backend_t /*stream*/) override {}

  // One expert to `place` of `matrices`; end() must follow, which blocks until it is there, and fails with kIo.
  ReadGroup begin(uint32_t layer, uint32_t expert, std::span<ggml_tensor* const> matrices, uint32_t place,
                  Priority priority);
  Status end(uint32_t layer, uint32_t expert, std::span<ggml_tensor* const> matrices, uint32_t place, ReadGroup reads);
  void cancel(ReadGroup reads) { reader_.cancel(reads); }

 private:
  std::byte* begin_of(uint32_t layer, std::span<ggml_tensor* const> matrices, uint32_t place, size_t part) const;

  std::span<const ExpertLayer> layers_;
  Reader& reader_;
  GpuStats& stats_;
  SlotLayout layout_;
  std::vector<ReadRequest> requests_;
  std::vector<ReadGroup> groups_;
};

}  // namespace hypura

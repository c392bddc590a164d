// Brings experts from the slots of the tier below into a device's tensors, and takes back there what they overwrite.
//
// Copies go on after the call that begins them. The slots of RAM that they read or write are not given away until
// settle(): then the stream has been synchronised, by it or by who says so.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/gpu/expert_source.h"
#include "backend/gpu/gpu_stats.h"
#include "ggml-backend.h"
#include "tiers/expert_store.h"
#include "tiers/slices.h"

namespace hypura {

// Not thread-safe: the owner serialises. Settle before the stores or the stream go.
class ExpertUpload final : public ExpertSource {
 public:
  // The references must outlive the object.
  ExpertUpload(std::span<const ExpertLayer> layers, ExpertStore& below, GpuStats& stats)
      : layers_(layers), below_(below), stats_(stats) {}

  ExpertUpload(const ExpertUpload&) = delete;
  ExpertUpload& operator=(const ExpertUpload&) = delete;

  // What is overwritten goes to the tier below, where that is to have it. What is missing below is read, all of it
  // together as far as there are slots.
  Status run(const UploadTarget& to, std::span<UploadItem> items, bool decode) override;
  void copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole,
                      std::span<UploadItem> items) override;

  void copy_one(ggml_backend_t stream, uint32_t layer, std::span<ggml_tensor* const> from, uint32_t from_place,
                std::span<ggml_tensor* const> to, uint32_t to_place) override;

  void lower(const UploadTarget& from, std::span<const UploadItem> items) override;

  // Gives the slots below back.
  void settle() override;
  void synchronized(ggml_backend_t stream) override;

 private:
  void take_back(const UploadTarget& to, std::span<const UploadItem> items);
  void copy(const UploadTarget& to, const ExpertStore::Lease& lease, uint32_t place);
  void synchronize();

  std::span<const ExpertLayer> layers_;
  ExpertStore& below_;
  GpuStats& stats_;
  ggml_backend_t stream_ = nullptr;  // may still use the leases' slots
  std::vector<uint32_t> wanted_;
};

}  // namespace hypura

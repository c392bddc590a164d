// Brings experts from the slots of the tier below into a device's tensors, and takes back there what they overwrite.
//
// What is taken back goes down on the stream of copies, where the device has one, so that the link is busy both ways:
// each expert comes up behind the one that it overwrites.
//
// Copies go on after the call that begins them. The slots of RAM that they read or write are not given away until
// settle(): then the stream has been synchronised, by it or by who says so.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/gpu/expert_source.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "ggml-backend.h"
#include "tiers/expert_store.h"
#include "tiers/slices.h"

namespace hypura {

// Not thread-safe: the owner serialises. Settle before the stores or the stream go.
class ExpertUpload final : public ExpertSource {
 public:
  // The references must outlive the object.
  ExpertUpload(std::span<const ExpertLayer> layers, ExpertStore& below, GpuDevice& device, GpuStats& stats)
      : layers_(layers), below_(below), device_(device), stats_(stats) {}

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
  // A place that is overwritten once what lies there has gone down.
  struct GoingDown {
    uint32_t place = 0;
    ggml_backend_event_t landed = nullptr;
  };

  void take_back(const UploadTarget& to, std::span<const UploadItem> items, ggml_backend_t stream);
  void take_back_beside(const UploadTarget& to, std::span<const UploadItem> items);
  ggml_backend_event_t next_event();
  void wait_for(uint32_t place);
  void wait_for_all();
  Status copy_all(const UploadTarget& to, std::span<UploadItem> items);
  void copy(const UploadTarget& to, const ExpertStore::Lease& lease, uint32_t place);
  void synchronize();

  std::span<const ExpertLayer> layers_;
  ExpertStore& below_;
  GpuDevice& device_;
  GpuStats& stats_;
  ggml_backend_t stream_ = nullptr;  // may still use the leases' slots
  std::vector<uint32_t> wanted_;
  std::vector<GoingDown> going_down_;           // of the call in work
  std::vector<ggml_backend_event_ptr> events_;  // the first of them are going_down_'s
};

}  // namespace hypura

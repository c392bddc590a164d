// Brings experts from the slots of the tier below into a device's tensors, and takes back there what they overwrite.
//
// Copies go on after the call that begins them. The slots of RAM that they read or write are not given away until
// settle(): then the stream has been synchronised, by it or by who says so.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "backend/gpu/gpu_stats.h"
#include "ggml-backend.h"
#include "tiers/expert_store.h"
#include "tiers/slices.h"

namespace hypura {

inline constexpr uint32_t kNoExpert = std::numeric_limits<uint32_t>::max();

// An expert to bring, and where to: as expert number `place` of the device's tensors.
struct UploadItem {
  uint32_t expert = 0;
  uint32_t place = 0;
  uint32_t evicted = kNoExpert;  // what lies there so far, and may be worth keeping in the tier below
  bool done = false;             // its copies have begun
};

// Where to, and in the order of which stream.
struct UploadTarget {
  ggml_backend_t stream = nullptr;
  uint32_t layer = 0;
  std::span<ggml_tensor* const> matrices;  // by part
  bool slots = false;                      // what comes stays there: the tier below need not keep it
};

// Not thread-safe: the owner serialises. Settle before the stores or the stream go.
class ExpertUpload {
 public:
  // The references must outlive the object.
  ExpertUpload(std::span<const ExpertLayer> layers, ExpertStore& below, GpuStats& stats)
      : layers_(layers), below_(below), stats_(stats) {}

  ExpertUpload(const ExpertUpload&) = delete;
  ExpertUpload& operator=(const ExpertUpload&) = delete;

  // Begins to copy `items`, ascending experts, to the target, and what they overwrite to the tier below, where that is
  // to have it. What is missing below is read, all of it together as far as there are slots. Fails with kIo; the items
  // say what was done.
  Status run(const UploadTarget& to, std::span<UploadItem> items, bool decode);

  // The same from `whole`, all experts of the layer in the memory of the device; what is overwritten goes to the tier
  // below as there. Reads nothing, and does not fail.
  Status copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole, std::span<UploadItem> items);

  // Of the experts of the last run() how many were in the tier below.
  size_t hits() const { return hits_; }

  // Gives the slots below back.
  void settle();

  // The same, by a caller who has synchronised `stream` since the last run().
  void synchronized(ggml_backend_t stream);

 private:
  void take_back(const UploadTarget& to, std::span<const UploadItem> items);
  void copy(const UploadTarget& to, const ExpertStore::Lease& lease, uint32_t place);
  void synchronize();

  std::span<const ExpertLayer> layers_;
  ExpertStore& below_;
  GpuStats& stats_;
  ggml_backend_t stream_ = nullptr;  // may still use the leases' slots
  std::vector<uint32_t> wanted_;
  size_t hits_ = 0;
};

}  // namespace hypura

// Brings experts from the slots of the tier below into a device's tensors.
//
// Copies to a device go on after the call that begins them. The slots that they read stay leased until settle(): then
// the stream has been synchronised, by it or by who says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "ggml-backend.h"
#include "tiers/expert_store.h"
#include "tiers/slices.h"

namespace hypura {

// An expert to bring, and where to: as expert number `place` of the device's tensors.
struct UploadItem {
  uint32_t expert = 0;
  uint32_t place = 0;
  bool done = false;  // its copies have begun
};

// Not thread-safe: the owner serialises. Settle before the stores or the stream go.
class ExpertUpload {
 public:
  // The references must outlive the object.
  ExpertUpload(std::span<const ExpertLayer> layers, ExpertStore& below) : layers_(layers), below_(below) {}

  ExpertUpload(const ExpertUpload&) = delete;
  ExpertUpload& operator=(const ExpertUpload&) = delete;

  // Begins to copy `items`, ascending experts of `layer`, into `matrices`, by part, on `stream`. What is missing below
  // is read, all of it together as far as there are slots. Fails with kIo; the items say what was done.
  Status run(ggml_backend_t stream, uint32_t layer, std::span<UploadItem> items, std::span<ggml_tensor* const> matrices,
             bool decode);

  // Gives the slots below back.
  void settle();

  // The same, by a caller who has synchronised `stream` since the last run().
  void synchronized(ggml_backend_t stream);

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // so far; any thread

 private:
  void copy(const ExpertStore::Lease& lease, uint32_t layer, uint32_t place, std::span<ggml_tensor* const> matrices);

  std::span<const ExpertLayer> layers_;
  ExpertStore& below_;
  ggml_backend_t stream_ = nullptr;  // may still read the leases' slots
  std::vector<uint32_t> wanted_;
  std::vector<uint16_t> chosen_;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace hypura

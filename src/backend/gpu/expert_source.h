// From where experts come to a device: RAM's slots (expert_upload.h), or the disk, where the device computes in the
// machine's memory (direct_reads.h).
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "ggml-backend.h"
#include "hypura/result.h"

namespace hypura {

inline constexpr uint32_t kNoExpert = std::numeric_limits<uint32_t>::max();

// An expert to bring, and where to: as expert number `place` of the device's tensors.
struct UploadItem {
  uint32_t expert = 0;
  uint32_t place = 0;
  uint32_t from = 0;             // where it lies in tensors that it is copied from on the device
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

// Not thread-safe: the owner serialises.
class ExpertSource {
 public:
  virtual ~ExpertSource() = default;

  // Begins to copy `items`, ascending experts, to the target, for what is computed there from now on. Fails with kIo;
  // the items say what was done.
  virtual Status run(const UploadTarget& to, std::span<UploadItem> items, bool decode) = 0;

  // The same from `whole`, experts of the layer where the device computes. Reads nothing, and does not fail.
  virtual void copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole,
                              std::span<UploadItem> items) = 0;

  // Begins to copy one expert from one place to another where the device computes, of matrices that are alike, in the
  // order of `stream`.
  virtual void copy_one(ggml_backend_t stream, uint32_t layer, std::span<ggml_tensor* const> from, uint32_t from_place,
                        std::span<ggml_tensor* const> to, uint32_t to_place) = 0;

  // The device gives up what `items` call evicted, which lies at their places: what is worth it begins to go down to
  // the tier below, where there is one. What overwrites it comes behind that in the order of the stream.
  virtual void lower(const UploadTarget& /*from*/, std::span<const UploadItem> /*items*/) {}

  // Waits until what was begun has ended. Before stores or streams go.
  virtual void settle() = 0;

  // The same, by a caller who has synchronised `stream` since.
  virtual void synchronized(ggml_backend_t stream) = 0;
};

}  // namespace hypura

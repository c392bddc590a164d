#include "backend/gpu/direct_reads.h"

#include <cstring>

#include "ggml.h"
#include "support/fail.h"
#include "tiers/direct_place.h"

namespace hypura {

// The place that a matrix of an expert is read to.
std::byte* DirectReads::begin_of(uint32_t layer, std::span<ggml_tensor* const> matrices, uint32_t place,
                                 size_t part) const {
  const ggml_tensor& matrix = *matrices[part];
  return static_cast<std::byte*>(matrix.data) + place * matrix.nb[2] - layout_.places(layer)[part].data_offset;
}

ReadGroup DirectReads::begin(uint32_t layer, uint32_t expert, std::span<ggml_tensor* const> matrices, uint32_t place,
                             Priority priority) {
  requests_.clear();
  for (size_t part = 0; part < matrices.size(); ++part) {
    const Extent extent = layers_[layer].parts[part].tensor->expert_extent(expert);
    requests_.push_back(read_into(begin_of(layer, matrices, place, part), extent));
  }
  return reader_.submit(requests_, priority);
}

Status DirectReads::end(uint32_t layer, uint32_t expert, std::span<ggml_tensor* const> matrices, uint32_t place,
                        ReadGroup reads) {
  if (Status status = reader_.wait(reads); !status) {
    return propagate(status.error(), fmt::format("expert {} of layer {}", expert, layers_[layer].layer));
  }
  for (size_t part = 0; part < matrices.size(); ++part) {
    const ExpertPart& its = layers_[layer].parts[part];
    const SlotPlace& at = layout_.places(layer)[part];
    if (at.needs_realign) {
      std::byte* begin = begin_of(layer, matrices, place, part);
      std::memmove(begin + at.data_offset, begin + data_offset(its.tensor->expert_extent(expert)), its.slice_bytes);
    }
  }
  return {};
}

Status DirectReads::run(const UploadTarget& to, std::span<UploadItem> items, bool /*decode*/) {
  if (to.slots && !items.empty()) {
    ggml_backend_synchronize(to.stream);
  }
  groups_.clear();
  for (const UploadItem& item : items) {
    groups_.push_back(begin(to.layer, item.expert, to.matrices, item.place, Priority::kDemand));
  }
  const auto start = std::chrono::steady_clock::now();
  Status result;
  for (size_t i = 0; i < items.size(); ++i) {
    Status status = end(to.layer, items[i].expert, to.matrices, items[i].place, groups_[i]);
    items[i].done = status.has_value();
    if (!status && result) {
      result = std::move(status);
      for (size_t rest = i + 1; rest < groups_.size(); ++rest) {
        reader_.cancel(groups_[rest]);
      }
    }
  }
  add_seconds(stats_.read_wait_seconds, start);
  return result;
}

void DirectReads::copy_one(ggml_backend_t /*stream*/, uint32_t layer, std::span<ggml_tensor* const> from,
                           uint32_t from_place, std::span<ggml_tensor* const> to, uint32_t to_place) {
  for (size_t part = 0; part < to.size(); ++part) {
    std::memcpy(static_cast<std::byte*>(to[part]->data) + to_place * to[part]->nb[2],
                static_cast<const std::byte*>(from[part]->data) + from_place * from[part]->nb[2],
                layers_[layer].parts[part].slice_bytes);
  }
}

void DirectReads::copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole,
                                 std::span<UploadItem> items) {
  if (!items.empty()) {
    ggml_backend_synchronize(to.stream);
  }
  for (UploadItem& item : items) {
    copy_one(to.stream, to.layer, whole, item.from, to.matrices, item.place);
    item.done = true;
  }
}

}  // namespace hypura

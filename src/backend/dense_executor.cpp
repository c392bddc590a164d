#include "backend/dense_executor.h"

#include <algorithm>
#include <utility>

#include "backend/fast_layout.h"
#include "support/fail.h"

namespace hypura {

DenseExecutor::DenseExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                             RepackRoom* room)
    : layout_(layout),
      reader_(reader),
      inner_(inner),
      stats_(stats),
      room_(room),
      pinned_data_(layout.dense.size()),
      ring_item_(layout.dense.size()) {}

DenseExecutor::~DenseExecutor() {
  stop_reading();
}

Result<std::unique_ptr<DenseExecutor>> DenseExecutor::create(const StreamLayout& layout, Reader& reader,
                                                             InnerGraph& inner, StreamStats& stats,
                                                             const std::vector<bool>& pinned, uint64_t ring_bytes,
                                                             RepackRoom* room) {
  std::unique_ptr<DenseExecutor> executor(new DenseExecutor(layout, reader, inner, stats, room));
  if (Status status = executor->read_pinned(pinned); !status) {
    return propagate(status.error());
  }
  std::vector<uint64_t> rooms;
  for (uint32_t item = 0; item < layout.dense.size(); ++item) {
    if (executor->pinned_data_[item] == nullptr) {
      executor->ring_item_[item] = static_cast<uint32_t>(rooms.size());
      executor->item_of_.push_back(item);
      rooms.push_back(layout.dense[item].room);
    }
  }
  if (!rooms.empty()) {
    auto memory = MemoryRegion::allocate(ring_bytes);
    if (!memory) {
      return propagate(memory.error(), "the ring for streamed weights");
    }
    executor->memory_ = std::move(*memory);
    executor->ring_ = std::make_unique<WeightRing>(std::move(rooms), ring_bytes);
    reader.register_memory(executor->memory_.span());
    executor->read_ahead();
  }
  return executor;
}

ReadRequest DenseExecutor::request(uint32_t item, std::byte* place) const {
  const DenseItem& dense = layout_.dense[item];
  const Extent& extent = dense.tensor->extent;
  return {extent.file, extent.offset, extent.length, place + dense.shift};
}

Status DenseExecutor::read_pinned(const std::vector<bool>& pinned) {
  uint64_t total = 0;
  for (size_t i = 0; i < layout_.dense.size(); ++i) {
    total += pinned[i] ? layout_.dense[i].room : 0;
  }
  if (total == 0) {
    return {};
  }
  auto memory = MemoryRegion::allocate(total);
  if (!memory) {
    return propagate(memory.error(), "the pinned weights");
  }
  pinned_ = std::move(*memory);
  std::vector<ReadRequest> requests;
  std::byte* place = pinned_.data();
  for (uint32_t item = 0; item < layout_.dense.size(); ++item) {
    if (pinned[item]) {
      requests.push_back(request(item, place));
      pinned_data_[item] = requests.back().destination;
      place += layout_.dense[item].room;
    }
  }
  return reader_.wait(reader_.submit(requests, Priority::kDemand));
}

// Fills the ring as far as it has room.
void DenseExecutor::read_ahead() {
  if (ring_ == nullptr) {
    return;
  }
  while (const auto fetch = ring_->next_fetch()) {
    const uint32_t item = item_of_[fetch->item];
    const ReadRequest read = request(item, memory_.data() + fetch->offset);
    ahead_.push_back({item, fetch->offset, reader_.submit({&read, 1}, Priority::kPrefetch)});
  }
}

void DenseExecutor::stop_reading() {
  for (const Ahead& it : ahead_) {
    if (it.group != 0) {
      reader_.cancel(it.group);
    }
  }
  for (const Ahead& it : ahead_) {
    if (it.group != 0) {
      static_cast<void>(reader_.wait(it.group));  // nobody asked for these bytes
    }
  }
  ahead_.clear();
}

DenseExecutor::Ahead* DenseExecutor::find_ahead(uint32_t item) {
  const auto it = std::find_if(ahead_.begin(), ahead_.end(), [&](const Ahead& entry) { return entry.item == item; });
  return it == ahead_.end() ? nullptr : &*it;
}

// The data of a streamed item, waited for.
Result<std::byte*> DenseExecutor::ring_data(uint32_t item) {
  Ahead* ahead = find_ahead(item);
  if (ahead == nullptr || (ahead->group != 0 && !reader_.finished(ahead->group))) {
    if (Status status = flush(); !status) {  // compute what is gathered: it makes room, and the weight is on its way
      return propagate(status.error());
    }
    ahead = find_ahead(item);
  }
  if (ahead == nullptr) {
    stop_reading();
    ring_->restart_at(ring_item_[item]);
    read_ahead();
    ahead = find_ahead(item);
  }
  if (ahead->group != 0) {
    const auto start = std::chrono::steady_clock::now();
    if (!reader_.finished(ahead->group)) {
      inner_.rest();
    }
    Status status = reader_.wait(std::exchange(ahead->group, 0));
    add_seconds(stats_.io_wait_seconds, start);
    if (!status) {
      stop_reading();
      ring_->restart_at(ring_item_[item]);
      return propagate(status.error(), layout_.dense[item].tensor->name);
    }
  }
  in_use_.push_back(item);
  return memory_.data() + ahead->offset + layout_.dense[item].shift;
}

Status DenseExecutor::add(ggml_tensor* node, uint32_t item) {
  std::byte* data = pinned_data_[item];
  if (data == nullptr) {
    auto streamed = ring_data(item);
    if (!streamed) {
      return propagate(streamed.error());
    }
    data = *streamed;
  }
  ggml_tensor* weight = inner_.twin(*node->src[0]);
  weight->buffer = nullptr;
  weight->data = data;
  if (layout_.dense[item].packed) {
    use_fast_kernels(*weight);
  }
  ggml_tensor* twin = inner_.twin(*node);
  twin->src[0] = weight;
  if (repacks(*weight, *twin, item)) {
    room_->multiply(inner_, *weight, twin->src[1], twin);
  } else {
    inner_.add(twin);
  }
  return {};
}

// Whether the product is computed repacked: one matrix, with rows as ggml's kernels for that take them.
bool DenseExecutor::repacks(const ggml_tensor& weight, const ggml_tensor& node, uint32_t item) const {
  const ggml_tensor& input = *node.src[1];
  return room_ != nullptr && RepackRoom::repacks(layout_.dense[item]) && ggml_is_matrix(&weight) &&
         ggml_is_matrix(&input) && input.type == GGML_TYPE_F32 && ggml_is_contiguous(&input) &&
         room_->pays(weight, input.ne[1]);
}

Status DenseExecutor::flush() {
  const ggml_status status = inner_.run();
  for (uint32_t item : in_use_) {
    ring_->retire(ring_item_[item]);
    ahead_.erase(ahead_.begin() + (find_ahead(item) - ahead_.data()));
  }
  in_use_.clear();
  read_ahead();
  if (status != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute with streamed weights");
  }
  return {};
}

}  // namespace hypura

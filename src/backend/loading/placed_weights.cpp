#include "backend/loading/placed_weights.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "backend/loading/own_layouts.h"
#include "tiers/row_ranges.h"

namespace hypura {

namespace {

thread_local PlacedWeights* watching = nullptr;

using Allocate = decltype(ggml_backend_buffer_type_i::alloc_buffer);

// A type whose buffers are watched, and how it allocates them by itself.
struct WatchedType {
  ggml_backend_buffer_type_t type = nullptr;
  Allocate allocate = nullptr;
};

std::vector<std::byte> some_bytes(uint64_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 167 + i / 251);
  }
  return bytes;
}

// `matrix` in a buffer of its own, laid out in so many parts of kRowGroup rows; as bytes.
std::vector<std::byte> laid_out(ggml_backend_buffer_type_t type, ggml_tensor matrix, int64_t parts) {
  const size_t bytes = ggml_backend_buft_get_alloc_size(type, &matrix);
  const std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)> buffer(
      ggml_backend_buft_alloc_buffer(type, bytes), ggml_backend_buffer_free);
  if (buffer == nullptr) {
    return {};
  }
  ggml_backend_tensor_alloc(buffer.get(), &matrix, ggml_backend_buffer_get_base(buffer.get()));
  const std::vector<std::byte> plain = some_bytes(ggml_nbytes(&matrix));
  std::memset(matrix.data, 0, bytes);
  for (int64_t i = 0; i < parts; ++i) {
    const size_t length = plain.size() / static_cast<size_t>(parts);
    lay_out(matrix, static_cast<size_t>(i) * length, plain.data() + static_cast<size_t>(i) * length, length);
  }
  const auto* data = static_cast<const std::byte*>(matrix.data);
  return {data, data + bytes};
}

// Whether rows can be laid out apart from each other, in every type that the layout is for.
bool takes_groups(ggml_backend_buffer_type_t type) {
  constexpr int64_t kWidth = 512;  // a multiple of every block
  constexpr int64_t kParts = 2;
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    if (ggml_blck_size(static_cast<ggml_type>(i)) == 0) {
      continue;  // a number that no type has any more
    }
    const ggml_tensor matrix = matrix_of(i, kWidth, kParts * kRowGroup);
    if (multiplies(type, matrix) && laid_out(type, matrix, 1) != laid_out(type, matrix, kParts)) {
      return false;
    }
  }
  return true;
}

std::vector<WatchedType> watchable_types() {
  std::vector<WatchedType> all = {{ggml_backend_cpu_buffer_type(), nullptr}};
  for (ggml_backend_buffer_type_t type : own_layouts()) {
    if (takes_groups(type)) {
      all.push_back({type, nullptr});
    }
  }
  for (WatchedType& it : all) {
    it.allocate = it.type->iface.alloc_buffer;
  }
  return all;
}

const std::vector<WatchedType>& watched_types() {
  static const std::vector<WatchedType> kAll = watchable_types();
  return kAll;
}

bool is_host(ggml_backend_buffer_type_t /*type*/) {
  return true;
}

uint64_t row_bytes(const ggml_tensor& tensor) {
  return ggml_row_size(tensor.type, tensor.ne[0]);
}

}  // namespace

// Only what is allocated while its thread watches is treated differently, so the interface stays replaced.
PlacedWeights::Watch::Watch(PlacedWeights& weights) {
  static std::once_flag replaced;
  std::call_once(replaced, [] {
    for (const WatchedType& it : watched_types()) {
      __atomic_store_n(&it.type->iface.alloc_buffer, &allocate, __ATOMIC_RELEASE);  // Apple's library has no atomic_ref
    }
  });
  watching = &weights;
}

PlacedWeights::Watch::~Watch() {
  watching = nullptr;
}

ggml_backend_buffer_t PlacedWeights::allocate(ggml_backend_buffer_type_t type, size_t bytes) {
  const auto it = std::ranges::find(watched_types(), type, &WatchedType::type);
  PlacedWeights* watcher = std::exchange(watching, nullptr);  // repacked buffers are made of plain ones
  ggml_backend_buffer_t buffer = it->allocate(type, bytes);
  watching = watcher;
  if (buffer != nullptr && watcher != nullptr) {
    watcher->take_note(buffer);
  }
  return buffer;
}

void PlacedWeights::take_note(ggml_backend_buffer_t buffer) {
  Buffer& note = buffers_.emplace_back(Buffer{buffer, buffer->buft, *buffer->buft, buffer->iface.init_tensor});
  note.while_loading.iface.is_host = is_host;
  buffer->buft = &note.while_loading;
  buffer->iface.init_tensor = place;
}

ggml_status PlacedWeights::place(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  const auto it = std::ranges::find(watching->buffers_, buffer, &Buffer::buffer);
  watching->tensors_.push_back(tensor);
  return it->init_tensor == nullptr ? GGML_STATUS_SUCCESS : it->init_tensor(buffer, tensor);
}

void PlacedWeights::restore() {
  for (const Buffer& it : buffers_) {
    it.buffer->buft = it.type;
    it.buffer->iface.init_tensor = it.init_tensor;
  }
  buffers_.clear();
}

uint64_t group_bytes(const ggml_tensor& tensor) {
  return ggml_backend_buffer_is_host(tensor.buffer) ? 1 : kRowGroup * row_bytes(tensor);
}

void lay_out(ggml_tensor& tensor, uint64_t at, const std::byte* from, uint64_t length) {
  if (ggml_backend_buffer_is_host(tensor.buffer)) {
    std::memcpy(static_cast<std::byte*>(tensor.data) + at, from, length);
    return;
  }
  const uint64_t row = row_bytes(tensor);
  ggml_tensor part = matrix_of(tensor.type, tensor.ne[0], static_cast<int64_t>(length / row));
  const ggml_tensor before = matrix_of(tensor.type, tensor.ne[0], static_cast<int64_t>(at / row));
  part.buffer = tensor.buffer;
  part.extra = tensor.extra;  // the layout chosen for the whole
  part.data =
      static_cast<std::byte*>(tensor.data) + (at == 0 ? 0 : ggml_backend_buffer_get_alloc_size(tensor.buffer, &before));
  ggml_backend_tensor_set(&part, from, 0, length);
}

}  // namespace hypura

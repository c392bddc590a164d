#include "backend/worker/peer_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

struct PeerBuffers {
  struct Memory {
    MemoryRegion region;
    uint64_t charged = 0;
  };

  static PeerMemory& owner(ggml_backend_buffer_t buffer) { return *static_cast<PeerMemory*>(buffer->buft->context); }
  static Memory& memory(const ggml_backend_buffer* buffer) { return *static_cast<Memory*>(buffer->context); }

  static const char* type_name(ggml_backend_buffer_type_t /*type*/) { return "Hypura_worker"; }
  static size_t alignment(ggml_backend_buffer_type_t /*type*/) { return 64; }
  static size_t max_size(ggml_backend_buffer_type_t /*type*/) { return SIZE_MAX; }  // bounded when it is asked for

  static ggml_backend_buffer_t alloc(ggml_backend_buffer_type_t type, size_t size) {
    auto& owner = *static_cast<PeerMemory*>(type->context);
    if (size > SIZE_MAX - owner.bytes_) {
      owner.tensors_.refuse(fmt::format("a buffer of {} is more than any", format_bytes(size)));
      return nullptr;
    }
    if (!owner.tensors_.may_have(owner.bytes_ + size)) {
      return nullptr;
    }
    auto region = MemoryRegion::allocate(size);
    if (!region) {
      owner.tensors_.refuse(region.error().message);
      return nullptr;
    }
    ggml_backend_buffer_i interface {};
    interface.free_buffer = release;
    interface.get_base = base;
    interface.memset_tensor = fill;
    interface.set_tensor = set;
    interface.get_tensor = get;
    interface.cpy_tensor = copy;
    interface.clear = clear;
    ggml_backend_buffer_t buffer =
        ggml_backend_buffer_init(type, interface, new Memory{std::move(*region), size}, size);
    owner.bytes_ += size;
    owner.live_.push_back(buffer);
    return buffer;
  }

  static void release(ggml_backend_buffer_t buffer) {
    PeerMemory& its = owner(buffer);
    its.bytes_ -= memory(buffer).charged;
    ++its.freed_;
    std::erase(its.live_, buffer);
    delete &memory(buffer);
  }

  static void* base(ggml_backend_buffer_t buffer) { return memory(buffer).region.data(); }

  // Of `tensor`, whose address a peer chose: it may be anything, and adding to it may wrap.
  static std::span<std::byte> range(ggml_backend_buffer_t buffer, const ggml_tensor* tensor, size_t offset,
                                    size_t size) {
    const std::span<std::byte> bytes =
        owner(buffer).bytes_at(buffer, reinterpret_cast<uint64_t>(tensor->data) + offset, size);
    if (bytes.empty()) {
      owner(buffer).tensors_.refuse(fmt::format("{} bytes at {} of a tensor are not in its memory", size, offset));
    }
    return bytes;
  }

  static void set(ggml_backend_buffer_t buffer, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
    const std::span<std::byte> to = range(buffer, tensor, offset, size);
    if (!to.empty()) {
      owner(buffer).tensors_.set(tensor->name, to, {static_cast<const std::byte*>(data), size});
    }
  }

  static void get(ggml_backend_buffer_t buffer, const ggml_tensor* tensor, void* data, size_t offset, size_t size) {
    const std::span<std::byte> from = range(buffer, tensor, offset, size);
    if (!from.empty()) {
      owner(buffer).tensors_.get(tensor->name, from, {static_cast<std::byte*>(data), size});
    }
  }

  static void fill(ggml_backend_buffer_t buffer, ggml_tensor* tensor, uint8_t value, size_t offset, size_t size) {
    const std::span<std::byte> bytes = range(buffer, tensor, offset, size);
    if (!bytes.empty() && owner(buffer).tensors_.may_change_directly()) {
      std::ranges::fill(bytes, std::byte{value});
    }
  }

  // Both are tensors of a peer's, of buffers that need not be this one.
  static bool copy(ggml_backend_buffer_t buffer, const ggml_tensor* from, ggml_tensor* to) {
    const uint64_t size = ggml_nbytes(from);
    if (owner(buffer).type() != from->buffer->buft || !owner(buffer).tensors_.may_change_directly()) {
      return false;
    }
    const std::span<std::byte> source = range(from->buffer, from, 0, size);
    const std::span<std::byte> target = range(buffer, to, 0, size);
    if (source.empty() || target.empty()) {
      return false;
    }
    std::memmove(target.data(), source.data(), size);
    return true;
  }

  static void clear(ggml_backend_buffer_t buffer, uint8_t value) {
    if (owner(buffer).tensors_.may_change_directly()) {
      std::ranges::fill(memory(buffer).region.span().first(buffer->size), std::byte{value});
    }
  }
};

PeerMemory::PeerMemory(NamedTensors& tensors, ggml_backend_dev_t device) : tensors_(tensors) {
  type_.iface.get_name = PeerBuffers::type_name;
  type_.iface.alloc_buffer = PeerBuffers::alloc;
  type_.iface.get_alignment = PeerBuffers::alignment;
  type_.iface.get_max_size = PeerBuffers::max_size;
  type_.device = device;
  type_.context = this;
}

std::span<std::byte> PeerMemory::bytes_at(const ggml_backend_buffer* buffer, uint64_t address, uint64_t size) const {
  if (std::ranges::find(live_, buffer) == live_.end()) {
    return {};
  }
  const std::span<std::byte> all = PeerBuffers::memory(buffer).region.span().first(buffer->size);
  const uint64_t offset = address - reinterpret_cast<uint64_t>(all.data());  // wraps where it lies before
  return offset <= all.size() && size <= all.size() - offset ? all.subspan(offset, size) : std::span<std::byte>();
}

}  // namespace hypura

// Memory that a peer has on a worker: buffers of llama.cpp's RPC server, for asks and replies.
//
// ggml-rpc lets a peer choose addresses, shapes and sizes, and checks some of them. Here all are checked again, and
// nothing is written or read but what lies in a live buffer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ggml-backend-impl.h"

namespace hypura {

// Who gets what is written to tensors, by their names, and gives what is read.
class NamedTensors {
 public:
  virtual ~NamedTensors() = default;

  // `to` is where it would lie in the peer's memory.
  virtual void set(std::string_view name, std::span<std::byte> to, std::span<const std::byte> bytes) = 0;
  // `bytes` are zero before; what is not given stays so. `from` as `to`.
  virtual void get(std::string_view name, std::span<const std::byte> from, std::span<std::byte> bytes) = 0;
  // A peer did what it may not, and nothing was done: a sentence for the log.
  virtual void refuse(std::string what) = 0;
  // Before a peer has `bytes` in all: whether it may. If not, refuse() was called.
  virtual bool may_have(uint64_t bytes) = 0;
  // Whether a peer may fill, clear and copy its memory. If not, refuse() was called.
  virtual bool may_change_directly() = 0;
};

// Belongs to the thread of the RPC server. Must outlive its buffers.
class PeerMemory {
 public:
  // `tensors` and `device` must outlive the object.
  PeerMemory(NamedTensors& tensors, ggml_backend_dev_t device);
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  ggml_backend_buffer_type_t type() { return &type_; }

  // The bytes of a live buffer from `address` on. Empty: `buffer` is none, or it does not hold so many from there.
  std::span<std::byte> bytes_at(const ggml_backend_buffer* buffer, uint64_t address, uint64_t size) const;

  // Of all live buffers.
  uint64_t bytes() const { return bytes_; }

  // Raised when a buffer is freed: what bytes_at() gave before may be gone.
  uint64_t freed() const { return freed_; }

 private:
  friend struct PeerBuffers;  // the functions that ggml calls

  NamedTensors& tensors_;
  uint64_t bytes_ = 0;
  uint64_t freed_ = 0;
  ggml_backend_buffer_type type_{};
  std::vector<ggml_backend_buffer_t> live_;
};

}  // namespace hypura

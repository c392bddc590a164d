// A stretch of page-aligned anonymous memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hypura/result.h"

namespace hypura {

// Owns the mapping; movable, not copyable. Memory is zero until written and costs RAM only where it was touched.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  ~MemoryRegion();
  MemoryRegion(MemoryRegion&& other) noexcept;
  MemoryRegion& operator=(MemoryRegion&& other) noexcept;
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;

  // Readable and writable memory, in huge pages where the system gives them (2 MiB pages spare a large read the pinning
  // of hundreds of small ones). Fails with kBudget.
  static Result<MemoryRegion> allocate(uint64_t bytes);

  // Addresses only: any access is a fault. For tensors whose bytes are elsewhere. Fails with kBudget.
  static Result<MemoryRegion> reserve(uint64_t bytes);

  // Of reserved addresses: the pages of these bytes become memory after all. Fails with kBudget.
  Status make_memory(uint64_t offset, uint64_t bytes);

  // Whole pages of these bytes go back to the system: what was in them is lost, and they may be used again, as new
  // ones. No read may be under way into them, and no reader may know them (Reader::forget_memory).
  void give_back(uint64_t offset, uint64_t bytes);

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace hypura

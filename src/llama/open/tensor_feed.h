// What llama.cpp's own loader reads of a model that stays in memory: the data behind a virtual header, from the model's
// files, in large direct reads that are a block ahead.
//
// The loader's own direct reads are one at a time, each into memory that is new and given back: a model of 5.7 GB took
// 26.7 s where mapped it takes 15.8 (docs/lab/experiments.md, "Loading all of it").
//
// Not thread-safe: the loader's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "llama/open/virtual_file.h"
#include "storage/reader.h"
#include "support/memory/memory_region.h"

namespace hypura {

class TensorFeed final : public VirtualData {
 public:
  // Both must outlive the object. Takes two blocks of kBlockBytes; fails with kBudget where they cannot be had.
  static Result<std::unique_ptr<TensorFeed>> create(const VirtualHeader& header, Reader& reader);
  ~TensorFeed() override;

  // Asks for huge pages behind large destinations, which are written for the first time.
  int64_t read(uint64_t offset, char* to, size_t bytes) override;

  bool gives(uint64_t offset) const override;

  // Why the last read that failed did; none when all went well.
  const std::optional<Error>& error() const { return error_; }

  static constexpr uint64_t kBlockBytes = 16ULL << 20;
  static constexpr uint64_t kBytes = 2 * kBlockBytes;  // of an object, but for some pages

 private:
  // Consecutive bytes of one tensor, read or being read.
  struct Block {
    std::byte* memory = nullptr;  // page-aligned, a page longer than a block at both ends
    const VirtualTensor* tensor = nullptr;
    uint64_t begin = 0;  // in the tensor
    uint64_t length = 0;
    ReadGroup group = 0;  // 0 once it was waited for
  };

  TensorFeed(const VirtualHeader& header, Reader& reader) : header_(header), reader_(reader) {}
  const VirtualTensor* tensor_at(uint64_t offset) const;
  void begin_read(Block& block, const VirtualTensor& tensor, uint64_t begin);
  void forget(Block& block);
  Status load(const VirtualTensor& tensor, uint64_t at);
  // Where the block's first byte is, or will be.
  static std::byte* data_of(const Block& block);

  const VirtualHeader& header_;
  Reader& reader_;
  MemoryRegion memory_;
  Block now_;
  Block next_;
  std::optional<Error> error_;
};

}  // namespace hypura

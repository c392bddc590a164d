// Rows of a table, such as token embeddings, of which a pass uses one for each of its tokens: read when they are looked
// up, and kept in a small cache.
//
// What is missing of the rows asked for is read at once, in the order in which it lies on disk. Rows whose blocks touch
// are one read. They arrive in staging memory, since direct reads move whole blocks, and are copied to their slots,
// which lie one row behind the other as kernels want them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "residency/row_cache.h"
#include "storage/reader.h"
#include "support/memory/memory_region.h"
#include "tiers/slices.h"
#include "tiers/store_stats.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class TableRows {
 public:
  // Bytes of memory that one takes: its cache, and what reads arrive in.
  static uint64_t bytes_for(const TableItem& table);

  // `in_memory` gives a row's data where the owner has it in memory anyway, else nullptr; it may be empty.
  // `before_blocking` is called before the calling thread is put to sleep until reads have ended. `reader` and `stats`
  // must outlive the object. Fails with kBudget.
  static Result<std::unique_ptr<TableRows>> create(const TableItem& table, Reader& reader, StoreStats& stats,
                                                   std::function<const std::byte*(int64_t row)> in_memory,
                                                   std::function<void()> before_blocking);

  ~TableRows();  // ends what is under way
  TableRows(const TableRows&) = delete;
  TableRows& operator=(const TableRows&) = delete;

  // These rows will be looked up next: what of them is not there is read ahead, as far as there are slots and staging
  // memory. Blocks for no more than what was read ahead before and not looked up. Never fails: what cannot be read is
  // read again.
  void expect(std::span<const int32_t> rows);

  // Puts the slots of the first of `rows` into `slots`, and gives how many: all of them unless there are fewer slots.
  // What the slots hold stays there until the next call. Blocks until all have arrived. Fails with kIo, and with
  // kInternal for a row that the table does not have.
  Result<size_t> look_up(std::span<const int32_t> rows, std::span<int32_t> slots);

  std::byte* slots() { return cache_memory_.data(); }  // one row after the other
  uint32_t slot_count() const { return cache_.slots(); }

 private:
  // A row on its way to a slot.
  struct Arriving {
    int32_t row = 0;
    std::byte* slot = nullptr;
    const std::byte* staged = nullptr;
  };

  TableRows(const TableItem& table, Reader& reader, StoreStats& stats,
            std::function<const std::byte*(int64_t row)> in_memory, std::function<void()> before_blocking);

  bool has(int32_t row) const { return row >= 0 && row < table_.tensor->shape[1]; }
  std::byte* slot_memory(uint32_t slot) { return cache_memory_.data() + slot * row_bytes_; }
  std::span<const int32_t> find_missing(std::span<const int32_t> rows);
  size_t begin_reads(std::span<const int32_t> missing);
  Status end_reads();

  TableItem table_;
  uint64_t row_bytes_;
  Reader& reader_;
  StoreStats& stats_;
  std::function<const std::byte*(int64_t row)> in_memory_;
  std::function<void()> before_blocking_;
  RowCache cache_;
  MemoryRegion cache_memory_;
  MemoryRegion staging_;
  ReadGroup reading_ = 0;  // 0: nothing is under way
  std::vector<Arriving> arriving_;
  std::vector<int32_t> missing_;  // reused
};

}  // namespace hypura

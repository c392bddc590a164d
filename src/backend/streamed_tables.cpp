// The part of StreamedWeights that has rows of tables looked up.
#include <utility>

#include "backend/dense_executor.h"
#include "backend/streamed_weights.h"
#include "backend/table_executor.h"
#include "support/fail.h"
#include "tiers/table_rows.h"

namespace hypura {

uint64_t StreamedWeights::table_buffer_bytes(const StreamLayout& layout) {
  uint64_t bytes = 0;
  for (const TableItem& table : layout.tables) {
    bytes += TableRows::bytes_for(table);
  }
  return bytes;
}

// Rows of a table that is the output matrix too come from where it is pinned.
Status StreamedWeights::allocate_tables() {
  for (const TableItem& table : layout_.tables) {
    std::function<const std::byte*(int64_t)> in_memory;
    if (const StreamedTensor& it = by_name_[table.tensor->name]; it.items > 0) {
      in_memory = [this, it](int64_t row) { return dense_->pinned_row(it, row); };
    }
    auto rows = TableRows::create(table, reader_, stats_, std::move(in_memory), [this] { inner_->rest(); });
    if (!rows) {
      return propagate(rows.error());
    }
    tables_.push_back(std::move(*rows));
  }
  lookups_ = std::make_unique<TableExecutor>(*inner_);
  return {};
}

void StreamedWeights::expect_rows(std::span<const int32_t> tokens) {
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (layout_.tables[i].by_token) {
      tables_[i]->expect(tokens);
    }
  }
}

}  // namespace hypura

// Looks up rows of streamed tables: llama.cpp's GET_ROWS, over the slots of tiers/table_rows.h.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/inner_graph.h"
#include "tiers/table_rows.h"

namespace hypura {

// Not thread-safe: the owner serialises. The reference must outlive the object.
class TableExecutor {
 public:
  explicit TableExecutor(InnerGraph& inner) : inner_(inner) {}

  // Computes `node` with rows of `table`; nothing may be gathered in the inner graph. Fails with kIo when a row could
  // not be read, and with kInternal when it asks for one that is not there.
  Status run(const ggml_tensor& node, TableRows& table);

 private:
  InnerGraph& inner_;
  std::vector<int32_t> slots_;  // reused
};

}  // namespace hypura

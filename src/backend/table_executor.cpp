#include "backend/table_executor.h"

#include <span>

#include "support/fail.h"

namespace hypura {

// As many rows at a time as the table has slots for: each is a row of the result.
Status TableExecutor::run(const ggml_tensor& node, TableRows& table) {
  const ggml_tensor& ids = *node.src[1];
  if (ids.type != GGML_TYPE_I32 || !ggml_is_contiguous(&ids) || ggml_nelements(&ids) != ids.ne[0]) {
    return fail(ErrorCode::kInternal, "rows of '{}' are looked up in another way than by a list", node.src[0]->name);
  }
  std::span<const int32_t> rows(static_cast<const int32_t*>(ids.data), static_cast<size_t>(ids.ne[0]));
  auto* result = static_cast<std::byte*>(node.data);
  while (!rows.empty()) {
    slots_.resize(rows.size());
    const Result<size_t> found = table.look_up(rows, slots_);
    if (!found) {
      return propagate(found.error());
    }
    const auto count = static_cast<int64_t>(*found);
    ggml_tensor* weight = inner_.view(*node.src[0]);
    weight->buffer = nullptr;
    weight->data = table.slots();
    weight->ne[1] = table.slot_count();
    weight->nb[2] = weight->nb[3] = weight->nb[1] * static_cast<size_t>(weight->ne[1]);
    ggml_tensor* some = inner_.view(node);
    some->src[0] = weight;
    some->src[1] = inner_.ids(count, 1, slots_.data());
    some->data = result;
    some->ne[1] = count;
    some->nb[2] = some->nb[3] = some->nb[1] * static_cast<size_t>(count);
    inner_.add(some);
    if (inner_.run() != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::kInternal, "ggml could not look up rows of '{}'", node.src[0]->name);
    }
    rows = rows.subspan(*found);
    result += *found * node.nb[1];
  }
  return {};
}

}  // namespace hypura

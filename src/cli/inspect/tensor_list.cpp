#include "cli/inspect/tensor_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "cli/inspect/words.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string shape_words(const std::array<int64_t, 4>& shape) {
  size_t dimensions = shape.size();
  while (dimensions > 1 && shape[dimensions - 1] == 1) {
    --dimensions;
  }
  return fmt::format("{}", fmt::join(shape.begin(), shape.begin() + static_cast<ptrdiff_t>(dimensions), " x "));
}

}  // namespace

std::vector<TensorLine> tensor_lines(const InspectView& view) {
  std::unordered_map<std::string_view, const PlacedTensor*> placed;
  if (view.plan != nullptr) {
    for (const PlacedTensor& tensor : view.plan->tensors) {
      placed.emplace(tensor.name, &tensor);
    }
  }
  std::vector<TensorLine> lines;
  for (const TensorInfo& tensor : view.model.tensors) {
    const auto found = placed.find(tensor.name);
    lines.push_back({&tensor, found == placed.end() ? nullptr : found->second, shape_words(tensor.shape)});
  }
  return lines;
}

std::string tensor_list(const InspectView& view) {
  const std::vector<TensorLine> lines = tensor_lines(view);
  size_t name_width = 0;
  size_t shape_width = 0;
  for (const TensorLine& line : lines) {
    name_width = std::max(name_width, line.tensor->name.size());
    shape_width = std::max(shape_width, line.shape.size());
  }
  std::string text;
  for (const auto& [tensor, placed, shape] : lines) {
    std::string row = fmt::format("  {:<{}}  {:<13}  {:<7}  {:>{}}  {:>10}  {}", printable(tensor->name), name_width,
                                  role_name(tensor->role), type_name(tensor->type), shape, shape_width,
                                  format_bytes(tensor->extent.length), placed != nullptr ? where_words(*placed) : "");
    text += row.erase(row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace hypura

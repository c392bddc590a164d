#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/inspect/page_parts.h"
#include "cli/inspect/placement_map.h"
#include "cli/inspect/words.h"
#include "support/units.h"

namespace hypura {

namespace {

// In the drawing's own units; the page scales it.
constexpr double kPageWidth = 1040;
constexpr double kLabels = 110;
constexpr double kSide = 22;     // the embedding and the output beside the layers
constexpr double kSideGap = 10;  // between those and the layers
constexpr double kRowGap = 4;
constexpr double kRow = 22;
constexpr double kTallRow = 56;  // of the largest group, and where a share is kept: that needs room to be seen
constexpr double kAxis = 24;
constexpr size_t kPageColumns = 256;

uint64_t row_bytes(const MapRow& row) {
  return std::accumulate(row.cells.begin(), row.cells.end(), uint64_t{0},
                         [](uint64_t sum, const TierBytes& cell) { return sum + cell.total(); });
}

double row_height(const PlacementMap& map, const MapRow& row) {
  const bool has_share = std::any_of(row.cells.begin(), row.cells.end(),
                                     [](const TierBytes& cell) { return cell.disk > 0 && cell.disk < cell.total(); });
  const bool largest = std::none_of(map.rows.begin(), map.rows.end(),
                                    [&](const MapRow& other) { return row_bytes(other) > row_bytes(row); });
  return has_share || largest ? kTallRow : kRow;
}

struct Box {
  double x, y, width, height;
};

std::string rect(const char* tier, const Box& box) {
  return fmt::format(R"(<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" rx="1.5"/>)", tier, box.x,
                     box.y, box.width, box.height);
}

// Filled from below: device, RAM, and above them what stays on disk.
std::string cell(const TierBytes& bytes, const Box& box, const std::string& title) {
  if (bytes.total() == 0) {
    return {};
  }
  std::string drawing = "<g><title>" + title + "</title>";
  double bottom = box.y + box.height;
  for (const auto& [tier, amount] :
       {std::pair{"device", bytes.device}, std::pair{"ram", bytes.ram}, std::pair{"disk", bytes.disk}}) {
    const double height = box.height * static_cast<double>(amount) / static_cast<double>(bytes.total());
    if (amount > 0) {
      drawing += rect(tier, {box.x, bottom - height, box.width, height});
      bottom -= height;
    }
  }
  return drawing + "</g>";
}

std::string title_words(const std::string& where, const char* what, const TierBytes& bytes) {
  return fmt::format("{}: {}, {}, {} kept in memory", where, what, format_bytes(bytes.total()),
                     percent_words(bytes.kept()));
}

std::string layer_words(const PlacementMap& map, size_t column) {
  const int64_t first = static_cast<int64_t>(column) * map.layers_per_column;
  const int64_t last = std::min(first + map.layers_per_column, map.layers) - 1;
  return first == last ? fmt::format("layer {}", first) : fmt::format("layers {} to {}", first, last);
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", x, y, anchor, text);
}

// Layer numbers below the columns, at most one for each 60 units.
std::string axis(const PlacementMap& map, double left, double step, double y) {
  std::string drawing;
  size_t every = 1;
  for (size_t next : {1, 2, 5, 10, 20, 50, 100}) {
    every = next;
    if (static_cast<double>(every) * step >= 60) {
      break;
    }
  }
  for (size_t column = 0; column < map.columns(); column += every) {
    const int64_t layer = static_cast<int64_t>(column) * map.layers_per_column;
    drawing += label(left + (static_cast<double>(column) + 0.5) * step, y, "middle", fmt::format("{}", layer));
  }
  return drawing;
}

std::string legend(const PlacementMap& map) {
  TierBytes all = map.before;
  all += map.after;
  for (const MapRow& row : map.rows) {
    for (const TierBytes& bytes : row.cells) {
      all += bytes;
    }
  }
  std::string html = R"(<div class="legend">)";
  for (const auto& [tier, name, bytes] :
       {std::tuple{"device", "device", all.device}, std::tuple{"ram", "kept in RAM", all.ram},
        std::tuple{"disk", "read from disk when needed", all.disk}}) {
    if (bytes > 0) {
      html += fmt::format(R"html(<span><i class="swatch" style="background:var(--{})"></i>{} <b>{}</b></span>)html",
                          tier, name, format_bytes(bytes));
    }
  }
  return html + "</div>";
}

}  // namespace

std::string page_map(const Plan& plan, int64_t layers) {
  const PlacementMap map = folded(placement_map(plan, layers), kPageColumns);
  if (map.columns() == 0) {
    return {};
  }
  const double left = kLabels + kSide + kSideGap;
  const double right = kPageWidth - kSide - kSideGap;
  const double step = (right - left) / static_cast<double>(map.columns());
  const double width = step > 6 ? step - 2 : step * 0.8;
  std::string cells;
  double y = 0;
  for (const MapRow& row : map.rows) {
    const double height = row_height(map, row);
    cells += label(kLabels - 14, y + height / 2 + 4.5, "end", map_label(row.role));
    for (size_t i = 0; i < row.cells.size(); ++i) {
      cells += cell(row.cells[i], {left + static_cast<double>(i) * step, y, width, height},
                    title_words(layer_words(map, i), role_name(row.role), row.cells[i]));
    }
    y += height + kRowGap;
  }
  const double all_rows = y - kRowGap;
  cells += cell(map.before, {kLabels, 0, kSide, all_rows}, title_words("before the layers", "embedding", map.before));
  cells += cell(map.after, {kPageWidth - kSide, 0, kSide, all_rows},
                title_words("after the layers", "output and the rest", map.after));
  const double axis_y = all_rows + 18;
  cells += axis(map, left, step, axis_y) + label(kLabels - 14, axis_y, "end", "layer");
  cells += label(kLabels + kSide / 2, axis_y, "middle", "in") + label(kPageWidth - kSide / 2, axis_y, "middle", "out");
  return fmt::format(
             R"(<div class="scroll"><svg class="map" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Where the tensors of each layer lie">{}</svg></div>)",
             kPageWidth, all_rows + kAxis, cells) +
         legend(map);
}

}  // namespace hypura

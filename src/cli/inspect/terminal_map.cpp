#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/inspect/placement_map.h"

namespace hypura {

namespace {

constexpr size_t kLabelWidth = 14;
constexpr size_t kMostColumns = 64;
constexpr size_t kMostCellWidth = 3;

char letter_of(const TierBytes& cell) {
  if (cell.total() == 0) {
    return '.';
  }
  const double kept = cell.kept();
  if (kept >= 0.995) {
    return cell.device * 2 >= cell.total() ? 'G' : 'R';
  }
  return kept < 0.005 ? 'D' : static_cast<char>('0' + std::min(9, static_cast<int>(kept * 10)));
}

// The xterm colour behind a letter: green device, blue RAM, orange disk, and between those two for a share. 0: none.
int background(char letter) {
  constexpr std::array kShares = {179, 179, 180, 180, 187, 187, 152, 152, 110, 110};
  switch (letter) {
    case 'G':
      return 29;
    case 'R':
      return 26;
    case 'D':
      return 172;
    case '.':
      return 0;
    default:
      return kShares[static_cast<size_t>(letter - '0')];
  }
}

std::string painted(const std::string& text, char letter, bool colour) {
  const int paint = background(letter);
  if (!colour || paint == 0) {
    return text;
  }
  const int ink = letter == 'G' || letter == 'R' ? 231 : 16;
  return fmt::format("\x1b[38;5;{};48;5;{}m{}\x1b[0m", ink, paint, text);
}

void trim_end(std::string& line) {
  line.erase(line.find_last_not_of(' ') + 1);
}

// One row of letters; neighbours of the same letter are painted together.
std::string paint_row(const std::vector<TierBytes>& cells, size_t width, bool colour) {
  std::string row;
  for (size_t i = 0; i < cells.size();) {
    const char first = letter_of(cells[i]);
    std::string run;
    for (; i < cells.size() && letter_of(cells[i]) == first; ++i) {
      run += std::string(1, first) + std::string(width - 1, ' ');
    }
    row += painted(run, first, colour);
  }
  if (!colour) {
    trim_end(row);
  }
  return row;
}

// The number of the first layer of every column that has room for it.
std::string axis(const PlacementMap& map, size_t width) {
  const size_t step = width == 1 ? 10 : 5;
  std::string line;
  for (size_t column = 0; column < map.columns(); column += step) {
    line.resize(std::max(line.size(), column * width), ' ');
    line += fmt::format("{}", static_cast<int64_t>(column) * map.layers_per_column);
  }
  return line;
}

std::string legend(const PlacementMap& map, bool colour) {
  TierBytes all = map.before;
  all += map.after;
  for (const MapRow& row : map.rows) {
    for (const TierBytes& cell : row.cells) {
      all += cell;
    }
  }
  std::string line = "  ";
  if (all.device > 0) {
    line += painted("G", 'G', colour) + " device   ";
  }
  line += painted("R", 'R', colour) + " RAM   " + painted("D", 'D', colour) + " disk   " + painted("0", '0', colour) +
          ".." + painted("9", '9', colour) + " tenths of it kept in memory   . none\n";
  return line;
}

// "experts 5%": a letter for tenths says too little of models far larger than memory.
std::string label_with_share(const MapRow& row) {
  TierBytes sum;
  for (const TierBytes& cell : row.cells) {
    sum += cell;
  }
  const char all = letter_of(sum);
  if (all == 'R' || all == 'G' || all == 'D') {
    return map_label(row.role);
  }
  const int percent = static_cast<int>(sum.kept() * 100);
  return fmt::format("{} {}%", map_label(row.role), percent == 0 ? "<1" : fmt::format("{}", percent));
}

std::string row_line(const std::string& label, const std::string& cells) {
  return fmt::format("  {:<{}}{}\n", label, kLabelWidth, cells);
}

}  // namespace

std::string terminal_map(const PlacementMap& map, bool colour) {
  if (map.columns() == 0) {
    return {};
  }
  const PlacementMap small = folded(map, kMostColumns);
  const size_t width = std::clamp<size_t>(kMostColumns / small.columns(), 1, kMostCellWidth);
  std::string text = row_line("layer", axis(small, width));
  if (small.before.total() > 0) {
    text += row_line("embedding", paint_row({small.before}, width, colour));
  }
  for (const MapRow& row : small.rows) {
    text += row_line(label_with_share(row), paint_row(row.cells, width, colour));
  }
  if (small.after.total() > 0) {
    // Where it comes in a pass: behind the last layer.
    const std::string gap((small.columns() - 1) * width, ' ');
    text += row_line("output", gap + paint_row({small.after}, width, colour));
  }
  text += legend(small, colour);
  if (small.layers_per_column > 1) {
    text += fmt::format("  a column is {} layers\n", small.layers_per_column);
  }
  return text;
}

}  // namespace hypura

#include "cli/inspect/placement_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "cli/inspect/fake_plan_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;

TierBytes sum(const PlacementMap& map) {
  TierBytes all = map.before;
  all += map.after;
  for (const MapRow& row : map.rows) {
    for (const TierBytes& cell : row.cells) {
      all += cell;
    }
  }
  return all;
}

size_t longest_line(const std::string& text) {
  std::istringstream lines(text);
  size_t most = 0;
  for (std::string line; std::getline(lines, line);) {
    most = std::max(most, line.size());
  }
  return most;
}

TEST(PlacementMap, HoldsEveryByte) {
  const Model model = small_moe(5);
  const PlacementMap map = placement_map(small_plan(model, 0.3), 5);
  EXPECT_EQ(sum(map).total(), model.bytes);
  EXPECT_EQ(map.columns(), 5);
  EXPECT_EQ(map.rows.size(), 5) << "norms, attention, router, experts, dense ffn";
}

TEST(PlacementMap, FoldingLosesNothing) {
  const Model model = small_moe(101);
  const PlacementMap map = placement_map(small_plan(model, 0.3), 101);
  const PlacementMap fewer = folded(map, 64);
  EXPECT_EQ(fewer.layers_per_column, 2);
  EXPECT_EQ(fewer.columns(), 51);
  EXPECT_EQ(sum(fewer).total(), sum(map).total());
  EXPECT_EQ(sum(fewer).disk, sum(map).disk);
  EXPECT_EQ(folded(map, 200).columns(), 101);
  EXPECT_EQ(folded(map, 200).layers_per_column, 1);
}

TEST(TerminalMap, HasALetterForEveryCell) {
  const Model model = small_moe(6);
  Plan plan = small_plan(model, 0.37);
  plan.tensors.back().ram_share = 0;  // the output
  EXPECT_EQ(terminal_map(placement_map(plan, 6), false),
            "  layer         0              5\n"
            "  embedding     R\n"
            "  norms         R  R  R  R  R  R\n"
            "  attention     R  R  R  R  R  R\n"
            "  router        .  R  R  R  R  R\n"
            "  experts 37%   .  3  3  3  3  3\n"
            "  dense ffn     R  .  .  .  .  .\n"
            "  output                       D\n"
            "  R RAM   D disk   0..9 tenths of it kept in memory   . none\n");
}

TEST(TerminalMap, ManyLayersFitEightyColumns) {
  for (const int64_t layers : {1, 3, 40, 64, 65, 100, 128, 129, 512}) {
    const Model model = small_moe(layers);
    const std::string map = terminal_map(placement_map(small_plan(model, 0.3), layers), false);
    EXPECT_LE(longest_line(map), 80) << layers;
    EXPECT_EQ(map.find("a column is") != std::string::npos, layers > 64) << layers;
  }
}

TEST(TerminalMap, ColoursAddNothingButColours) {
  const Model model = small_moe(20);
  const PlacementMap map = placement_map(small_plan(model, 0.3), 20);
  const std::string plain = terminal_map(map, false);
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  std::string coloured = terminal_map(map, true);
  EXPECT_THAT(coloured, HasSubstr("\x1b[38;5;"));
  for (size_t at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b')) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  const auto blank = [](std::string text) {
    std::erase(text, ' ');
    return text;
  };
  EXPECT_EQ(blank(coloured), blank(plain));
}

TEST(TerminalMap, ADeviceHasItsOwnLetter) {
  const Model model = small_moe(3);
  Plan plan = small_plan(model, 0.3);
  for (PlacedTensor& tensor : plan.tensors) {
    if (tensor.role == TensorRole::kAttention) {
      tensor.device_share = std::exchange(tensor.ram_share, 0);
    }
  }
  const std::string map = terminal_map(placement_map(plan, 3), false);
  EXPECT_THAT(map, HasSubstr("attention     G  G  G\n"));
  EXPECT_THAT(map, HasSubstr("G device"));
}

TEST(TerminalMap, SmallSharesAreStillTold) {
  const Model model = small_moe(6);
  EXPECT_THAT(terminal_map(placement_map(small_plan(model, 0.057), 6), false), HasSubstr("experts 5%    .  0  0"));
  EXPECT_THAT(terminal_map(placement_map(small_plan(model, 0.006), 6), false), HasSubstr("experts <1%   .  0  0"));
  EXPECT_THAT(terminal_map(placement_map(small_plan(model, 0.001), 6), false), HasSubstr("experts       .  D  D"));
}

TEST(TerminalMap, NothingToShowIsNoMap) {
  EXPECT_EQ(terminal_map(placement_map(Plan(), 0), true), "");
  EXPECT_EQ(terminal_map(placement_map(Plan(), 4), true), "");
}

}  // namespace
}  // namespace hypura

// Pieces of the page that inspect_page puts together; each is HTML that is complete in itself.
#pragma once

#include <string>
#include <string_view>

#include "cli/inspect/facts.h"

namespace hypura {

// The style sheet, in light and dark.
std::string_view page_style();

// The map as an SVG drawing with its legend: a column a layer, each cell filled as far as it is kept in memory, what it
// is in a tooltip. The embedding stands at the left of the layers and the output at the right, in the order of a pass.
std::string page_map(const Plan& plan, int64_t layers);

// Each budget, the GPU's and that of RAM, as a bar, a part for each line of the ledger, with a legend of the amounts.
std::string page_ledger(const Plan& plan);

// Decode speed now, with more memory, with a faster disk, and the bound, as bars.
std::string page_speed_bars(const Plan& plan);

}  // namespace hypura

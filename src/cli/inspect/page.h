// A model and its plan as one web page that needs nothing else: no script, no font, no picture, no network.
#pragma once

#include <string>

#include "cli/inspect/facts.h"

namespace hypura {

// The whole document, light or dark as the reader's system asks. All text of the model's is escaped. `tensors` adds the
// list of all tensors.
std::string inspect_page(const InspectView& view, bool tensors);

}  // namespace hypura

// The model that is used when none is named.
#pragma once

#include <filesystem>

#include "hypura/result.h"

namespace hypura {

// The demo model that goes with the program file `executable`: in the source tree it was built in
// (build/NAME/bin/hypura beside models/), else where an installation puts it (bin/hypura beside share/hypura/models/).
// Fails with kUsage, naming both places, when it is in neither.
Result<std::filesystem::path> find_demo_model(const std::filesystem::path& executable);

// `named`, or the demo model that goes with the running program when nothing was named. Fails as find_demo_model.
Result<std::filesystem::path> model_or_demo(const std::filesystem::path& named);

}  // namespace hypura

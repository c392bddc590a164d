// Removing a model from the catalogue: what Hypura fetched or created, nothing of other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hypura/result.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

struct RemovedModel {
  std::string name;
  uint64_t bytes = 0;  // that are free now
};

// Removes the entry that `name` means. Fails as find_any_in, with kUsage where it is not Hypura's, naming who keeps it,
// and with kIo.
Result<RemovedModel> remove_model(const Catalogue& catalogue, const std::filesystem::path& data, std::string_view name);

}  // namespace hypura

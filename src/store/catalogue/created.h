// Models that the user made from others, as `POST /api/create` and /api/copy do: a small file for each, with a name,
// what it is made from and what it begins with.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

struct CreatedModel {
  std::string name;            // with its tag
  std::string from;            // the name of an entry that is not created itself
  std::filesystem::path file;  // that entry's first file: used where no entry has the name any more
  ModelPreset preset;          // over that of the entry
  std::string license;
};

// "name" or "user/name", with ":latest" where it has no tag. Fails with kUsage when it can be no name of a model here.
Result<std::string> created_name(std::string_view text);

// What `over` says, and else what `under` does; of parameters each on its own.
ModelPreset overlaid(const ModelPreset& under, const ModelPreset& over);

// In place of an earlier one of that name. Fails with kIo, and with kUsage when it is too large.
Status save_created(const std::filesystem::path& data, const CreatedModel& model);

// All of them, by name; what is damaged is passed over with a sentence in `problems`.
std::vector<CreatedModel> created_models(const std::filesystem::path& data, std::vector<std::string>& problems);

// Fails with kIo. It is no error when there is none.
Status remove_created(const std::filesystem::path& data, const std::string& name);

}  // namespace hypura

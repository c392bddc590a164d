// From the names of models on the command line to files: the one door for every command.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/options/options.h"
#include "hypura/result.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

// What a name on the command line means.
struct NamedModel {
  std::filesystem::path file;
  std::optional<CatalogueEntry> entry;  // none: a file was named
};

// Finds models by name. Looks through the places when first asked for what is no file. One thread.
class NamedModels {
 public:
  explicit NamedModels(ModelPlaces places) : places_(std::move(places)) {}

  // Fails as find_model_file.
  Result<NamedModel> find(const std::string& name);

  const Catalogue& catalogue();

 private:
  ModelPlaces places_;
  std::optional<Catalogue> catalogue_;
};

// The places of this machine, with the folders of --models.
ModelPlaces model_places(const std::vector<std::filesystem::path>& folders);

// Puts files in the place of the models' names that a command was given; what is empty stays so. Not for `serve`,
// `show` and `rm`, which keep the names. The system prompt that a model begins with is taken over by `run` and `chat`,
// where no flag gives one. Gives what the user should be told. Fails as NamedModels::find, and with kUsage where the
// command would write beside a model that lies in a store.
Result<std::vector<std::string>> resolve_models(CommandLine& line);

}  // namespace hypura

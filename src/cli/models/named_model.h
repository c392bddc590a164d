// From the names of models on the command line to files: the one door for every command.
#pragma once

#include <filesystem>
#include <functional>
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
  // What gets the model of a name that is not on this machine: its first file.
  using GetMissing = std::function<Result<std::filesystem::path>(const std::string& name)>;

  explicit NamedModels(ModelPlaces places, GetMissing get_missing = {})
      : places_(std::move(places)), get_missing_(std::move(get_missing)) {}

  // Fails as find_model_file, and where there is something that gets missing models, as that.
  Result<NamedModel> find(const std::string& name);

  const Catalogue& catalogue();

 private:
  ModelPlaces places_;
  GetMissing get_missing_;
  std::optional<Catalogue> catalogue_;
};

// The places of this machine, with the folders of --models.
ModelPlaces model_places(const std::vector<std::filesystem::path>& folders);

// Puts files in the place of the models' names that a command was given; what is empty stays so. Not for `serve`,
// `show` and `rm`, which keep the names. The system prompt that a model begins with is taken over by `run` and `chat`,
// where no flag gives one. What is not on this machine is fetched for commands that run a model, after a
// question or with --yes (cli/pull/missing_model.h); `inspect` is told to look at it from afar. Gives what the user
// should be told. Fails as NamedModels::find, and with kUsage where the command would write beside a model that lies in
// a store.
Result<std::vector<std::string>> resolve_models(CommandLine& line);

}  // namespace hypura

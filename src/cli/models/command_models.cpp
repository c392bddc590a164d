#include <unistd.h>

#include "cli/commands.h"
#include "cli/models/models_report.h"
#include "cli/models/named_model.h"
#include "cli/output.h"
#include "store/catalogue/remove.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string dumped(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<std::string> removed_text(const Catalogue& catalogue, const ModelPlaces& places, const std::string& name) {
  if (!places.data) {
    return fail(ErrorCode::kUsage, "nothing was fetched: neither XDG_DATA_HOME nor HOME is an absolute path");
  }
  return remove_model(catalogue, *places.data, name).map([](const RemovedModel& removed) {
    return fmt::format("{} removed; {} are free again\n", removed.name, format_bytes(removed.bytes));
  });
}

Result<std::string> shown_text(const Catalogue& catalogue, const ModelsOptions& options) {
  const auto entry = find_any_in(catalogue, options.name);
  if (!entry) {
    return propagate(entry.error());
  }
  const auto card = (*entry)->usable() ? read_model_card((*entry)->files.front()) : Result<ModelCard>(ModelCard());
  if (!card) {
    return propagate(card.error());
  }
  const ModelCard* known = (*entry)->usable() ? &*card : nullptr;
  return options.json ? dumped(entry_to_json(**entry, known)) : entry_text(**entry, known);
}

}  // namespace

Result<int> models_command(const ModelsOptions& options, const std::vector<std::filesystem::path>& folders) {
  const ModelPlaces places = model_places(folders);
  const Catalogue catalogue = read_catalogue(places);
  Result<std::string> text = std::string();
  switch (options.what) {
    case ModelsOptions::What::kList:
      text = options.json ? dumped(catalogue_to_json(catalogue)) : catalogue_text(catalogue);
      break;
    case ModelsOptions::What::kShow:
      text = shown_text(catalogue, options);
      break;
    case ModelsOptions::What::kRemove:
      text = removed_text(catalogue, places, options.name);
      break;
  }
  if (!text) {
    return propagate(text.error());
  }
  Output out(STDOUT_FILENO, "standard output");
  out.write(*text);
  return out.status().map([] { return 0; });
}

}  // namespace hypura

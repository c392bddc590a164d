#include <unistd.h>

#include "cli/commands.h"
#include "cli/models/named_model.h"
#include "cli/output.h"
#include "cli/pull/missing_model.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

// Of another program's, which looks after it: nothing is fetched beside it. What is in Hugging Face's cache or ours may
// be an older version, and is asked for.
bool is_kept_by_others(const CatalogueEntry& entry) {
  return entry.usable() && entry.origin != ModelOrigin::kHuggingFace && entry.origin != ModelOrigin::kHypura;
}

}  // namespace

Result<int> pull_command(const PullOptions& options, const std::vector<std::filesystem::path>& folders, bool yes) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  const ModelPlaces places = model_places(folders);
  const Catalogue catalogue = read_catalogue(places);
  const auto here = find_any_in(catalogue, options.name);
  std::filesystem::path file;
  if (here && is_kept_by_others(**here) && !(*here)->ours) {
    notes.write(
        fmt::format("{} is on this machine already: {}\n", printable((*here)->name), origin_words((*here)->origin)));
    file = (*here)->files.front();
  } else {
    EngineOptions engine;
    engine.context = 0;
    MissingModels missing(places, notes);
    const auto fetched = missing.fetch(options.name, yes ? Consent::kGiven : Consent::kPull, &engine);
    if (!fetched) {
      return propagate(fetched.error());
    }
    file = *fetched;
  }
  out.write(file.string() + "\n");
  return out.status().map([] { return 0; });
}

}  // namespace hypura

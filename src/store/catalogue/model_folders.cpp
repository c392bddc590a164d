// Folders of GGUF files: LM Studio's, by publisher and model, and those that the user named.
#include <fmt/format.h>

#include <map>

#include "store/catalogue/scan.h"
#include "store/catalogue/walk.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

CatalogueEntry entry_of(const fs::path& place, const GgufSet& set, ModelOrigin origin) {
  CatalogueEntry entry;
  entry.origin = origin;
  entry.place = place;
  entry.set = set;
  for (const std::string& file : set.files) {
    entry.files.push_back(place / file);
  }
  look_at_files(entry);
  return entry;
}

// "publisher/model" of "publisher/model/file"; empty for what lies less deep.
std::string model_folder(const std::string& stem) {
  const size_t publisher = stem.find('/');
  const size_t model = publisher == std::string::npos ? publisher : stem.find('/', publisher + 1);
  return model == std::string::npos ? "" : stem.substr(0, model);
}

}  // namespace

void scan_lm_studio(const fs::path& place, Catalogue& found) {
  std::map<std::string, std::vector<GgufSet>> by_folder;
  std::map<std::string, bool> safetensors;
  const std::vector<std::string> files = files_below(place, found.problems);
  for (const GgufSet& set : gguf_sets(files)) {
    by_folder[model_folder(set.stem)].push_back(set);
  }
  for (const auto& [folder, sets] : by_folder) {
    const std::vector<std::string> tags = tags_of(sets);
    for (size_t i = 0; i < sets.size(); ++i) {
      CatalogueEntry& entry = found.entries.emplace_back(entry_of(place, sets[i], ModelOrigin::kLmStudio));
      const size_t slash = folder.find('/');
      entry.name = folder.empty() ? sets[i].stem : folder + tags[i];
      entry.identity = folder.empty() ? NameReading(FileName{entry.files.front()})
                                      : HuggingFaceName{folder.substr(0, slash), folder.substr(slash + 1), "", "", ""};
    }
  }
  for (const std::string& file : files) {
    const std::string folder = model_folder(file);
    if (file.ends_with(".safetensors") && !folder.empty() && !by_folder.contains(folder) && !safetensors[folder]) {
      safetensors[folder] = true;
      CatalogueEntry& entry = found.entries.emplace_back();
      entry.name = folder;
      entry.identity = FileName{place / folder};
      entry.origin = ModelOrigin::kLmStudio;
      entry.place = place;
      entry.problem = "has weights as safetensors only; Hypura runs GGUF files";
    }
  }
}

void scan_folder(const fs::path& place, Catalogue& found) {
  for (const GgufSet& set : gguf_sets(files_below(place, found.problems))) {
    CatalogueEntry& entry = found.entries.emplace_back(entry_of(place, set, ModelOrigin::kFolder));
    entry.name = set.stem;
    entry.identity = FileName{entry.files.front()};
  }
}

}  // namespace hypura

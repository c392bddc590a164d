// Hugging Face's cache: models--ORG--REPO/{blobs/HASH, snapshots/COMMIT/FILE -> ../../blobs/HASH, refs/NAME}.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "store/catalogue/scan.h"
#include "store/catalogue/small_json.h"
#include "store/catalogue/walk.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr uint64_t kMostReference = 256;

// Nothing for repositories without an organisation, of long ago, and for what is none.
std::optional<HuggingFaceName> repository_name(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) {
    return std::nullopt;
  }
  const std::string rest = folder.substr(kPrefix.size());
  const size_t dashes = rest.find("--");
  if (dashes == std::string::npos || dashes == 0 || dashes + 2 == rest.size()) {
    return std::nullopt;
  }
  return HuggingFaceName{rest.substr(0, dashes), rest.substr(dashes + 2), "", "", ""};
}

// The snapshot that "main" means first, then the newest.
std::vector<std::string> snapshots_of(const fs::path& repository) {
  const fs::path folder = repository / "snapshots";
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (const std::string& name : names_in(folder)) {
    std::error_code none;
    if (fs::is_directory(folder / name, none)) {
      std::error_code unknown;
      const auto changed = fs::last_write_time(folder / name, unknown).time_since_epoch().count();
      by_age.emplace_back(static_cast<int64_t>(changed), name);
    }
  }
  const auto main = read_small_file(repository / "refs" / "main", kMostReference);
  std::ranges::sort(by_age, [&](const auto& a, const auto& b) {
    const bool a_main = main && a.second == *main;
    const bool b_main = main && b.second == *main;
    return a_main != b_main ? a_main : a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::vector<std::string> names;
  for (auto& [changed, name] : by_age) {
    names.push_back(std::move(name));
  }
  return names;
}

struct InSnapshot {
  GgufSet set;
  fs::path folder;
};

// Each model once: of the first snapshot that has it whole. Parts of one model are of one snapshot.
std::vector<InSnapshot> models_of(const fs::path& repository, bool& safetensors, std::vector<std::string>& problems) {
  std::map<std::string, InSnapshot> by_stem;
  for (const std::string& commit : snapshots_of(repository)) {
    const fs::path folder = repository / "snapshots" / commit;
    std::vector<std::string> there;
    for (std::string& file : files_below(folder, problems)) {
      safetensors = safetensors || file.ends_with(".safetensors");
      if (!gguf_part(file)) {
        continue;
      }
      if (!state_of(folder / file).regular) {
        problems.push_back(fmt::format("{}: leads to no file; fetch it again", (folder / file).string()));
        continue;
      }
      there.push_back(std::move(file));
    }
    for (GgufSet& set : gguf_sets(there)) {
      const auto known = by_stem.find(set.stem);
      if (known == by_stem.end() || (!known->second.set.whole() && set.whole())) {
        by_stem[set.stem] = {set, folder};
      }
    }
  }
  std::vector<InSnapshot> models;
  for (auto& [stem, model] : by_stem) {
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace

void scan_hugging_face(const fs::path& place, Catalogue& found) {
  for (const std::string& folder : names_in(place)) {
    const auto name = repository_name(folder);
    if (!name) {
      continue;
    }
    bool safetensors = false;
    const std::vector<InSnapshot> models = models_of(place / folder, safetensors, found.problems);
    std::vector<GgufSet> sets;
    for (const InSnapshot& model : models) {
      sets.push_back(model.set);
    }
    const std::vector<std::string> tags = tags_of(sets);
    CatalogueEntry entry;
    entry.identity = *name;
    entry.origin = ModelOrigin::kHuggingFace;
    entry.place = place;
    for (size_t i = 0; i < models.size(); ++i) {
      CatalogueEntry& model = found.entries.emplace_back(entry);
      model.name = text_of(*name) + tags[i];
      model.set = sets[i];
      for (const std::string& file : sets[i].files) {
        model.files.push_back(models[i].folder / file);
      }
      look_at_files(model);
    }
    if (models.empty() && safetensors) {
      entry.name = text_of(*name);
      entry.problem = "has weights as safetensors only; Hypura runs GGUF files: look for a repository that has them";
      found.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace hypura

#include "store/catalogue/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "store/catalogue/created.h"
#include "store/catalogue/fetched.h"
#include "store/catalogue/scan.h"
#include "store/catalogue/walk.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

// The model among the files of a record: the set that the first belongs to.
CatalogueEntry recorded_entry(const FetchedModel& model, const fs::path& data) {
  CatalogueEntry entry;
  entry.name = model.name;
  entry.origin = ModelOrigin::kHypura;
  entry.place = data;
  entry.ours = true;
  entry.files = {model.files.front().path};
  const auto name = read_model_name(model.name, FilesAs::kErrors);
  entry.identity = name ? name->readings.front() : NameReading(FileName{entry.files.front()});
  std::vector<std::string> names;
  for (const FetchedFile& file : model.files) {
    names.push_back(file.path.string());
  }
  for (const GgufSet& set : gguf_sets(names)) {
    if (std::ranges::count(set.files, names.front()) > 0) {
      entry.set = set;
      entry.files.assign(set.files.begin(), set.files.end());
    }
  }
  if (const auto* repository = std::get_if<HuggingFaceName>(&entry.identity)) {
    entry.set.quant = entry.set.quant.empty() ? repository->quant : entry.set.quant;
  }
  look_at_files(entry);
  return entry;
}

// Marks what a record is about, and adds what no scan has found.
void add_fetched(const fs::path& data, Catalogue& found) {
  const std::vector<FetchedModel> models = fetched_models(data, found.problems);
  std::multimap<fs::path, size_t> by_first_file;
  for (size_t i = 0; i < found.entries.size() && !models.empty(); ++i) {
    if (!found.entries[i].files.empty()) {
      by_first_file.emplace(in_real_folder(found.entries[i].files.front()), i);
    }
  }
  for (const FetchedModel& model : models) {
    std::set<fs::path> files;
    for (const FetchedFile& file : model.files) {
      files.insert(in_real_folder(file.path));
    }
    bool known = false;
    for (const fs::path& file : files) {
      for (auto [it, end] = by_first_file.equal_range(file); it != end; ++it) {
        CatalogueEntry& entry = found.entries[it->second];
        const bool whole = std::ranges::all_of(
            entry.files, [&](const fs::path& part) { return files.contains(in_real_folder(part)); });
        entry.ours = entry.ours || whole;
        known = known || whole;
      }
    }
    if (!known) {
      found.entries.push_back(recorded_entry(model, data));
    }
  }
}

CatalogueEntry created_entry(const CreatedModel& model, const fs::path& data, const Catalogue& others) {
  CatalogueEntry entry;
  if (const auto base = find_any_in(others, model.from)) {
    entry = **base;
  } else if (state_of(model.file).regular) {
    entry.files = {model.file};
    look_at_files(entry);
  } else {
    entry.problem = fmt::format("is made from {}, which is not on this machine any more", model.from);
  }
  const auto name = read_model_name(model.name, FilesAs::kErrors);
  entry.name = model.name;
  entry.identity = name ? name->readings.back() : NameReading(FileName{model.file});
  entry.origin = ModelOrigin::kCreated;
  entry.place = data;
  entry.ours = true;
  entry.from = model.from;
  entry.preset = overlaid(entry.preset, model.preset);
  entry.license = model.license.empty() ? entry.license : model.license;
  return entry;
}

void add_created(const fs::path& data, Catalogue& found) {
  std::vector<CatalogueEntry> created;
  for (const CreatedModel& model : created_models(data, found.problems)) {
    created.push_back(created_entry(model, data, found));
  }
  found.entries.insert(found.entries.begin(), created.begin(), created.end());
}

}  // namespace

std::string_view origin_words(ModelOrigin origin) {
  switch (origin) {
    case ModelOrigin::kHuggingFace:
      return "Hugging Face's cache";
    case ModelOrigin::kOllama:
      return "Ollama";
    case ModelOrigin::kLmStudio:
      return "LM Studio";
    case ModelOrigin::kFolder:
      return "a folder";
    case ModelOrigin::kHypura:
      return "Hypura";
    case ModelOrigin::kCreated:
      return "created from another model";
  }
  return "";
}

void look_at_files(CatalogueEntry& entry) {
  std::string problem;
  if (entry.set.files.size() < entry.set.parts && !entry.set.files.empty()) {
    problem = fmt::format("has {} of {} parts", entry.set.files.size(), entry.set.parts);
  }
  for (size_t i = 0; i < entry.files.size(); ++i) {
    const FileState state = state_of(entry.files[i]);
    entry.bytes += state.bytes;
    entry.modified = i == 0 ? state.modified : entry.modified;
    if (problem.empty() && !begins_as_gguf(entry.files[i])) {
      problem = fmt::format("{} is {}", entry.files[i].string(), state.regular ? "no GGUF file" : "not there");
    }
  }
  entry.problem = entry.problem.empty() ? problem : entry.problem;
}

std::vector<std::string> tags_of(const std::vector<GgufSet>& sets) {
  std::vector<std::string> tags;
  for (const GgufSet& set : sets) {
    const auto same = std::ranges::count(sets, set.quant, &GgufSet::quant);
    const std::string stem = fs::path(set.stem).filename().string();
    tags.push_back(same == 1 && !set.quant.empty() ? ":" + set.quant : sets.size() > 1 ? ":" + stem : "");
  }
  return tags;
}

Catalogue read_catalogue(const ModelPlaces& places) {
  Catalogue found;
  std::set<fs::path> looked;  // a place may be a link to another one
  struct Kind {
    const std::vector<fs::path>& places;
    void (*scan)(const fs::path& place, Catalogue& found);
  };
  for (const Kind& kind : {Kind{places.hugging_face, scan_hugging_face}, Kind{places.ollama, scan_ollama},
                           Kind{places.lm_studio, scan_lm_studio}, Kind{places.folders, scan_folder}}) {
    for (const fs::path& place : kind.places) {
      std::error_code missing;
      const fs::path real = fs::canonical(place, missing);
      if (!missing && looked.insert(real).second) {
        kind.scan(place, found);
      }
    }
  }
  if (places.data) {
    scan_ollama(*places.data / "ollama", found);  // what was fetched from a registry lies as Ollama would lay it
    add_fetched(*places.data, found);
    add_created(*places.data, found);
  }
  return found;
}

}  // namespace hypura

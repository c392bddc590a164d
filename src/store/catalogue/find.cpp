// From a name to an entry.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "store/catalogue/catalogue.h"
#include "support/ascii.h"
#include "support/fail.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using Found = const CatalogueEntry*;

// Of several that fit, one that can be used.
Found better(Found first, const CatalogueEntry& other) {
  return first == nullptr || (!first->usable() && other.usable()) ? &other : first;
}

Found with_name(const Catalogue& catalogue, std::string_view name) {
  const std::string latest = std::string(name) + ":latest";
  Found found = nullptr;
  for (const CatalogueEntry& entry : catalogue.entries) {
    if (equal_ignoring_case(entry.name, name) || equal_ignoring_case(entry.name, latest)) {
      found = better(found, entry);
    }
  }
  return found;
}

// The one that has a file of that name, wherever it lies; nothing when there are several.
Found with_stem(const Catalogue& catalogue, std::string_view name) {
  Found found = nullptr;
  for (const CatalogueEntry& entry : catalogue.entries) {
    if (equal_ignoring_case(fs::path(entry.set.stem).filename().string(), name)) {
      if (found != nullptr) {
        return nullptr;
      }
      found = &entry;
    }
  }
  return found;
}

bool is_of(const CatalogueEntry& entry, const HuggingFaceName& name) {
  const auto* its = std::get_if<HuggingFaceName>(&entry.identity);
  return its != nullptr && equal_ignoring_case(its->org, name.org) && equal_ignoring_case(its->repo, name.repo);
}

// Each place by itself: the same file in two of them is no choice between two models.
Result<Found> in_repository(const Catalogue& catalogue, const HuggingFaceName& name) {
  std::vector<std::pair<fs::path, std::vector<Found>>> by_place;
  for (const CatalogueEntry& entry : catalogue.entries) {
    if (!is_of(entry, name) || (!name.file.empty() && std::ranges::count(entry.set.files, name.file) == 0)) {
      continue;
    }
    if (by_place.empty() || by_place.back().first != entry.place) {
      by_place.emplace_back(entry.place, std::vector<Found>());
    }
    by_place.back().second.push_back(&entry);
  }
  std::optional<Error> first;
  for (const auto& [place, entries] : by_place) {
    if (entries.size() == 1 && entries.front()->set.stem.empty()) {
      return entries.front();  // without GGUF files
    }
    std::vector<GgufSet> sets;
    for (const Found entry : entries) {
      sets.push_back(entry->set);
    }
    const auto chosen = choose_set(sets, name.quant, text_of(HuggingFaceName{name.org, name.repo, "", "", ""}));
    for (size_t i = 0; chosen && i < sets.size(); ++i) {
      if (sets[i].stem == chosen->stem && sets[i].parts == chosen->parts && sets[i].quant == chosen->quant) {
        return entries[i];
      }
    }
    first = chosen ? first : first.value_or(chosen.error());
  }
  return first ? Result<Found>(propagate(*first)) : Result<Found>(nullptr);
}

bool is_same(const OllamaName& a, const OllamaName& b) {
  return equal_ignoring_case(a.host, b.host) && equal_ignoring_case(a.space, b.space) &&
         equal_ignoring_case(a.model, b.model) && equal_ignoring_case(a.tag, b.tag);
}

// Null when there is none; an error when the repository is here but not what is wanted of it.
Result<Found> with_reading(const Catalogue& catalogue, const NameReading& reading) {
  if (const auto* repository = std::get_if<HuggingFaceName>(&reading)) {
    return in_repository(catalogue, *repository);
  }
  Found found = nullptr;
  for (const CatalogueEntry& entry : catalogue.entries) {
    const auto* its = std::get_if<OllamaName>(&entry.identity);
    const auto* name = std::get_if<OllamaName>(&reading);
    if (its != nullptr && name != nullptr ? is_same(*its, *name) : entry.identity == reading) {
      found = better(found, entry);
    }
  }
  return found;
}

}  // namespace

Result<const CatalogueEntry*> find_any_in(const Catalogue& catalogue, std::string_view text) {
  if (const Found found = with_name(catalogue, text)) {
    return found;
  }
  const auto name = read_model_name(text, FilesAs::kErrors);
  if (!name) {
    return propagate(name.error());
  }
  std::vector<Found> found;
  std::optional<Error> error;
  for (const NameReading& reading : name->readings) {
    const auto entry = with_reading(catalogue, reading);
    if (!entry) {
      error = entry.error();
    } else if (*entry != nullptr) {
      found.push_back(*entry);
    }
  }
  if (found.size() == 1) {
    return found.front();
  }
  if (found.size() > 1) {
    return propagate(only_reading(*name).error());
  }
  if (const Found entry = with_stem(catalogue, text)) {
    return entry;
  }
  if (error) {
    return fail(error->code, "on this machine {}; `hypura pull {}` fetches it", error->message, text);
  }
  return fail(ErrorCode::kUsage,
              "the model '{}' is not on this machine; `hypura list` shows those that are, and "
              "`hypura pull {}` fetches it",
              text, text);
}

Result<const CatalogueEntry*> find_in(const Catalogue& catalogue, std::string_view name) {
  auto found = find_any_in(catalogue, name);
  if (found && !(*found)->usable()) {
    return fail(ErrorCode::kBadModel, "{} ({}) cannot be used: {}", (*found)->name, origin_words((*found)->origin),
                (*found)->problem);
  }
  return found;
}

Result<fs::path> find_model_file(const Catalogue& catalogue, std::string_view text) {
  const auto name = read_model_name(text);
  if (name && std::holds_alternative<FileName>(name->readings.front())) {
    return std::get<FileName>(name->readings.front()).path;
  }
  return find_in(catalogue, text).map([](Found entry) { return entry->files.front(); });
}

}  // namespace hypura

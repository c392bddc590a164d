// What `hypura list` and `hypura show` print, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "hypura/generator.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

// A table, what cannot be used with the reason, and what is wrong in the places; ends with a line break.
std::string catalogue_text(const Catalogue& catalogue);

// All of it. Sizes in bytes, dates in seconds since 1970.
nlohmann::ordered_json catalogue_to_json(const Catalogue& catalogue);

// One model. `card` is null where its header cannot be read.
std::string entry_text(const CatalogueEntry& entry, const ModelCard* card);
nlohmann::ordered_json entry_to_json(const CatalogueEntry& entry, const ModelCard* card);

}  // namespace hypura

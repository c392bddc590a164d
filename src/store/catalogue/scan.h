// The parts of read_catalogue: one for each kind of place.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/catalogue/catalogue.h"

namespace hypura {

// Each adds what it finds in `place`. hugging_face.cpp, ollama_store.cpp, model_folders.cpp
void scan_hugging_face(const std::filesystem::path& place, Catalogue& found);
void scan_ollama(const std::filesystem::path& place, Catalogue& found);
void scan_lm_studio(const std::filesystem::path& place, Catalogue& found);
void scan_folder(const std::filesystem::path& place, Catalogue& found);

// Sets the sizes and dates, and the problem where a file is missing, is no GGUF or parts are not there.
void look_at_files(CatalogueEntry& entry);

// ":QUANT" for each of `sets` that has one of its own; ":STEM" for the others, and nothing for a single one without.
std::vector<std::string> tags_of(const std::vector<GgufSet>& sets);

}  // namespace hypura

// The models that are on this machine, wherever they lie. Other programs' stores are read in place and never written.
// What is in them is not trusted: what is damaged is told, not followed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "store/catalogue/places.h"
#include "store/names/gguf_files.h"
#include "store/names/model_name.h"

namespace hypura {

// Who put a model where it lies.
enum class ModelOrigin { kHuggingFace, kOllama, kLmStudio, kFolder, kHypura, kCreated };

// "Hugging Face's cache", "Ollama", "LM Studio", "a folder", "Hypura", "created from another model".
std::string_view origin_words(ModelOrigin origin);

// What a model begins with besides its weights: of a Modelfile, or of Ollama's store. `serve` keeps to it.
struct ModelPreset {
  std::string system;         // text of the first message; empty: none
  std::string parameters;     // Ollama's options as the text of a JSON object; empty: none
  std::string messages;       // that come before the conversation, as the text of a JSON array of {role, content}
  std::string chat_template;  // in place of the file's own: Jinja, or one of Ollama's; empty: none
  bool operator==(const ModelPreset&) const = default;
};

struct CatalogueEntry {
  std::string name;  // as find_in takes it, and `hypura list` shows it
  NameReading identity;
  ModelOrigin origin = ModelOrigin::kFolder;
  std::filesystem::path place;               // the folder of `places` that it was found in
  std::vector<std::filesystem::path> files;  // all parts, in order: links where there are links
  GgufSet set;  // by the names in the repository or folder; of Ollama's models the name alone
  uint64_t bytes = 0;
  int64_t modified = 0;  // seconds since 1970, of the first file
  bool ours = false;     // Hypura fetched or created it, and may remove it
  std::string from;      // of a created one: the name of what it was made from
  ModelPreset preset;
  std::string license;
  std::string problem;  // why it cannot be used, a sentence without its full stop; empty: it can

  bool usable() const { return problem.empty(); }
};

struct Catalogue {
  std::vector<CatalogueEntry> entries;  // created ones first, then by place and name, as `places` has them
  std::vector<std::string> problems;    // of what is no entry: damaged manifests, links that lead nowhere
};

// Looks through all places. Takes as long as some system calls for each file; reads four bytes of each model, and
// manifests. Never fails: what cannot be read is told in `problems`. Any thread.
Catalogue read_catalogue(const ModelPlaces& places);

// The entry that a name means: its own name, in any case, or one that it can be read as. Fails with kUsage when there
// is none, with a sentence that says how to fetch it, or when the name means two; with kBadModel when the entry cannot
// be used.
Result<const CatalogueEntry*> find_in(const Catalogue& catalogue, std::string_view name);

// The same, whether it can be used or not.
Result<const CatalogueEntry*> find_any_in(const Catalogue& catalogue, std::string_view text);

// The file that `text` means: itself, where it is a file, or its entry's first one. Fails as read_model_name and
// find_in.
Result<std::filesystem::path> find_model_file(const Catalogue& catalogue, std::string_view text);

}  // namespace hypura

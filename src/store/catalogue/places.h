// Where models lie on this machine: other programs' stores, folders that the user named, and what Hypura keeps.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

namespace hypura {

struct ModelPlaces {
  std::vector<std::filesystem::path> hugging_face;  // folders of models--ORG--REPO; the first is fetched into
  std::vector<std::filesystem::path> ollama;        // folders of manifests/ and blobs/
  std::vector<std::filesystem::path> lm_studio;     // folders of PUBLISHER/MODEL/FILE.gguf
  std::vector<std::filesystem::path> folders;       // of GGUF files, at any depth
  std::optional<std::filesystem::path> data;        // support/data_folder.h
};

// By the variables that these programs read, or else where they lie by default: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
// OLLAMA_MODELS, LLAMA_CACHE, HOME. A folder need not exist. Reads the environment, touches no file.
ModelPlaces places_from_environment();

// Adds a folder that the user named: as what it looks like, a store of Ollama, a cache of Hugging Face, or else a
// folder of GGUF files.
void add_models_folder(ModelPlaces& places, const std::filesystem::path& folder);

}  // namespace hypura

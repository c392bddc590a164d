#include "store/catalogue/places.h"

#include <algorithm>
#include <string>

#include "store/catalogue/walk.h"
#include "support/data_folder.h"
#include "support/environment.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

fs::path hugging_face_cache(const std::optional<fs::path>& home) {
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto hub = path_from_environment(variable)) {
      return *hub;
    }
  }
  if (const auto of_all = path_from_environment("HF_HOME")) {
    return *of_all / "hub";
  }
  if (const auto caches = path_from_environment("XDG_CACHE_HOME")) {
    return *caches / "huggingface" / "hub";
  }
  return home ? *home / ".cache" / "huggingface" / "hub" : fs::path();
}

std::optional<fs::path> cache_of_llama(const std::optional<fs::path>& home) {
  if (auto cache = path_from_environment("LLAMA_CACHE")) {
    return cache;
  }
  if (const auto caches = path_from_environment("XDG_CACHE_HOME")) {
    return *caches / "llama.cpp";
  }
  return home ? std::optional(*home / ".cache" / "llama.cpp") : std::nullopt;
}

}  // namespace

ModelPlaces places_from_environment() {
  const auto home = path_from_environment("HOME");
  ModelPlaces places;
  if (fs::path hub = hugging_face_cache(home); !hub.empty()) {
    places.hugging_face.push_back(std::move(hub));
  }
  if (const auto models = path_from_environment("OLLAMA_MODELS")) {
    places.ollama.push_back(*models);
  } else {
    if (home) {
      places.ollama.push_back(*home / ".ollama" / "models");
    }
    places.ollama.emplace_back("/usr/share/ollama/.ollama/models");  // of the service
  }
  if (home) {
    places.lm_studio = {*home / ".lmstudio" / "models", *home / ".cache" / "lm-studio" / "models"};
  }
  if (auto cache = cache_of_llama(home)) {
    places.folders.push_back(std::move(*cache));
  }
  places.data = data_folder();
  return places;
}

void add_models_folder(ModelPlaces& places, const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder / "manifests", error) && fs::is_directory(folder / "blobs", error)) {
    places.ollama.push_back(folder);
    return;
  }
  const bool cache =
      std::ranges::any_of(names_in(folder), [](const std::string& name) { return name.starts_with("models--"); });
  (cache ? places.hugging_face : places.folders).push_back(folder);
}

}  // namespace hypura

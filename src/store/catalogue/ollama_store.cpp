// Ollama's store: manifests/HOST/NAMESPACE/MODEL/TAG name layers by hash, which are files of blobs/.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "store/catalogue/scan.h"
#include "store/catalogue/small_json.h"
#include "store/catalogue/walk.h"
#include "support/ascii.h"
#include "support/fail.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kLayer = "application/vnd.ollama.image.";
constexpr size_t kMostChildren = 64;

// The file of a layer; empty when the digest is no SHA-256: it must lead nowhere else.
fs::path blob_of(const fs::path& store, const std::string& digest) {
  constexpr size_t kDigestPrefix = 7;
  constexpr size_t kHex = 64;
  const bool named = digest.starts_with("sha256:") || digest.starts_with("sha256-");
  const std::string hex = named ? ascii_lower(digest.substr(kDigestPrefix)) : "";
  const bool right = hex.size() == kHex && hex.find_first_not_of("0123456789abcdef") == std::string::npos;
  return right ? store / "blobs" / ("sha256-" + hex) : fs::path();
}

bool is_list(const Json& manifest) {
  return json_text(manifest, "mediaType").find(".manifest.list.") != std::string::npos ||
         manifest.contains("manifests");
}

// What kind a layer is: "model", "params", "template" …; empty for what is none of Ollama's.
std::string kind_of(const Json& layer) {
  const std::string type = json_text(layer, "mediaType");
  return type.starts_with(kLayer) ? type.substr(kLayer.size(), type.find(';') - kLayer.size()) : "";
}

std::vector<const Json*> layers_of(const Json& manifest, std::string_view kind) {
  std::vector<const Json*> layers;
  for (const Json& layer : json_array(manifest, "layers")) {
    if (kind_of(layer) == kind) {
      layers.push_back(&layer);
    }
  }
  return layers;
}

// A child of a list: itself, or the manifest that its digest names.
Result<Json> child_manifest(const fs::path& store, const Json& child) {
  if (child.contains("layers")) {
    return child;
  }
  const fs::path blob = blob_of(store, json_text(child, "digest"));
  if (blob.empty()) {
    return fail(ErrorCode::kBadModel, "a part of the list of manifests has no digest");
  }
  auto manifest = read_small_json(blob);
  if (manifest && is_list(*manifest)) {
    return fail(ErrorCode::kBadModel, "a list of manifests is in another one");
  }
  return manifest;
}

// The child that has a GGUF file, of the runner that comes first here.
Result<Json> choose_child(const fs::path& store, const Json& list) {
  const Json& children = json_array(list, "manifests");
  std::string others;
  std::optional<Error> damaged;
  for (const std::string_view runner : {"ollama", "llamacpp", ""}) {
    for (size_t i = 0; i < std::min(children.size(), kMostChildren); ++i) {
      const std::string its_runner = ascii_lower(json_text(children[i], "runner"));
      const std::string format = ascii_lower(json_text(children[i], "format"));
      if (its_runner != runner || (!format.empty() && format != "gguf")) {
        continue;
      }
      auto child = child_manifest(store, children[i]);
      if (child && !layers_of(*child, "model").empty()) {
        return child;
      }
      if (!child) {
        damaged = child.error();
      }
    }
  }
  for (size_t i = 0; i < std::min(children.size(), kMostChildren); ++i) {
    others += fmt::format("{}{} for {}", others.empty() ? "" : ", ", json_text(children[i], "format"),
                          json_text(children[i], "runner"));
  }
  if (damaged) {
    return propagate(*damaged);
  }
  return fail(ErrorCode::kBadModel, "has no GGUF file; it has {}", others.empty() ? "nothing" : others);
}

// The text of the first layer of a kind; empty without one. Fails when it cannot be read.
Result<std::string> layer_text(const fs::path& store, const Json& manifest, std::string_view kind) {
  const auto layers = layers_of(manifest, kind);
  return layers.empty() ? Result<std::string>(std::string())
                        : read_small_file(blob_of(store, json_text(*layers.front(), "digest")));
}

// "" or JSON of that type.
bool is_json(const std::string& text, Json::value_t type) {
  return text.empty() || Json::parse(text, nullptr, false).type() == type;
}

Status read_preset(const fs::path& store, const Json& manifest, CatalogueEntry& entry) {
  struct Part {
    const char* kind;
    std::string& text;
  };
  for (const Part& part : {Part{"system", entry.preset.system}, Part{"params", entry.preset.parameters},
                           Part{"messages", entry.preset.messages}, Part{"license", entry.license}}) {
    auto text = layer_text(store, manifest, part.kind);
    if (!text) {
      return propagate(text.error());
    }
    part.text = std::move(*text);
  }
  if (!is_json(entry.preset.parameters, Json::value_t::object) ||
      !is_json(entry.preset.messages, Json::value_t::array)) {
    entry.preset = {};
    return fail(ErrorCode::kBadModel, "its parameters or messages are no JSON");
  }
  return {};
}

Status read_weights(const fs::path& store, const Json& manifest, CatalogueEntry& entry) {
  const auto weights = layers_of(manifest, "model");
  if (weights.empty()) {
    const bool tensors = !layers_of(manifest, "tensor").empty();
    return fail(ErrorCode::kBadModel, "{}",
                tensors ? "has weights as safetensors; Hypura runs GGUF files"
                        : "has no weights here; models of Ollama's cloud have none");
  }
  if (weights.size() > 1) {
    return fail(ErrorCode::kBadModel, "has weights in {} files, whose order is not told", weights.size());
  }
  if (!layers_of(manifest, "adapter").empty()) {
    return fail(ErrorCode::kBadModel, "has an adapter (LoRA), which Hypura does not apply");
  }
  const fs::path blob = blob_of(store, json_text(*weights.front(), "digest"));
  if (blob.empty()) {
    return fail(ErrorCode::kBadModel, "its manifest names no SHA-256");
  }
  entry.files = {blob};
  return {};
}

Status read_manifest(const fs::path& store, const fs::path& file, CatalogueEntry& entry) {
  auto manifest = read_small_json(file);
  if (manifest && is_list(*manifest)) {
    manifest = choose_child(store, *manifest);
  }
  if (!manifest) {
    return propagate(manifest.error());
  }
  return read_weights(store, *manifest, entry).and_then([&] { return read_preset(store, *manifest, entry); });
}

// HOST/NAMESPACE/MODEL/TAG; nothing when a path has more or fewer parts, or one is no name.
std::optional<NameReading> name_of_manifest(const std::string& path) {
  std::array<std::string, 4> parts;
  size_t at = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t end = i + 1 < parts.size() ? path.find('/', at) : path.size();
    if (end == std::string::npos) {
      return std::nullopt;
    }
    parts[i] = path.substr(at, end - at);
    at = end + 1;
  }
  const auto& [host, space, model, tag] = parts;
  const bool local = host.find_first_of(".:") == std::string::npos && host != "localhost";
  if (local || tag.find('/') != std::string::npos) {
    return std::nullopt;
  }
  auto name = read_model_name(fmt::format("{}/{}/{}:{}", host, space, model, tag), FilesAs::kErrors);
  return name ? std::optional(name->readings.front()) : std::nullopt;
}

}  // namespace

void scan_ollama(const fs::path& place, Catalogue& found) {
  const fs::path manifests = place / "manifests";
  for (const std::string& path : files_below(manifests, found.problems)) {
    const auto name = name_of_manifest(path);
    if (!name) {
      found.problems.push_back(fmt::format("{}: is not where a manifest of a model is", (manifests / path).string()));
      continue;
    }
    CatalogueEntry entry;
    entry.name = text_of(*name);
    entry.identity = *name;
    entry.origin = ModelOrigin::kOllama;
    entry.place = place;
    if (const auto* repository = std::get_if<HuggingFaceName>(&*name)) {
      const bool quantized = !equal_ignoring_case(repository->quant, "latest");
      entry.set = {repository->repo, quantized ? ascii_upper(repository->quant) : "", {}, 1};
    }
    if (const Status status = read_manifest(place, manifests / path, entry); !status) {
      entry.problem = status.error().message;
    }
    look_at_files(entry);
    found.entries.push_back(std::move(entry));
  }
}

}  // namespace hypura

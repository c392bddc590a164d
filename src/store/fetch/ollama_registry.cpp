// Models in registries of Ollama's kind: a manifest that names layers by digest, and the layers as blobs.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "store/fetch/blob_place.h"
#include "store/fetch/remote_model.h"
#include "store/fetch/sha256.h"
#include "support/ascii.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

using ManifestJson = nlohmann::json;

constexpr size_t kMostManifest = size_t{4} << 20U;
constexpr uint64_t kMostText = uint64_t{4} << 20U;  // of a template, a licence …
constexpr size_t kMostListed = 64;
constexpr std::string_view kLayerKind = "application/vnd.ollama.image.";
constexpr std::string_view kDigest = "sha256:";
constexpr const char* kAccept =
    "Accept: application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json";

std::string manifest_text(const ManifestJson& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const ManifestJson& manifest_list(const ManifestJson& json, const char* key) {
  static const ManifestJson none = ManifestJson::array();
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_array() ? *found : none;
}

// The 64 digits of "sha256:…"; empty: that is none, and must lead nowhere.
std::string digits_of(const ManifestJson& layer) {
  const std::string digest = manifest_text(layer, "digest");
  const std::string digits = digest.starts_with(kDigest) ? digest.substr(kDigest.size()) : std::string();
  return is_sha256(digits) ? digits : std::string();
}

std::string layer_kind(const ManifestJson& layer) {
  const std::string type = manifest_text(layer, "mediaType");
  return type.starts_with(kLayerKind) ? type.substr(kLayerKind.size(), type.find(';') - kLayerKind.size()) : "";
}

bool has_model(const ManifestJson& manifest) {
  const ManifestJson& layers = manifest_list(manifest, "layers");
  return std::any_of(layers.begin(), layers.end(),
                     [](const ManifestJson& layer) { return layer_kind(layer) == "model"; });
}

class RegistryModel {
 public:
  RegistryModel(const RemoteAccess& access, const OllamaName& name) : access_(access), name_(name) {
    const std::string host = name.host.substr(0, name.host.rfind(':'));
    const bool loopback = host == "localhost" || host == "127.0.0.1";
    base_ = fmt::format("{}://{}/v2/{}/{}", loopback ? "http" : "https", name.host, name.space, name.model);
    store_ = access.settings.data / "ollama";
  }

  Result<RemoteModel> model();

 private:
  Result<std::string> manifest(const std::string& reference) const;
  Result<std::string> chosen_manifest() const;
  Result<std::string> choose_from(const ManifestJson& list) const;
  Status add_layer(RemoteModel& model, const ManifestJson& layer, std::string_view kind) const;
  std::string words() const { return text_of(name_); }

  const RemoteAccess& access_;
  const OllamaName& name_;
  std::string base_;
  std::filesystem::path store_;
};

Result<std::string> RegistryModel::manifest(const std::string& reference) const {
  const WebRequest request{base_ + "/manifests/" + reference, {}, {kAccept}, {}};
  auto page = get_patiently(access_.client, request, kMostManifest, access_.retries, access_.keep_going);
  if (!page) {
    return propagate(page.error());
  }
  if (page->head.status != 200) {
    return propagate(refused(words(), page->head, true));
  }
  if (reference.starts_with(kDigest)) {
    Sha256 hash;
    hash.add({reinterpret_cast<const uint8_t*>(page->body.data()), page->body.size()});
    if (hash.finish() != reference.substr(kDigest.size())) {
      return fail(ErrorCode::kIo, "{}: the manifest that came is not the one that was asked for", words());
    }
  }
  return std::move(page->body);
}

// Of a list the first with a GGUF file, for the runners that read one first.
Result<std::string> RegistryModel::choose_from(const ManifestJson& list) const {
  const ManifestJson& children = manifest_list(list, "manifests");
  const size_t count = std::min(children.size(), kMostListed);
  for (const std::string_view runner : {"ollama", "llamacpp", ""}) {
    for (size_t i = 0; i < count; ++i) {
      const std::string format = ascii_lower(manifest_text(children[i], "format"));
      const std::string digits = digits_of(children[i]);
      if (ascii_lower(manifest_text(children[i], "runner")) != runner || (!format.empty() && format != "gguf") ||
          digits.empty()) {
        continue;
      }
      auto child = manifest(std::string(kDigest) + digits);
      if (!child || has_model(ManifestJson::parse(*child, nullptr, false))) {
        return child;
      }
    }
  }
  return fail(ErrorCode::kBadModel, "{}: none of its {} variants has a GGUF file", words(), children.size());
}

Result<std::string> RegistryModel::chosen_manifest() const {
  auto text = manifest(name_.tag);
  if (!text) {
    return text;
  }
  const ManifestJson json = ManifestJson::parse(*text, nullptr, false);
  return json.is_object() && json.contains("manifests") ? choose_from(json) : std::move(text);
}

Status RegistryModel::add_layer(RemoteModel& model, const ManifestJson& layer, std::string_view kind) const {
  const std::string digits = digits_of(layer);
  const auto size = layer.find("size");
  if (digits.empty() || size == layer.end() || !size->is_number_unsigned() || size->get<uint64_t>() == 0) {
    return fail(ErrorCode::kBadModel, "{}: its manifest names a layer without SHA-256 or size", words());
  }
  RemoteFile file;
  file.name = std::string(kDigest) + digits;
  file.url = base_ + "/blobs/" + file.name;
  file.size = size->get<uint64_t>();
  file.sha256 = digits;
  file.blob = store_ / "blobs" / ("sha256-" + digits);
  file.path = file.blob;
  file.lock = store_ / "locks" / digits;
  const bool weights = kind == "model";
  if (!weights && file.size > kMostText) {
    return fail(ErrorCode::kBadModel, "{}: its layer of kind {} is larger than any", words(), printable(kind));
  }
  (weights ? model.parts : model.others).push_back(std::move(file));
  return {};
}

Result<RemoteModel> RegistryModel::model() {
  auto text = chosen_manifest();
  if (!text) {
    return propagate(text.error());
  }
  const ManifestJson manifest = ManifestJson::parse(*text, nullptr, false);
  RemoteModel model;
  model.identity = name_;
  model.name = words();
  // What changes the weights is not applied, so such a model would be another one.
  for (const ManifestJson& layer : manifest_list(manifest, "layers")) {
    if (layer_kind(layer) == "adapter") {
      return fail(ErrorCode::kBadModel, "{}: has an adapter (LoRA), which Hypura does not apply", words());
    }
  }
  constexpr std::array<std::string_view, 6> kKinds = {"model", "template", "system", "params", "messages", "license"};
  for (const ManifestJson& layer : manifest_list(manifest, "layers")) {
    const std::string kind = layer_kind(layer);
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) {
      continue;  // projectors, tensors of other runners
    }
    if (Status status = add_layer(model, layer, kind); !status) {
      return propagate(status.error());
    }
  }
  if (model.parts.size() != 1) {
    return fail(ErrorCode::kBadModel, "{}: {}", words(),
                model.parts.empty() ? "has no GGUF file; models of Ollama's cloud have none"
                                    : "has weights in several files, whose order is not told");
  }
  model.texts.push_back({store_ / "manifests" / name_.host / name_.space / name_.model / name_.tag, std::move(*text)});
  return model;
}

}  // namespace

Result<RemoteModel> remote::of_registry(const RemoteAccess& access, const OllamaName& name) {
  return RegistryModel(access, name).model();
}

}  // namespace hypura

// Models in registries of Ollama's kind: a manifest that names layers by digest, and the layers as blobs.
#include <utility>

#include "store/fetch/blob_place.h"
#include "store/fetch/remote_model.h"
#include "store/fetch/server_answers.h"
#include "store/fetch/sha256.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kMostManifest = size_t{4} << 20U;
constexpr std::string_view kDigest = "sha256:";
constexpr const char* kAccept =
    "Accept: application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json";

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
  RemoteFile file(const RegistryLayer& layer) const;
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

// Of a list the first with a GGUF file.
Result<std::string> RegistryModel::chosen_manifest() const {
  auto text = manifest(name_.tag);
  const ManifestList list = text ? read_manifest_list(*text) : ManifestList();
  if (!list.is_list) {
    return text;
  }
  for (const std::string& digest : list.digests) {
    auto child = manifest(digest);
    if (!child || read_manifest(*child)) {
      return child;
    }
  }
  return fail(ErrorCode::kBadModel, "{}: none of its variants has a GGUF file", words());
}

RemoteFile RegistryModel::file(const RegistryLayer& layer) const {
  RemoteFile remote;
  remote.name = std::string(kDigest) + layer.sha256;
  remote.url = base_ + "/blobs/" + remote.name;
  remote.size = layer.size;
  remote.sha256 = layer.sha256;
  remote.blob = store_ / "blobs" / ("sha256-" + layer.sha256);
  remote.path = remote.blob;
  remote.lock = store_ / "locks" / layer.sha256;
  return remote;
}

Result<RemoteModel> RegistryModel::model() {
  auto text = chosen_manifest();
  if (!text) {
    return propagate(text.error());
  }
  const auto layers = read_manifest(*text);
  if (!layers) {
    return propagate(layers.error(), words());
  }
  RemoteModel model;
  model.identity = name_;
  model.name = words();
  for (const RegistryLayer& layer : *layers) {
    (layer.kind == "model" ? model.parts : model.others).push_back(file(layer));
  }
  model.texts.push_back({store_ / "manifests" / name_.host / name_.space / name_.model / name_.tag, std::move(*text)});
  return model;
}

}  // namespace

Result<RemoteModel> remote::of_registry(const RemoteAccess& access, const OllamaName& name) {
  return RegistryModel(access, name).model();
}

}  // namespace hypura

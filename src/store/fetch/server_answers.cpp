#include "store/fetch/server_answers.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "store/fetch/sha256.h"
#include "support/ascii.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

using AnswerJson = nlohmann::json;

constexpr size_t kLongestPart = 255;
constexpr size_t kLongestPath = 4096;
constexpr size_t kMostListed = 64;
constexpr uint64_t kMostLayerText = uint64_t{4} << 20U;  // of a template, a licence …
constexpr size_t kCommitDigits = 40;
constexpr std::string_view kLayerType = "application/vnd.ollama.image.";
constexpr std::string_view kDigestPrefix = "sha256:";
// Projectors, and tensors of other runners, are left there.
constexpr std::array<std::string_view, 6> kUsed = {"model", "template", "system", "params", "messages", "license"};

bool is_git_hash(std::string_view text) {
  return text.size() == kCommitDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

AnswerJson parse_answer(std::string_view text) {
  return AnswerJson::parse(text, nullptr, false);
}

std::string text_at(const AnswerJson& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t number_at(const AnswerJson& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

const AnswerJson& list_at(const AnswerJson& json, const char* key) {
  static const AnswerJson kNone = AnswerJson::array();
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_array() ? *found : kNone;
}

std::optional<TreeFile> tree_file(const AnswerJson& entry) {
  TreeFile file{text_at(entry, "path"), number_at(entry, "size"), text_at(entry, "oid")};
  if (text_at(entry, "type") != "file" || !is_safe_file_name(file.path)) {
    return std::nullopt;
  }
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    file.hash = text_at(*lfs, "oid");
    file.size = number_at(*lfs, "size");
  }
  const bool hashed = is_sha256(file.hash) || is_git_hash(file.hash);
  return hashed ? std::optional(std::move(file)) : std::nullopt;
}

// The 64 digits of "sha256:…"; empty: that is none, and must lead nowhere.
std::string digest_digits(const AnswerJson& layer) {
  const std::string digest = text_at(layer, "digest");
  const std::string digits = digest.starts_with(kDigestPrefix) ? digest.substr(kDigestPrefix.size()) : std::string();
  return is_sha256(digits) ? digits : std::string();
}

std::string layer_kind(const AnswerJson& layer) {
  const std::string type = text_at(layer, "mediaType");
  return type.starts_with(kLayerType) ? type.substr(kLayerType.size(), type.find(';') - kLayerType.size()) : "";
}

}  // namespace

Result<std::vector<TreeFile>> read_tree(std::string_view text) {
  const AnswerJson entries = parse_answer(text);
  if (!entries.is_array()) {
    return fail(ErrorCode::kBadModel, "the server's list of files cannot be read");
  }
  std::vector<TreeFile> files;
  for (const AnswerJson& entry : entries) {
    if (auto file = tree_file(entry)) {
      files.push_back(std::move(*file));
    }
  }
  return files;
}

std::string read_commit(std::string_view text) {
  std::string commit = text_at(parse_answer(text), "sha");
  return is_git_hash(commit) ? commit : std::string();
}

Result<std::vector<RegistryLayer>> read_manifest(std::string_view text) {
  const AnswerJson manifest = parse_answer(text);
  std::vector<RegistryLayer> layers;
  for (const AnswerJson& entry : list_at(manifest, "layers")) {
    RegistryLayer layer{layer_kind(entry), digest_digits(entry), number_at(entry, "size")};
    if (layer.kind == "adapter") {
      return fail(ErrorCode::kBadModel, "it has an adapter (LoRA), which Hypura does not apply");
    }
    if (std::find(kUsed.begin(), kUsed.end(), layer.kind) == kUsed.end()) {
      continue;
    }
    if (layer.sha256.empty() || layer.size == 0) {
      return fail(ErrorCode::kBadModel, "its manifest names a layer without SHA-256 or size");
    }
    if (layer.kind != "model" && layer.size > kMostLayerText) {
      return fail(ErrorCode::kBadModel, "its layer of kind {} is larger than any", layer.kind);
    }
    layers.push_back(std::move(layer));
  }
  const auto models =
      std::count_if(layers.begin(), layers.end(), [](const auto& layer) { return layer.kind == "model"; });
  if (models != 1) {
    return fail(ErrorCode::kBadModel, "{}",
                models == 0 ? "it has no GGUF file; models of Ollama's cloud have none"
                            : "it has weights in several files, whose order is not told");
  }
  return layers;
}

ManifestList read_manifest_list(std::string_view text) {
  const AnswerJson list = parse_answer(text);
  ManifestList read;
  read.is_list = list.is_object() && list.contains("manifests");
  const AnswerJson& children = list_at(list, "manifests");
  const size_t count = std::min(children.size(), kMostListed);
  for (const std::string_view runner : {"ollama", "llamacpp", ""}) {
    for (size_t i = 0; i < count; ++i) {
      const std::string format = ascii_lower(text_at(children[i], "format"));
      const std::string digits = digest_digits(children[i]);
      const bool fits = ascii_lower(text_at(children[i], "runner")) == runner && (format.empty() || format == "gguf");
      if (fits && !digits.empty()) {
        read.digests.push_back(std::string(kDigestPrefix) + digits);
      }
    }
  }
  return read;
}

bool is_safe_file_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestPath) {
    return false;
  }
  const bool odd = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || c == '\\' || c == ':';
  });
  if (odd) {
    return false;
  }
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > kLongestPart) {
      return false;
    }
    at = end + 1;
  }
  return true;
}

}  // namespace hypura

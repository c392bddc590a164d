#include "server/model_host_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "server/server_text.h"
#include "store/names/model_name.h"
#include "support/fnv.h"

namespace hypura {

namespace {

constexpr std::string_view kLatest = ":latest";
constexpr std::string_view kLocal = ":local";
constexpr std::string_view kLibrary = "library/";
constexpr std::streamoff kTail = 64 << 10;
constexpr int kHashes = 4;

void remove_suffix(std::string& text, std::string_view suffix) {
  if (text.ends_with(suffix)) {
    text.resize(text.size() - suffix.size());
  }
}

// Empty when the file cannot be read: opening it will say why.
std::string tail_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) {
    return {};
  }
  const std::streamoff size = in.tellg();
  const std::streamoff start = std::max<std::streamoff>(size - kTail, 0);
  std::string bytes(static_cast<size_t>(size - start), '\0');
  in.seekg(start);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return in ? bytes : std::string();
}

}  // namespace

std::string served_name(const ModelCard& card) {
  std::string name = card.name;
  std::replace(name.begin(), name.end(), ':', '-');  // what follows a colon is a tag
  return name.append(kLatest);
}

bool means_model(std::string_view asked, std::string_view name, const std::filesystem::path& file) {
  std::string short_name = ascii_lower(name);
  remove_suffix(short_name, kLatest);
  std::string wanted = ascii_lower(asked);
  if (wanted.starts_with(kLibrary)) {
    wanted.erase(0, kLibrary.size());
  }
  remove_suffix(wanted, kLocal);
  remove_suffix(wanted, kLatest);
  return !wanted.empty() && (wanted == short_name || wanted == ascii_lower(file.filename().string()));
}

ModelPtr find_by_name(const std::vector<ModelPtr>& models, const std::string& asked) {
  for (const ModelPtr& model : models) {
    if (means_model(asked, model->name, model->file)) {
      return model;
    }
  }
  const auto name = read_model_name(asked, FilesAs::kErrors);
  if (!name) {
    return nullptr;
  }
  for (const NameReading& reading : name->readings) {
    const std::string whole = ascii_lower(text_of(reading));
    for (const char* quant : {"", ":q4_k_m", ":q8_0"}) {
      for (const ModelPtr& model : models) {
        if (means_model(whole + quant, model->name, {})) {
          return model;
        }
      }
    }
    const auto first = std::find_if(models.begin(), models.end(), [&](const ModelPtr& model) {
      return std::holds_alternative<HuggingFaceName>(reading) && ascii_lower(model->name).starts_with(whole + ":");
    });
    if (first != models.end()) {
      return *first;
    }
  }
  return nullptr;
}

std::string model_digest(const ModelCard& card, const std::filesystem::path& file) {
  const std::string said = fmt::format("{}\n{}\n{}\n{}\n{}\n", card.architecture, card.quantization, card.parameters,
                                       card.bytes, card.metadata);
  const std::string tail = tail_of(file);
  std::string digest;
  for (int i = 0; i < kHashes; ++i) {
    const uint64_t start = fnv1a(fmt::format("hypura {}", i));
    digest += fmt::format("{:016x}", fnv1a(tail, fnv1a(said, start)));
  }
  return digest;
}

}  // namespace hypura

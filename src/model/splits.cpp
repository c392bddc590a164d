#include "model/splits.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <limits>
#include <string_view>

#include "support/fail.h"

namespace hypura {
namespace {

constexpr std::string_view kExtension = ".gguf";

std::string part_number(int64_t index, int64_t count) {
  return fmt::format("-{:05}-of-{:05}", index + 1, count);
}

bool is_extension(std::string_view text) {
  return std::equal(text.begin(), text.end(), kExtension.begin(), kExtension.end(),
                    [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
}

// ".gguf" or ".GGUF", as the file has it; empty: neither.
std::string extension_of(const std::string& name) {
  const std::string end = name.size() < kExtension.size() ? "" : name.substr(name.size() - kExtension.size());
  return is_extension(end) ? end : "";
}

}  // namespace

Result<SplitPlace> read_split_place(const Metadata& metadata) {
  const Result<std::optional<int64_t>> count = metadata.uint16("split.count");
  if (!count) {
    return propagate(count.error());
  }
  SplitPlace place;
  if (count->value_or(1) <= 1) {
    return place;
  }
  place.count = **count;
  const Result<int64_t> index =
      metadata.required("split.no", metadata.uint16("split.no"), 0, std::numeric_limits<uint16_t>::max());
  if (!index) {
    return propagate(index.error());
  }
  if (*index >= place.count) {
    return fail(ErrorCode::kBadModel, "{}: key split.no is {}, but key split.count is {}", metadata.path().string(),
                *index, place.count);
  }
  place.index = *index;
  const Result<int64_t> tensors =
      metadata.required("split.tensors.count", metadata.integer("split.tensors.count"), 1, INT32_MAX);
  if (!tensors) {
    return propagate(tensors.error());
  }
  place.tensors = *tensors;
  return place;
}

Result<std::vector<std::filesystem::path>> split_paths(const std::filesystem::path& path, const SplitPlace& place) {
  if (place.count == 1) {
    return std::vector{path};
  }
  const std::string name = path.filename().string();
  const std::string extension = extension_of(name);
  const std::string ending = part_number(place.index, place.count) + extension;
  if (extension.empty() || !name.ends_with(ending)) {
    return fail(ErrorCode::kBadModel,
                "{}: is part {} of {} of a model, but the other parts cannot be found because its name does not end in "
                "{}; restore the names of all parts",
                path.string(), place.index + 1, place.count,
                part_number(place.index, place.count) + std::string(kExtension));
  }
  const std::string prefix = base_name(path, place);
  std::vector<std::filesystem::path> paths;
  for (int64_t i = 0; i < place.count; ++i) {
    paths.push_back(path.parent_path() / (prefix + part_number(i, place.count) + extension));
  }
  return paths;
}

std::string base_name(const std::filesystem::path& path, const SplitPlace& place) {
  const std::string name = path.filename().string();
  const std::string extension = extension_of(name);
  const std::string ending = place.count > 1 ? part_number(place.index, place.count) + extension : extension;
  return !extension.empty() && name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : name;
}

}  // namespace hypura

#include "store/repacked_copy.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "backend/repacked_layout.h"
#include "backend/stream_layout.h"
#include "storage/reader.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostHeader = 64 * kMiB;

// Everything before the first tensor.
uint64_t header_bytes(const Model& model, size_t file) {
  uint64_t first = kMostHeader;
  for (const auto* tensors : {&model.tensors, &model.unused, &model.other_parts}) {
    for (const TensorInfo& tensor : *tensors) {
      first = tensor.extent.file == file ? std::min(first, tensor.extent.offset) : first;
    }
  }
  return std::min(first, model.files[file].size);
}

Result<std::string> bytes_at(const fs::path& path, uint64_t offset, uint64_t length) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(length, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(bytes.data(), static_cast<std::streamsize>(length))) {
    return fail(ErrorCode::kIo, "{}: {} cannot be read at {}", path.string(), format_bytes(length), offset);
  }
  return bytes;
}

// What keeps the copy of a file from being used; empty: nothing.
std::string problem_of(const Model& model, size_t file) {
  const fs::path& source = model.files[file].path;
  const fs::path copy = repacked_name(source);
  std::error_code error;
  if (!fs::is_regular_file(copy, error)) {  // opening a pipe would wait for its writer
    return fmt::format("{} {}", copy.string(), fs::exists(copy, error) ? "is not a file" : "is missing");
  }
  if (fs::last_write_time(copy, error) < fs::last_write_time(source, error)) {
    return fmt::format("{} is older than the model", copy.string());
  }
  const auto expected = repacked_label(model, file);
  const auto label = bytes_at(copy, repacked_label_offset(model.files[file].size), kRepackedLabelBytes);
  if (!expected || !label || label->substr(0, label->find('\0')) != *expected) {
    return fmt::format("{} was made from another model, or for another processor or version of ggml", copy.string());
  }
  return {};
}

}  // namespace

fs::path repacked_name(const fs::path& file) {
  return fs::path(file) += ".packed";
}

uint64_t repacked_label_offset(uint64_t bytes) {
  return round_up(bytes, kDirectAlignment);
}

Result<std::string> repacked_label(const Model& model, size_t file) {
  const auto header = bytes_at(model.files[file].path, 0, header_bytes(model, file));
  if (!header) {
    return propagate(header.error());
  }
  std::set<int> types;
  for (const auto* tensors : {&model.tensors, &model.unused}) {
    for (const TensorInfo& tensor : *tensors) {
      types.insert(tensor.type);
    }
  }
  // The number goes up with what is_repacked() says of any tensor.
  std::string label = fmt::format("Hypura repacked copy 2\nof {} bytes with the header {:016x}\n",
                                  model.files[file].size, fnv1a(*header));
  for (int type : types) {
    if (const std::string name = repacked_layout_name(type); !name.empty()) {
      label += fmt::format("{} {}\n", type_name(type), name);
    }
  }
  return label;
}

RepackedCopy find_repacked(const Model& model) {
  RepackedCopy copy;
  std::error_code error;
  const bool any = std::any_of(model.files.begin(), model.files.end(),
                               [&](const ModelFile& file) { return fs::exists(repacked_name(file.path), error); });
  for (size_t file = 0; any && file < model.files.size(); ++file) {
    copy.problem = problem_of(model, file);
    if (!copy.problem.empty()) {
      copy.files.clear();
      return copy;
    }
    copy.files.push_back(repacked_name(model.files[file].path));
  }
  return copy;
}

}  // namespace hypura

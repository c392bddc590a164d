#include "model/model.h"

#include <ggml.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "model/header_scan.h"
#include "model/kinds.h"
#include "model/metadata.h"
#include "model/roles.h"
#include "model/splits.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {
namespace {

// llama.cpp ends the process when a file states more.
constexpr int64_t kMaxLayers = 512;
constexpr int64_t kMaxExperts = 1024;

// One file, read.
struct Part {
  Header header;
  GgufPtr context;

  Metadata metadata() const { return {*context, header.path}; }
};

Result<Part> read_part(const std::filesystem::path& path) {
  Result<Header> header = scan_header(path);
  if (!header) {
    return propagate(header.error());
  }
  if (Status status = check_layout(*header); !status) {
    return propagate(status.error());
  }
  Result<GgufPtr> context = parse_metadata(*header);
  if (!context) {
    return propagate(context.error());
  }
  header->bytes = {};
  return Part{*std::move(header), *std::move(context)};
}

Status check_same(const Part& part, std::string_view key, const std::string& found, const std::string& wanted) {
  if (found != wanted) {
    return fail(ErrorCode::kBadModel, "{}: is a part of another model: key {} is {} where {} is expected",
                part.header.path.string(), key, found, wanted);
  }
  return {};
}

// Whether `part` is what `place` says, of the model with `architecture`; parts after the first need not state that.
Status check_belongs(const Part& part, const SplitPlace& place, const std::string& architecture) {
  const Result<SplitPlace> found = read_split_place(part.metadata());
  if (!found) {
    return propagate(found.error());
  }
  const Result<std::optional<std::string>> stated = part.metadata().text("general.architecture");
  if (!stated) {
    return propagate(stated.error());
  }
  Status status = check_same(part, "split.count", std::to_string(found->count), std::to_string(place.count));
  if (status) {
    status = check_same(part, "split.no", std::to_string(found->index), std::to_string(place.index));
  }
  if (status) {
    status = check_same(part, "split.tensors.count", std::to_string(found->tensors), std::to_string(place.tensors));
  }
  return status ? check_same(part, "general.architecture", stated->value_or(architecture), architecture) : status;
}

bool is_of_name(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '-' || letter == '_' || letter == '.';
}

Result<std::string> read_architecture(const Metadata& metadata) {
  if (Status status = check_is_model(metadata); !status) {
    return propagate(status.error());
  }
  const Result<std::optional<std::string>> architecture = metadata.text("general.architecture");
  if (!architecture) {
    return propagate(architecture.error());
  }
  if (architecture->value_or("").empty()) {
    return fail(ErrorCode::kBadModel, "{}: key general.architecture is missing; the file is not a language model",
                metadata.path().string());
  }
  if (!std::all_of((*architecture)->begin(), (*architecture)->end(), is_of_name)) {
    return fail(ErrorCode::kBadModel, "{}: key general.architecture is not a name: '{}'", metadata.path().string(),
                printable((*architecture)->substr(0, 40)));
  }
  return **architecture;
}

// `path`, or the file that is there in its place because its name ends in capitals, or in none.
std::filesystem::path existing(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* extension : {".gguf", ".GGUF"}) {
    std::filesystem::path other = path;
    if (!std::filesystem::exists(path, ignored) &&
        std::filesystem::exists(other.replace_extension(extension), ignored)) {
      return other;
    }
  }
  return path;
}

// All parts of the set that `given` belongs to, in order, each checked to belong.
Result<std::vector<Part>> read_set(Part given, const SplitPlace& place) {
  const Result<std::vector<std::filesystem::path>> paths = split_paths(given.header.path, place);
  if (!paths) {
    return propagate(paths.error());
  }
  const auto own = static_cast<size_t>(place.index);
  std::vector<Part> parts;
  std::string architecture;
  for (size_t i = 0; i < paths->size(); ++i) {
    const std::filesystem::path path = existing((*paths)[i]);
    std::error_code ignored;
    if (i != own && !std::filesystem::exists(path, ignored)) {
      return fail(ErrorCode::kBadModel, "{}: part {} of {} is missing; put it beside the others", path.string(), i + 1,
                  place.count);
    }
    Result<Part> part =
        i == own ? Result<Part>(std::move(given)) : read_part(path);  // NOLINT(bugprone-use-after-move): once
    if (!part) {
      return propagate(part.error());
    }
    if (i == 0) {
      Result<std::string> first = read_architecture(part->metadata());
      if (!first) {
        return propagate(first.error());
      }
      architecture = *std::move(first);
    }
    const SplitPlace expected{static_cast<int64_t>(i), place.count, place.tensors};
    if (Status status = check_belongs(*part, expected, architecture); !status) {
      return propagate(status.error());
    }
    parts.push_back(*std::move(part));
  }
  return parts;
}

TensorInfo describe(const HeaderTensor& tensor, uint32_t file, uint64_t data_offset) {
  TensorInfo info;
  info.name = tensor.name;
  info.role = role_of(tensor.name, tensor.shape);
  info.layer = layer_of(tensor.name);
  info.type = tensor.type;
  info.shape = tensor.shape;
  info.extent = {file, data_offset + tensor.offset, tensor.length};
  return info;
}

Status add_tensors(Model& model, const std::vector<Part>& parts, const SplitPlace& place) {
  std::unordered_set<std::string_view> names;
  for (const Part& part : parts) {
    const auto file = static_cast<uint32_t>(model.files.size());
    model.files.push_back({part.header.path, part.header.file_size});
    for (const HeaderTensor& tensor : part.header.tensors) {
      if (!names.insert(tensor.name).second) {
        return fail(ErrorCode::kBadModel, "{}: tensor {} is also in another part of the model",
                    part.header.path.string(), tensor.name);
      }
      TensorInfo info = describe(tensor, file, part.header.data_offset);
      if (is_of_other_part(info.name)) {
        model.other_parts.push_back(std::move(info));
        continue;
      }
      model.parameters += info.shape[0] * info.shape[1] * info.shape[2] * info.shape[3];
      model.bytes += info.extent.length;
      model.tensors.push_back(std::move(info));
    }
  }
  const std::string first = model.files.front().path.string();
  if (model.tensors.empty()) {
    return fail(ErrorCode::kBadModel, "{}: holds keys but no tensors; it cannot run", first);
  }
  const size_t found = model.tensors.size() + model.other_parts.size();
  if (place.count > 1 && std::cmp_not_equal(found, place.tensors)) {
    return fail(ErrorCode::kBadModel, "{}: key split.tensors.count is {}, but the parts hold {} tensors", first,
                place.tensors, found);
  }
  return {};
}

// Sets `into` from an architecture's key that must be there.
Status read_dimension(Model& model, const Metadata& metadata, std::string_view name, int64_t high, int64_t& into) {
  const std::string key = fmt::format("{}.{}", model.architecture, name);
  const Result<int64_t> value = metadata.required(key, metadata.integer(key), 1, high);
  if (!value) {
    return propagate(value.error());
  }
  into = *value;
  return {};
}

Result<int64_t> read_vocabulary(const Model& model, const Metadata& metadata) {
  if (const std::optional<int64_t> tokens = metadata.array_length("tokenizer.ggml.tokens"); tokens.value_or(0) > 0) {
    return *tokens;
  }
  const std::string key = model.architecture + ".vocab_size";
  const TensorInfo* embedding = model.find("token_embd.weight");
  Result<std::optional<int64_t>> size = metadata.integer(key);
  if (size && !*size && embedding != nullptr) {
    return embedding->shape[1];
  }
  return metadata.required(key, size, 1, INT32_MAX);
}

// The keys are checked whenever they are there; the model counts as one of experts when it has tensors of experts.
Status read_experts(Model& model, const Metadata& metadata) {
  const bool routed = std::any_of(model.tensors.begin(), model.tensors.end(),
                                  [](const TensorInfo& tensor) { return tensor.role == TensorRole::kRoutedExpert; });
  const auto or_none = [&](Result<std::optional<int64_t>> value) {
    return value && !*value && !routed ? Result<std::optional<int64_t>>(0) : value;
  };
  const std::string count_key = model.architecture + ".expert_count";
  const Result<int64_t> count =
      metadata.required(count_key, or_none(metadata.integer(count_key)), routed ? 1 : 0, kMaxExperts);
  if (!count) {
    return propagate(count.error());
  }
  const std::string used_key = model.architecture + ".expert_used_count";
  const Result<int64_t> used =
      metadata.required(used_key, or_none(metadata.largest(used_key)), *count > 0 ? 1 : 0, *count);
  if (!used) {
    return propagate(used.error());
  }
  model.experts = routed ? *count : 0;
  model.experts_used = routed ? *used : 0;
  return {};
}

Status check_layers(const Model& model) {
  for (const TensorInfo& tensor : model.tensors) {
    if (tensor.layer >= model.layers) {
      return fail(ErrorCode::kBadModel, "{}: tensor {} is of layer {}, but key {}.block_count is {}",
                  model.files[tensor.extent.file].path.string(), tensor.name, tensor.layer, model.architecture,
                  model.layers);
    }
  }
  return {};
}

// A model of nothing but such layers is no model that has them: it is one that drafts for another.
Status read_mtp_layers(Model& model, const Metadata& metadata) {
  const std::string key = model.architecture + ".nextn_predict_layers";
  const Result<std::optional<int64_t>> stated = metadata.integer(key);
  if (stated && !*stated) {
    return {};
  }
  const Result<int64_t> value = metadata.required(key, stated, 0, model.layers);
  if (!value) {
    return propagate(value.error());
  }
  model.mtp_layers = *value < model.layers ? *value : 0;
  return {};
}

// Fills what the first part's keys say.
Status read_keys(Model& model, const Metadata& metadata, const SplitPlace& place) {
  Result<std::string> architecture = read_architecture(metadata);
  const Result<std::optional<std::string>> name = metadata.text("general.name");
  if (!architecture || !name) {
    return propagate(!architecture ? architecture.error() : name.error());
  }
  model.architecture = *std::move(architecture);
  model.name = printable(name->value_or(""));
  if (model.name.empty()) {
    model.name = printable(base_name(metadata.path(), {0, place.count, 0}));
  }
  if (Status status = read_dimension(model, metadata, "block_count", kMaxLayers, model.layers); !status) {
    return status;
  }
  if (Status status = read_mtp_layers(model, metadata); !status) {
    return status;
  }
  if (Status status = read_dimension(model, metadata, "embedding_length", INT32_MAX, model.embedding_length); !status) {
    return status;
  }
  if (Status status = read_dimension(model, metadata, "context_length", INT32_MAX, model.context_length); !status) {
    return status;
  }
  const Result<int64_t> vocabulary = read_vocabulary(model, metadata);
  if (!vocabulary) {
    return propagate(vocabulary.error());
  }
  model.vocabulary = *vocabulary;
  if (Status status = read_experts(model, metadata); !status) {
    return status;
  }
  return check_layers(model);
}

}  // namespace

const char* type_name(int type) {
  return ggml_type_name(static_cast<ggml_type>(type));
}

uint64_t TensorInfo::row_bytes() const {
  return ggml_row_size(static_cast<ggml_type>(type), shape[0]);
}

Extent TensorInfo::expert_extent(int64_t expert) const {
  const uint64_t slice = extent.length / static_cast<uint64_t>(shape[2]);
  return {extent.file, extent.offset + static_cast<uint64_t>(expert) * slice, slice};
}

const TensorInfo* Model::find(std::string_view tensor) const {
  for (const std::vector<TensorInfo>* list : {&tensors, &unused}) {
    const auto found =
        std::find_if(list->begin(), list->end(), [&](const TensorInfo& info) { return info.name == tensor; });
    if (found != list->end()) {
      return &*found;
    }
  }
  return nullptr;
}

Result<Model> open_model(const std::filesystem::path& path) {
  Result<Part> given = read_part(path);
  if (!given) {
    return propagate(given.error());
  }
  const Result<SplitPlace> place = read_split_place(given->metadata());
  if (!place) {
    return propagate(place.error());
  }
  Result<std::vector<Part>> parts = read_set(*std::move(given), *place);
  if (!parts) {
    return propagate(parts.error());
  }
  Model model;
  if (Status status = add_tensors(model, *parts, *place); !status) {
    return propagate(status.error());
  }
  if (Status status = read_keys(model, parts->front().metadata(), *place); !status) {
    return propagate(status.error());
  }
  model.metadata = std::move(parts->front().context);
  return model;
}

}  // namespace hypura

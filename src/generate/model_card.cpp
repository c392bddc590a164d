#include "generate/model_card.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "chat.h"
#include "gguf.h"
#include "llama.h"
#include "llama/llama_runtime.h"
#include "support/printable.h"
#include "templates/chat_templates.h"

namespace hypura {

namespace {

struct FileType {
  llama_ftype type;
  const char* name;
};

constexpr std::array<FileType, 34> kFileTypes = {{{LLAMA_FTYPE_ALL_F32, "F32"},
                                                  {LLAMA_FTYPE_MOSTLY_F16, "F16"},
                                                  {LLAMA_FTYPE_MOSTLY_Q4_0, "Q4_0"},
                                                  {LLAMA_FTYPE_MOSTLY_Q4_1, "Q4_1"},
                                                  {LLAMA_FTYPE_MOSTLY_Q8_0, "Q8_0"},
                                                  {LLAMA_FTYPE_MOSTLY_Q5_0, "Q5_0"},
                                                  {LLAMA_FTYPE_MOSTLY_Q5_1, "Q5_1"},
                                                  {LLAMA_FTYPE_MOSTLY_Q2_K, "Q2_K"},
                                                  {LLAMA_FTYPE_MOSTLY_Q3_K_S, "Q3_K_S"},
                                                  {LLAMA_FTYPE_MOSTLY_Q3_K_M, "Q3_K_M"},
                                                  {LLAMA_FTYPE_MOSTLY_Q3_K_L, "Q3_K_L"},
                                                  {LLAMA_FTYPE_MOSTLY_Q4_K_S, "Q4_K_S"},
                                                  {LLAMA_FTYPE_MOSTLY_Q4_K_M, "Q4_K_M"},
                                                  {LLAMA_FTYPE_MOSTLY_Q5_K_S, "Q5_K_S"},
                                                  {LLAMA_FTYPE_MOSTLY_Q5_K_M, "Q5_K_M"},
                                                  {LLAMA_FTYPE_MOSTLY_Q6_K, "Q6_K"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ2_XXS, "IQ2_XXS"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ2_XS, "IQ2_XS"},
                                                  {LLAMA_FTYPE_MOSTLY_Q2_K_S, "Q2_K_S"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ3_XS, "IQ3_XS"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ3_XXS, "IQ3_XXS"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ1_S, "IQ1_S"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ4_NL, "IQ4_NL"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ3_S, "IQ3_S"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ3_M, "IQ3_M"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ2_S, "IQ2_S"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ2_M, "IQ2_M"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ4_XS, "IQ4_XS"},
                                                  {LLAMA_FTYPE_MOSTLY_IQ1_M, "IQ1_M"},
                                                  {LLAMA_FTYPE_MOSTLY_BF16, "BF16"},
                                                  {LLAMA_FTYPE_MOSTLY_TQ1_0, "TQ1_0"},
                                                  {LLAMA_FTYPE_MOSTLY_TQ2_0, "TQ2_0"},
                                                  {LLAMA_FTYPE_MOSTLY_MXFP4_MOE, "MXFP4"},
                                                  {LLAMA_FTYPE_MOSTLY_NVFP4, "NVFP4"}}};

std::string text_of(const gguf_context* metadata, const std::string& key) {
  const int64_t id = gguf_find_key(metadata, key.c_str());
  return id >= 0 && gguf_get_kv_type(metadata, id) == GGUF_TYPE_STRING ? gguf_get_val_str(metadata, id) : "";
}

int64_t number_of(const gguf_context* metadata, const std::string& key, int64_t otherwise) {
  const int64_t id = gguf_find_key(metadata, key.c_str());
  if (id < 0) {
    return otherwise;
  }
  switch (gguf_get_kv_type(metadata, id)) {
    case GGUF_TYPE_UINT32:
      return gguf_get_val_u32(metadata, id);
    case GGUF_TYPE_INT32:
      return gguf_get_val_i32(metadata, id);
    case GGUF_TYPE_BOOL:
      return gguf_get_val_bool(metadata, id) ? 1 : 0;
    default:
      return otherwise;
  }
}

// The type with most bytes, as ggml calls it, in capitals.
std::string commonest_type(const Model& model) {
  std::map<int, uint64_t> bytes;
  for (const TensorInfo& tensor : model.tensors) {
    bytes[tensor.type] += tensor.extent.length;
  }
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::string name = most == bytes.end() ? "" : type_name(most->first);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

std::string quantization(const Model& model) {
  const int64_t type = number_of(model.metadata.get(), "general.file_type", -1);
  const auto found =
      std::find_if(kFileTypes.begin(), kFileTypes.end(), [&](const FileType& it) { return it.type == type; });
  return found == kFileTypes.end() ? commonest_type(model) : found->name;
}

// "Name" of "Name.gguf" and of "Name-00001-of-00003.gguf".
std::string name_of(const std::filesystem::path& file) {
  std::string name = file.filename().string();
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".gguf") {
    name = file.stem().string();
  }
  constexpr std::string_view kPart = "-00001-of-00001";
  const auto shape = [](std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; }, '0');
    return text;
  };
  if (name.size() > kPart.size() && shape(name.substr(name.size() - kPart.size())) == shape(std::string(kPart))) {
    name.resize(name.size() - kPart.size());
  }
  return name;
}

std::string token_at(const gguf_context* metadata, const std::string& key) {
  const int64_t id = number_of(metadata, "tokenizer.ggml." + key, -1);
  const int64_t tokens = gguf_find_key(metadata, "tokenizer.ggml.tokens");
  const bool known = id >= 0 && tokens >= 0 && gguf_get_kv_type(metadata, tokens) == GGUF_TYPE_ARRAY &&
                     gguf_get_arr_type(metadata, tokens) == GGUF_TYPE_STRING &&
                     static_cast<size_t>(id) < gguf_get_arr_n(metadata, tokens);
  return known ? gguf_get_arr_str(metadata, tokens, static_cast<size_t>(id)) : "";
}

// What the model's template can do; nothing when it cannot be used.
void note_template(const Model& model, ModelCard& card) {
  const gguf_context* metadata = model.metadata.get();
  card.chat_template = text_of(metadata, "tokenizer.chat_template");
  silence_common_log();
  const std::string with_tools = text_of(metadata, "tokenizer.chat_template.tool_use");
  const std::string bos = token_at(metadata, "bos_token_id");
  const std::string eos = token_at(metadata, "eos_token_id");
  for (const std::string& text : {card.chat_template, with_tools}) {
    if (text.empty()) {
      continue;
    }
    if (const auto templates = text_templates(text, bos, eos)) {
      const auto abilities = common_chat_templates_get_caps(templates->get());
      card.tools = card.tools || templates_take_tools(**templates);
      card.thinking =
          card.thinking || abilities.at("supports_reasoning_effort") || templates_know_thinking(**templates);
    }
  }
}

}  // namespace

std::string short_count(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (number >= 999.95e6) {
    return fmt::format("{:.1f}B", number / 1e9);
  }
  if (number >= 999.95e3) {
    return fmt::format("{:.1f}M", number / 1e6);
  }
  return number >= 1e3 ? fmt::format("{:.1f}K", number / 1e3) : fmt::format("{}", count);
}

Pooling pooling_of(const Model& model) {
  switch (number_of(model.metadata.get(), model.architecture + ".pooling_type", LLAMA_POOLING_TYPE_MEAN)) {
    case LLAMA_POOLING_TYPE_CLS:
      return Pooling::kFirst;
    case LLAMA_POOLING_TYPE_LAST:
      return Pooling::kLast;
    default:
      return Pooling::kMean;
  }
}

ModelCard make_model_card(const Model& model) {
  const gguf_context* metadata = model.metadata.get();
  ModelCard card;
  card.name = printable(name_of(model.files.front().path));
  card.architecture = model.architecture;
  card.parameters = static_cast<uint64_t>(model.parameters);
  card.parameter_size = short_count(card.parameters);
  card.quantization = quantization(model);
  for (const ModelFile& file : model.files) {
    card.bytes += file.size;
  }
  struct stat status = {};
  if (stat(model.files.front().path.c_str(), &status) == 0) {
    card.modified = status.st_mtime;
  }
  card.trained_context = static_cast<uint32_t>(model.context_length);
  card.embedding_length = static_cast<uint32_t>(model.embedding_length);
  note_template(model, card);
  card.metadata = metadata_json(*metadata);
  // From an encoder's context no logits come, and none is made here; a ranker's embeddings are scores.
  const bool causal = number_of(metadata, model.architecture + ".attention.causal", 1) != 0;
  const bool ranks = number_of(metadata, model.architecture + ".pooling_type", -1) == LLAMA_POOLING_TYPE_RANK;
  card.embeddings = causal && !ranks;
  return card;
}

Result<ModelCard> read_model_card(const std::filesystem::path& path) {
  return open_model(path).map([](const Model& model) { return make_model_card(model); });
}

}  // namespace hypura

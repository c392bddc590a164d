#include "generate/model_card.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "llama/header_numbers.h"
#include "llama/llama_runtime.h"
#include "model/header_values.h"
#include "support/printable.h"
#include "templates/chat_templates.h"

namespace hypura {

namespace {

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
  const std::string name = file_type_name(model);
  return name.empty() ? commonest_type(model) : name;
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

// What the model's template can do; nothing when it cannot be used.
void note_template(const gguf_context& header, ModelCard& card) {
  card.chat_template = header_text(header, "tokenizer.chat_template");
  silence_common_log();
  const std::string with_tools = header_text(header, "tokenizer.chat_template.tool_use");
  const std::string bos = header_token(header, "bos_token_id");
  const std::string eos = header_token(header, "eos_token_id");
  for (const std::string& text : {card.chat_template, with_tools}) {
    if (text.empty()) {
      continue;
    }
    if (const auto templates = text_templates(text, bos, eos)) {
      const TemplateAbilities abilities = template_abilities(**templates);
      card.tools = card.tools || abilities.tools;
      card.thinking = card.thinking || abilities.thinking;
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

ModelCard make_model_card(const Model& model) {
  const gguf_context& header = *model.metadata;
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
  note_template(header, card);
  card.metadata = header_json(header);
  // From an encoder's context no logits come, and none is made here; a ranker's embeddings are scores.
  const bool causal = header_number(header, model.architecture + ".attention.causal", 1) != 0;
  card.embeddings = causal && pooling_of(model) != Pooling::kScore;
  return card;
}

Result<ModelCard> card_with_template(ModelCard card, const std::string& text) {
  silence_common_log();
  return usable_template(text).map([&](const ChatTemplatesPtr& templates) {
    const TemplateAbilities abilities = template_abilities(*templates);
    card.tools = abilities.tools;
    card.thinking = abilities.thinking;
    card.chat_template = text;
    return std::move(card);
  });
}

Result<ModelCard> read_model_card(const std::filesystem::path& path) {
  return open_model(path).map([](const Model& model) { return make_model_card(model); });
}

}  // namespace hypura

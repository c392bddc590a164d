// Native requests as structs. Reading fails with kUsage and a sentence that names the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/fields.h"
#include "server/json/json.h"
#include "server/model_host.h"
#include "server/ollama/options.h"

namespace hypura::ollama {

// What /api/generate and /api/chat share.
struct AnswerFields {
  std::string model;
  bool stream = true;
  Options options;                    // of the request alone
  std::optional<Json> given_options;  // as they came
  std::optional<KeepAlive> keep;
  std::optional<std::string> json_schema;
  std::optional<bool> think;
  std::string effort;  // "low", "medium", "high" or "max", for which think is true; empty: none
  bool truncate = true;
  bool shift = true;
  bool logprobs = false;
  int32_t top_logprobs = 0;
  bool images = false;  // there are some
  bool render_only = false;
};

struct GenerateRequest {
  AnswerFields fields;
  std::string prompt;
  std::string suffix;
  std::string system;
  std::string prompt_template;
  bool raw = false;
  std::vector<int32_t> context;
};

struct ChatRequest {
  AnswerFields fields;
  std::vector<ChatMessage> messages;
  std::vector<ToolDefinition> tools;
};

// /api/embed, and /api/embeddings with one text.
struct EmbedFields {
  std::string model;
  std::vector<std::string> texts;
  bool truncate = true;
  size_t dimensions = 0;  // 0: all
  std::optional<KeepAlive> keep;
};

Result<GenerateRequest> read_generate(const Json& json);
Result<ChatRequest> read_chat(const Json& json);
Result<EmbedFields> read_embed(const Json& json);
Result<EmbedFields> read_embeddings(const Json& json);

// The field `model`, or `name`, which was its name once. Empty when there is none.
std::string model_field(Fields& fields);

}  // namespace hypura::ollama

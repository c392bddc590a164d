#include "server/ollama/options.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "server/json/fields.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura::ollama {

namespace {

constexpr int64_t kShortestContext = 4;
constexpr int64_t kContextsWithoutLimit = 10;

enum class Type { kInteger, kFloat, kBoolean, kTexts };

struct Option {
  std::string_view name;
  Type type;
  void (*set)(Options& options, const Json& value);  // null: nothing here depends on it
};

// Fractions are cut off, as Ollama does.
int64_t integer_of(const Json& value) {
  constexpr double kMost = 9e18;
  if (value.is_number_unsigned()) {
    return static_cast<int64_t>(std::min(value.get<uint64_t>(), static_cast<uint64_t>(kMost)));
  }
  return value.is_number_integer() ? value.get<int64_t>()
                                   : static_cast<int64_t>(std::clamp(value.get<double>(), -kMost, kMost));
}

int32_t int32_of(const Json& value) {
  return static_cast<int32_t>(
      std::clamp<int64_t>(integer_of(value), std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
}

float float_of(const Json& value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value.get<double>(), -kMost, kMost));
}

std::optional<uint32_t> seed_of(int64_t value) {
  return value < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(value));
}

// An empty stop string would end every answer before it began.
std::vector<std::string> stops_of(const Json& value) {
  std::vector<std::string> stops;
  for (const Json& text : value) {
    if (!is_empty_text(text)) {
      stops.push_back(text.get<std::string>());
    }
  }
  return stops;
}

constexpr std::array<Option, 20> kOptions{{
    {"num_predict", Type::kInteger, [](Options& o, const Json& v) { o.num_predict = integer_of(v); }},
    {"num_ctx", Type::kInteger, [](Options& o, const Json& v) { o.num_ctx = integer_of(v); }},
    {"num_keep", Type::kInteger, [](Options& o, const Json& v) { o.num_keep = integer_of(v); }},
    {"seed", Type::kInteger, [](Options& o, const Json& v) { o.sampling.seed = seed_of(integer_of(v)); }},
    {"temperature", Type::kFloat,
     [](Options& o, const Json& v) { o.sampling.temperature = std::max(float_of(v), 0.0F); }},
    {"top_k", Type::kInteger, [](Options& o, const Json& v) { o.sampling.top_k = int32_of(v); }},
    {"top_p", Type::kFloat, [](Options& o, const Json& v) { o.sampling.top_p = float_of(v); }},
    {"min_p", Type::kFloat, [](Options& o, const Json& v) { o.sampling.min_p = float_of(v); }},
    {"typical_p", Type::kFloat, [](Options& o, const Json& v) { o.sampling.typical_p = float_of(v); }},
    {"repeat_last_n", Type::kInteger, [](Options& o, const Json& v) { o.sampling.repeat_last_n = int32_of(v); }},
    {"repeat_penalty", Type::kFloat, [](Options& o, const Json& v) { o.sampling.repeat_penalty = float_of(v); }},
    {"presence_penalty", Type::kFloat, [](Options& o, const Json& v) { o.sampling.presence_penalty = float_of(v); }},
    {"frequency_penalty", Type::kFloat, [](Options& o, const Json& v) { o.sampling.frequency_penalty = float_of(v); }},
    {"stop", Type::kTexts, [](Options& o, const Json& v) { o.stop = stops_of(v); }},
    {"num_batch", Type::kInteger, nullptr},
    {"num_gpu", Type::kInteger, nullptr},
    {"main_gpu", Type::kInteger, nullptr},
    {"use_mmap", Type::kBoolean, nullptr},
    {"num_thread", Type::kInteger, nullptr},
    {"draft_num_predict", Type::kInteger, nullptr},
}};

// What `value` should be, when it is not of the type.
std::optional<std::string_view> wanted(Type type, const Json& value) {
  switch (type) {
    case Type::kInteger:
      return value.is_number() ? std::nullopt : std::optional<std::string_view>("type integer");
    case Type::kFloat:
      return value.is_number() ? std::nullopt : std::optional<std::string_view>("type float32");
    case Type::kBoolean:
      return value.is_boolean() ? std::nullopt : std::optional<std::string_view>("type boolean");
    case Type::kTexts:
      if (!value.is_array()) {
        return "type array";
      }
      return std::all_of(value.begin(), value.end(), [](const Json& text) { return text.is_string(); })
                 ? std::nullopt
                 : std::optional<std::string_view>("an array of strings");
  }
  return std::nullopt;
}

}  // namespace

SamplingOptions default_sampling() {
  SamplingOptions sampling;
  sampling.temperature = 0.8F;
  sampling.top_k = 40;
  sampling.top_p = 0.9F;
  sampling.min_p = 0.0F;
  sampling.typical_p = 1.0F;
  sampling.repeat_penalty = 1.0F;
  sampling.repeat_last_n = 64;
  return sampling;
}

Result<Options> read_options(const Json* json) {
  Options options;
  if (json == nullptr) {
    return options;
  }
  for (const auto& [name, value] : json->items()) {
    if (value.is_null()) {
      continue;
    }
    const auto option =
        std::find_if(kOptions.begin(), kOptions.end(), [&key = name](const Option& one) { return one.name == key; });
    if (option == kOptions.end()) {
      logger().debug("option \"{}\" is unknown and ignored", name);
      continue;
    }
    if (const auto type = wanted(option->type, value)) {
      return fail(ErrorCode::kUsage, "option \"{}\" must be of {}", name, *type);
    }
    if (option->set == nullptr) {
      logger().debug("option \"{}\" has no effect on this server and is ignored", name);
      continue;
    }
    option->set(options, value);
  }
  return options;
}

bool is_option(std::string_view name) {
  return std::any_of(kOptions.begin(), kOptions.end(), [&](const Option& one) { return one.name == name; });
}

void apply(const Options& options, uint32_t server_context, AnswerRequest& request) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  request.sampling = options.sampling;
  request.stop = options.stop;
  request.keep = static_cast<uint32_t>(std::clamp<int64_t>(options.num_keep, 0, kMost));
  request.context_tokens =
      options.num_ctx <= 0 ? 0 : static_cast<uint32_t>(std::clamp(options.num_ctx, kShortestContext, kMost));
  if (server_context == 0) {
    request.max_tokens = static_cast<int32_t>(std::clamp<int64_t>(options.num_predict, -1, kMost));
    return;
  }
  const int64_t context =
      request.context_tokens == 0 ? server_context : std::min(request.context_tokens, server_context);
  const int64_t limit = std::min(context * kContextsWithoutLimit, kMost);
  request.max_tokens = static_cast<int32_t>(options.num_predict < 0 ? limit : std::min(options.num_predict, limit));
}

}  // namespace hypura::ollama

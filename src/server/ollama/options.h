// The field `options` of a native request.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/engine.h"
#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/json.h"

namespace hypura::ollama {

// What is set without any option: Ollama's defaults, which are not the engine's.
SamplingOptions default_sampling();

struct Options {
  SamplingOptions sampling = default_sampling();
  int64_t num_predict = -1;  // negative: no limit
  int64_t num_ctx = 0;       // 0: the server's
  int64_t num_keep = 4;
  std::vector<std::string> stop;
};

// Reads the object, or no object (null). An option that is null counts as absent; one that no model here has a use for
// is logged and ignored. Fails with kUsage: `option "num_predict" must be of type integer`.
Result<Options> read_options(const Json* json);

// Whether there is an option of that name, with an effect here or without.
bool is_option(std::string_view name);

// Sets what they say. An answer without a limit gets one: ten times its context, which is `server_context` tokens or
// what the options ask for, if that is less. 0: it differs from model to model, and the limit is the model's matter.
void apply(const Options& options, uint32_t server_context, AnswerRequest& request);

}  // namespace hypura::ollama
